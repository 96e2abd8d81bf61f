"""The metrics say what the look and the decision said, and each of them is explained."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from eco.core.decision import Situation
from eco.core.model import Cluster, Running, Stopped
from eco.core.sight import Known, Unknown
from eco.core.steps import AddSelf
from eco.status.metrics import BUCKETS, FACTS, Metrics
from tests.status.worlds import MEMBERS, decision, empty, healthy, status_of

DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(metrics: Metrics) -> Samples:
    """Everything that is exported, by name and labels."""
    families = text_string_to_metric_families(metrics.render().decode())
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return samples(metrics).get((name, tuple(sorted(labels.items()))))


def measured(o: object = None, d: object = None) -> Metrics:
    metrics = Metrics(eco="0.1.0", etcd="3.6.14")
    metrics.record(o or healthy(), d or decision(), 0.02)  # type: ignore[arg-type]
    return metrics


def test_a_healthy_leader_says_so() -> None:
    metrics = measured()
    for claim in ("eco_etcd_up", "eco_serving", "eco_has_leader", "eco_is_leader"):
        assert value(metrics, claim) == 1
    assert value(metrics, "eco_members", role="voter") == 3
    assert value(metrics, "eco_members", role="learner") == 0
    assert value(metrics, "eco_members_desired") == 3
    assert value(metrics, "eco_build_info", version="0.1.0", etcd="3.6.14") == 1


def test_a_follower_that_cannot_read_is_neither_leader_nor_serving() -> None:
    cluster = Cluster(status_of("20", leader=""), MEMBERS, readable=False)
    metrics = measured(healthy(mine=Known(cluster)))
    claims = [value(metrics, name) for name in ("eco_etcd_up", "eco_serving", "eco_has_leader", "eco_is_leader")]
    assert claims == [1, 0, 0, 0]


def test_a_count_that_is_not_known_has_no_sample() -> None:
    metrics = measured(empty(group=Unknown("throttled"), peers={"b": Unknown("x")}, probes={"c": Unknown("y")}))
    assert value(metrics, "eco_members", role="voter") is None
    assert value(metrics, "eco_members_desired") is None
    facts = {fact: value(metrics, "eco_fact_unknown", fact=fact) for fact in FACTS}
    assert facts == {
        "provider": 1,
        "disk": 0,
        "registry": 0,
        "etcd": 0,
        "cluster": 1,
        "peers": 1,
        "ports": 1,
    }


def test_exactly_one_situation_is_on() -> None:
    metrics = measured(d=decision(Situation.DORMANT))
    on = {s: value(metrics, "eco_situation", situation=s.value) for s in Situation}
    assert on == {s: float(s is Situation.DORMANT) for s in Situation}
    assert value(metrics, "eco_situation_seconds") == 10


def test_ticks_refusals_and_alarms_are_counted() -> None:
    metrics = measured()
    metrics.record(healthy(), decision(step=AddSelf("u", 1, "t", "it joins"), refused=("I5",), alarms=("a", "b")), 0.3)
    metrics.record(healthy(), decision(refused=("I4", "I5")), 0.3)
    assert value(metrics, "eco_decisions_total", step="Hold") == 2
    assert value(metrics, "eco_decisions_total", step="AddSelf") == 1
    assert value(metrics, "eco_decisions_total", step="Found") == 0
    assert value(metrics, "eco_refusals_total") == 3
    assert value(metrics, "eco_alarms") == 0


def test_a_restart_is_another_process_than_the_last_one_seen() -> None:
    metrics = Metrics(eco="0.1.0")
    pids = (None, 7, 7, None, 8, 9, None, None, 9)
    for pid in pids:
        process = Stopped() if pid is None else Running(pid, 0.0)
        metrics.record(healthy(process=process), decision(), 0.01)
    assert value(metrics, "eco_etcd_restarts_total") == 2


def test_the_time_of_a_tick_is_a_histogram() -> None:
    metrics = measured()
    for seconds in (0.005, 0.3, 99.0):
        metrics.record(healthy(), decision(), seconds)
    counts = [value(metrics, "eco_loop_seconds_bucket", le=le) for le in ("0.005", "0.025", "0.5", "60.0", "+Inf")]
    assert counts == [1, 2, 3, 3, 4]
    assert value(metrics, "eco_loop_seconds_count") == 4
    assert value(metrics, "eco_loop_seconds_sum") == 0.02 + 0.005 + 0.3 + 99.0
    assert list(BUCKETS) == sorted(BUCKETS)


def test_before_the_first_tick_there_are_metrics_without_claims() -> None:
    metrics = Metrics(eco="0.1.0")
    assert value(metrics, "eco_build_info", version="0.1.0", etcd="") == 1
    assert value(metrics, "eco_etcd_up") is None


def test_the_agents_own_process_is_measured_on_linux() -> None:
    names = {name for name, _ in samples(measured())}
    assert ("process_resident_memory_bytes" in names) == (sys.platform == "linux")


def test_every_metric_is_explained_with_its_labels_and_no_other() -> None:
    rows = re.findall(r"^\| `(eco_[a-z_]+)(?:\{([^}]*)\})?` \|", DOCUMENT.read_text(), re.MULTILINE)
    explained = {name: tuple(sorted(filter(None, labels.split(",")))) for name, labels in rows}
    exported: dict[str, tuple[str, ...]] = {}
    for name, labels in samples(measured()):
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        kept = tuple(sorted(label for label, _ in labels if label != "le"))
        if base.startswith("eco_"):
            exported[base] = kept
    assert explained == exported


def test_every_value_of_a_closed_label_is_explained() -> None:
    words = DOCUMENT.read_text()
    assert all(f"`{fact}`" in words for fact in (*FACTS, "voter", "learner"))


def test_nothing_on_the_status_port_imports_what_is_slow_to_import() -> None:
    modules = "eco.status.api, eco.status.http, eco.status.peers, eco.status.metrics, eco.status.client"
    program = f"import sys, {modules}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert not {"prometheus_client", "aiohttp", "grpc", "rich", "typer"} & set(done.stdout.split())
