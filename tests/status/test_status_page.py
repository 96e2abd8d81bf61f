"""The page says what was seen and decided, and the document keeps its promises to its readers."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eco.core.decision import Memory, Situation
from eco.core.model import Cluster, Data, Disk, Exit, Holding, Intent, Member, Report, Stamp, Stopped
from eco.core.sight import Known, Unknown
from eco.core.steps import AddSelf, Hold
from eco.formats import parse
from eco.status.page import SERVED_LATELY, Page, render
from tests.status.wire import UNHURRIED
from tests.status.worlds import MEMBERS, NOW, STAMP, decision, empty, healthy, page_of, report_of, status_of

DOCUMENT = Path(__file__).parents[2] / "docs" / "status.md"


def test_the_report_is_what_disk_etcd_intent_and_decision_say() -> None:
    o = healthy(intent=Intent(stopping_since=990.0, paused=True))
    d = decision(memory=Memory(since=NOW - 10, ticket="b"))
    assert page_of(o, d, waiting=True).report == Report(
        name="a",
        incarnation="inc-a",
        nonce="nonce-a",
        situation="SERVING",
        because="all is well",
        holding=Holding.RUNNING,
        generation=3,
        registry_id="reg-1",
        cluster="main",
        member_id="10",
        cluster_id="c1",
        leader="10",
        volume="vol-a",
        serving=True,
        stopping=True,
        paused=True,
        ticket="b",
        waiting=True,
        progress=619,
    )


def test_an_unreadable_disk_leaves_the_identity_empty_and_the_page_whole() -> None:
    page = page_of(empty(disk=Unknown("the stamp cannot be read")), holding=Holding.LATE)
    assert (page.report.incarnation, page.report.generation, page.report.member_id) == ("", 0, "")
    assert page.unknown["disk"] == "the stamp cannot be read"


# ---------------------------------------------------------------- holding and state


@pytest.mark.parametrize("word", [Holding.HOLDING, Holding.EMPTY, Holding.LATE])
def test_what_a_stopped_node_holds_is_the_cores_word(word: Holding) -> None:
    assert page_of(empty(), holding=word).report.holding is word


def test_a_node_whose_etcd_runs_reports_that_whatever_its_disk_looks_like() -> None:
    o = healthy(disk=Known(Disk(STAMP, Data.DAMAGED)))
    assert page_of(o, decision(Situation.DAMAGED)).report.holding is Holding.RUNNING


@pytest.mark.parametrize(
    ("data", "situation"), [(Data.DAMAGED, Situation.WAITING_FOR_QUORUM), (Data.PRESENT, Situation.DAMAGED)]
)
def test_a_node_that_gave_its_data_up_reports_damage(data: Data, situation: Situation) -> None:
    o = healthy(process=Stopped(Exit.DAMAGED), disk=Known(Disk(STAMP, data)), mine=Unknown("etcd does not run"))
    assert page_of(o, decision(situation)).report.holding is Holding.DAMAGED


def test_the_states_are_the_originals_and_only_an_empty_node_says_start() -> None:
    assert page_of().state == "OK"
    assert page_of(served_at=None).state == "PENDING"
    assert page_of(empty(), served_at=None, holding=Holding.EMPTY).state == "START"
    for held in (Holding.HOLDING, Holding.LATE, Holding.DAMAGED):
        assert page_of(empty(), served_at=None, holding=held).state == "PENDING", "an original agent might seed"


@pytest.mark.parametrize(("age", "serving"), [(0.0, True), (SERVED_LATELY, True), (SERVED_LATELY + 0.1, False)])
def test_a_read_speaks_for_the_node_for_a_few_seconds(age: float, serving: bool) -> None:  # noqa: FBT001
    assert page_of(served_at=NOW - age).report.serving is serving


def test_a_node_whose_etcd_has_died_serves_nothing_however_lately_it_did() -> None:
    assert not page_of(empty(), served_at=NOW).report.serving


# ---------------------------------------------------------------- rows


def test_each_member_has_a_row_with_what_it_says_or_why_it_does_not() -> None:
    cluster = Cluster(
        mine=status_of("10"),
        members=(*MEMBERS, Member("40", "", ("http://127.0.60.4:2380",), is_learner=True), Member("50", "e", ())),
        readable=True,
        statuses={
            "20": Known(status_of("20", leader="")),
            "30": Known(status_of("30", errors=("alarm: NOSPACE", "etcdserver: no space"))),
            "40": Unknown("connection refused"),
        },
    )
    rows = {row.id: row for row in page_of(healthy(mine=Known(cluster))).members}
    assert {id_: (row.role, row.leader, row.health) for id_, row in rows.items()} == {
        "10": ("voter", True, "answers"),
        "20": ("voter", False, "it knows no leader"),
        "30": ("voter", False, "alarm: NOSPACE; etcdserver: no space"),
        "40": ("learner", False, "it has not started yet: connection refused"),
        "50": ("voter", False, "it was not asked"),
    }
    assert (rows["10"].raft_index, rows["10"].db_size, rows["40"].raft_index) == (120, 2**20, None)


def test_a_node_whose_etcd_is_down_shows_the_members_that_a_peer_sees() -> None:
    cluster = Cluster(status_of("20"), MEMBERS, readable=True, statuses={"10": Unknown("connection refused")})
    page = page_of(empty(theirs=Known(cluster)))
    assert [(row.name, row.health) for row in page.members] == [
        ("a", "connection refused"),
        ("b", "answers"),
        ("c", "it was not asked"),
    ]
    assert page.revision == 0


def test_a_learner_which_lists_nobody_shows_the_members_that_a_peer_sees() -> None:
    mine = Cluster(status_of("10", is_learner=True), (), readable=False)
    theirs = Cluster(status_of("20"), MEMBERS, readable=True, statuses={"10": Known(status_of("10"))})
    page = page_of(healthy(mine=Known(mine), theirs=Known(theirs)), served_at=None)
    assert [row.health for row in page.members] == ["answers", "answers", "it was not asked"]
    assert (page.report.is_learner, page.report.leader) == (True, "10")


def test_each_instance_has_a_row_with_what_its_agent_says_or_why_it_does_not() -> None:
    page = page_of(healthy(peers={"b": Known(report_of("b")), "c": Unknown("c gave no full answer within 1 s")}))
    assert [(row.name, row.me, row.situation, row.because) for row in page.instances] == [
        ("a", True, "SERVING", "all is well"),
        ("b", False, "SERVING", "all is well"),
        ("c", False, "", "c gave no full answer within 1 s"),
    ]


def test_only_what_was_asked_for_and_not_had_is_called_unknown() -> None:
    assert page_of().unknown == {}
    blind = healthy(
        group=Unknown("throttled"), registry=Unknown("no route"), mine=Unknown("timeout"), theirs=Unknown("no peer")
    )
    assert page_of(blind).unknown == {
        "provider": "throttled",
        "registry": "no route",
        "etcd": "timeout",
        "cluster": "no peer",
    }
    assert "etcd" not in page_of(empty()).unknown
    assert page_of(empty(peers={}, probes={"b": Unknown("silent")})).unknown["ports of b"] == "silent"


# ---------------------------------------------------------------- the document


def test_peers_read_the_report_from_the_document_that_humans_read() -> None:
    page = page_of()
    assert parse(Report, render(page), "a's report") == page.report


def test_the_original_operators_two_keys_are_there_with_their_types() -> None:
    document = json.loads(render(page_of()))
    assert (document["state"], document["revision"]) == ("OK", 77)


def test_the_document_is_one_flat_object_on_one_line() -> None:
    raw = render(page_of(d=decision(step=AddSelf("http://x", 1, "t", "line\nbreak"))))
    document = json.loads(raw)
    assert raw.count(b"\n") == 1
    assert (document["step"], document["seconds"], document["uptime"]) == ("AddSelf", 10.0, 100.0)
    assert not {"report", "looked_at"} & document.keys()


texts = st.text(max_size=30)


@settings(UNHURRIED)
@given(because=texts, name=texts, volume=texts, unknown=texts, pid=st.integers())
def test_whatever_the_words_the_document_can_be_read_back(
    because: str, name: str, volume: str, unknown: str, pid: int
) -> None:
    disk = Disk(Stamp(name, "i", "n"), Data.PRESENT, volume=volume, last_index=abs(pid))
    o = empty(me=name, disk=Known(disk), registry=Unknown(unknown))
    page = page_of(o, decision(step=Hold(because)))
    assert parse(Report, render(page), "it") == page.report


def keys(page: Page) -> set[str]:
    """Every key of the document, those of rows as `members[].id`."""
    document = json.loads(render(page))
    rows = {f"{key}[].{inner}" for key in ("members", "instances") for inner in document[key][0]}
    return set(document) | rows


def test_every_key_of_the_document_is_explained_and_no_other() -> None:
    explained = set(re.findall(r"^\| `([^`]+)` \|", DOCUMENT.read_text(), re.MULTILINE))
    assert explained == keys(page_of())


def test_every_situation_and_state_of_the_page_is_explained() -> None:
    words = DOCUMENT.read_text()
    assert all(f"`{word}`" in words for word in ("OK", "PENDING", "START"))
    assert all(f"`{holding.value}`" in words for holding in Holding)


def test_a_page_without_rows_is_a_page() -> None:
    page = page_of(empty(group=Unknown("throttled")))
    assert (page.members, page.instances, page.desired) == ((), (), None)
    assert replace(page, state="X").state == "X"
