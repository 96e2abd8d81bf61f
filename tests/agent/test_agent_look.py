from __future__ import annotations

import asyncio
import gc
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from eco.core.model import NOT_RUNNING, NOT_SERVED, Data, Exit, Group, Instance, Running
from eco.core.sight import Known, Unknown

if TYPE_CHECKING:
    from collections.abc import Callable

    from eco.core.model import Observation, Report
    from eco.core.sight import Sight
    from tests.agent.world import Node, Site

LATER = 0.4
"""Seconds by which a look may be late on a busy machine, beside its deadlines."""


def unknown(sight: Sight[Any]) -> str:
    """Why it is unknown."""
    assert isinstance(sight, Unknown), sight
    return sight.because


async def timed(node: Node, deadline: float) -> tuple[Observation, float]:
    began = time.monotonic()
    o = await node.look(deadline)
    return o, time.monotonic() - began


def listing(*instances: Instance) -> Group:
    return Group(instances, desired=len(instances))


def shown(node: Node) -> Report:
    assert node.page is not None
    return node.page.report


async def show(*nodes: Node) -> None:
    """Let these agents turn once, so that they have a page to show."""
    for node in nodes:
        async with node.living():
            await node.decides(lambda _: True, f"{node.name} decides")


# ------------------------------------------------------------------ what is seen


async def test_a_look_sees_every_port(site: Site) -> None:
    etcd = await site.alive("abc")
    a, b, c = site.nodes.values()
    await show(b, c)

    o = await a.look()

    assert isinstance(o.mine, Known)
    assert o.mine.value.readable
    assert set(o.mine.value.statuses) == set(etcd.members) - {a.child.member}
    assert all(isinstance(status, Known) for status in o.mine.value.statuses.values())
    assert o.peers == {"b": Known(shown(b)), "c": Known(shown(c))}
    assert (o.group, o.instance, o.peer_url) == (Known(a.provider.group), a.instance, a.peer_url)
    assert isinstance(o.disk, Known)
    assert isinstance(o.registry, Known)
    assert isinstance(o.process, Running)
    assert (o.theirs, o.probes) == (NOT_SERVED, {})


async def test_ports_are_tried_only_before_a_birth(site: Site) -> None:
    a, b = site.add("ab")

    assert (await a.look()).probes == {"a": Known(value=False), "b": Known(value=False)}
    site.found("b")
    assert (await a.look()).probes == {"a": Known(value=False), "b": Known(value=True)}
    await a.world.registry.beat(1)
    assert (await a.look()).probes == {}
    b.child.end(Exit.CRASHED)
    assert (await b.look()).probes == {}


async def test_a_node_that_does_not_serve_sees_the_cluster_through_a_peer(site: Site) -> None:
    etcd = await site.alive("abc")
    a, b, c = site.nodes.values()
    await show(b, c)
    a.child.end(Exit.CRASHED)

    o = await a.look()

    assert o.mine == NOT_RUNNING
    assert isinstance(o.theirs, Known)
    assert {member.id for member in o.theirs.value.members} == set(etcd.members)


async def test_a_learner_is_seen_without_a_member_list(site: Site) -> None:
    etcd = await site.alive("ab")
    _a, b = site.nodes.values()
    learner = etcd.members[b.child.member]
    etcd.members[learner.id] = replace(learner, is_learner=True)

    o = await b.look()

    assert isinstance(o.mine, Known)
    assert (o.mine.value.mine.is_learner, o.mine.value.members, o.mine.value.readable) == (True, (), False)


async def test_a_member_that_has_not_published_itself_is_asked_at_its_instance(site: Site) -> None:
    etcd = await site.alive("ab")
    a, b = site.nodes.values()
    silent = etcd.members[b.child.member]
    etcd.members[silent.id] = replace(silent, name="", client_urls=())

    o = await a.look()

    assert isinstance(o.mine, Known)
    assert isinstance(o.mine.value.statuses[silent.id], Known)


async def test_another_member_at_a_members_client_url_does_not_speak_for_it(site: Site) -> None:
    etcd = await site.alive("ab")
    a, b = site.nodes.values()
    etcd.members[b.child.member] = replace(
        etcd.members[b.child.member], peer_urls=("http://10.0.0.77:2380",), client_urls=(a.client_url,)
    )

    o = await a.look()

    assert isinstance(o.mine, Known)
    assert a.child.member in unknown(o.mine.value.statuses[b.child.member])


async def test_a_member_that_publishes_a_load_balancer_is_asked_at_its_instance(site: Site) -> None:
    etcd = await site.alive("ab")
    a, b = site.nodes.values()
    etcd.members[b.child.member] = replace(etcd.members[b.child.member], client_urls=(a.client_url,))

    o = await a.look()

    assert isinstance(o.mine, Known)
    assert isinstance(o.mine.value.statuses[b.child.member], Known)


async def test_a_read_that_is_answered_tells_the_process_that_it_served(site: Site) -> None:
    await site.alive("a")
    (a,) = site.nodes.values()

    await a.look()

    assert a.child.told == 1


# ------------------------------------------------------------------ one list a look


@pytest.mark.parametrize(
    "after",
    [
        lambda a, _: listing(a),
        lambda a, b: listing(a, b, Instance("c", "10.0.0.3"), Instance("d", "10.0.0.4")),
        lambda a, b: listing(a, replace(b, name="z")),
        lambda a, b: listing(replace(a, address="10.9.9.9"), replace(b, address="10.9.9.8")),
    ],
    ids=["shrunk", "grown", "renamed", "moved"],
)
async def test_a_look_speaks_of_one_list_whatever_the_provider_says_meanwhile(
    site: Site, after: Callable[[Instance, Instance], Group]
) -> None:
    a, b = site.add("ab")
    before = a.provider.group
    site.meanwhile = lambda: a.loop.looker.heard(after(a.instance, b.instance))

    o = await a.look()

    assert o.group == Known(before)
    assert set(o.peers) == {"b"}
    assert set(o.probes) == {"a", "b"}
    assert (o.instance, o.peer_url) == (a.instance, a.peer_url)


async def test_the_list_may_lose_a_serving_peer_while_it_is_asked(site: Site) -> None:
    await site.alive("abc")
    a, b, c = site.nodes.values()
    await show(b, c)
    a.child.end(Exit.CRASHED)
    site.meanwhile = lambda: a.loop.looker.heard(listing(a.instance))

    o = await a.look()

    assert isinstance(o.theirs, Known)


async def test_a_silent_provider_leaves_the_addresses(site: Site) -> None:
    a, b = site.add("ab")
    await a.look()
    a.loop.looker.forget("the cloud is down")

    o = await a.loop.looker.look(a.loop.intent)

    assert unknown(o.group) == "the cloud is down"
    assert (o.instance, set(o.peers)) == (a.instance, {b.name})


async def test_a_list_without_me_does_not_take_my_address(site: Site) -> None:
    a, b = site.add("ab")
    await a.look()
    a.loop.looker.heard(listing(b.instance))

    o = await a.loop.looker.look(a.loop.intent)

    assert (o.instance, o.peer_url) == (a.instance, a.peer_url)


# ------------------------------------------------------------------ what does not answer


async def test_before_the_provider_has_ever_answered_nothing_is_known_of_the_group(site: Site) -> None:
    (a,) = site.add("a")
    site.found("a")
    a.provider.down = "no credentials"

    o = await a.look()

    assert unknown(o.group) == "the provider has not answered yet"
    assert unknown(o.mine) == "my own address is not known"
    assert (o.instance, o.peer_url) == (None, "")


async def test_a_peer_that_never_answers_is_unknown_at_the_deadline(site: Site) -> None:
    a, b, _c = site.add("abc")
    await show(b)
    site.mute.add("c")

    o, seconds = await timed(a, deadline=0.1)

    assert unknown(o.peers["c"]) == "no answer within 0.1 s"
    assert unknown(o.probes["c"]) == "no answer within 0.1 s"
    assert o.peers["b"] == Known(shown(b))
    assert seconds < 2 * 0.1 + LATER  # reports, then ports


async def test_an_etcd_that_never_answers_is_unknown_at_the_deadline(site: Site) -> None:
    await site.alive("a")
    (a,) = site.nodes.values()
    site.mute.add("a")

    o, seconds = await timed(a, deadline=0.1)

    assert unknown(o.mine) == "no answer within 0.1 s"
    assert seconds < 2 * 0.1 + LATER


async def test_several_serving_peers_whose_etcds_hang_cost_one_deadline(site: Site) -> None:
    await site.alive("abcde")
    a, *others = site.nodes.values()
    await show(*others)
    a.child.end(Exit.CRASHED)
    site.hung |= {node.name for node in others}

    o, seconds = await timed(a, deadline=0.5)

    assert unknown(o.theirs) == "no answer within 0.5 s"
    assert seconds < 2 * 0.5 + LATER


async def test_a_serving_peer_is_found_behind_one_whose_etcd_hangs(site: Site) -> None:
    etcd = await site.alive("abc")
    a, b, c = site.nodes.values()
    await show(b, c)
    a.child.end(Exit.CRASHED)
    etcd.members[b.child.member] = replace(etcd.members[b.child.member], client_urls=("http://10.0.0.99:2379",))
    site.hung.add("b")

    o, seconds = await timed(a, deadline=0.5)

    assert isinstance(o.theirs, Known)
    assert o.theirs.value.mine.member_id == c.child.member
    assert seconds < 2 * 0.5 + LATER


async def test_a_slow_store_is_unknown_at_its_deadline(site: Site) -> None:
    (a,) = site.add("a")
    site.store.delay = 60.0

    o, seconds = await timed(a, deadline=0.1)

    assert unknown(o.registry) == "no answer within 1.5 s"
    assert seconds < 1.5 + 0.1 + LATER


@pytest.mark.parametrize("down", ["access denied", "the bucket is not there"])
async def test_what_a_port_says_instead_of_an_answer_is_the_sentence(site: Site, down: str) -> None:
    a, _ = site.add("ab")
    site.store.down = down

    o = await a.look()

    assert unknown(o.registry) == down
    assert unknown(o.peers["b"]) == "nobody listens at 10.0.0.2"


async def test_a_data_directory_that_cannot_be_read_is_unknown(site: Site) -> None:
    (a,) = site.add("a")
    a.data.look(running=False)
    (a.directory / "eco" / "stamp.json").write_bytes(b"{")

    o = await a.look()

    assert "stamp.json" in unknown(o.disk)


async def test_a_corrupt_answer_is_unknown_and_its_sentence_stays(site: Site) -> None:
    (a,) = site.add("a")
    site.store.objects["k/cluster.json"] = b"not JSON"

    assert "cluster.json" in unknown((await a.look()).registry)


async def test_a_hanging_peer_does_not_hold_up_the_other_answers(site: Site) -> None:
    await site.alive("ab")
    a, _b = site.nodes.values()
    site.mute.add("b")

    o, seconds = await timed(a, deadline=0.2)

    assert isinstance(o.registry, Known)
    assert isinstance(o.disk, Known)
    assert o.disk.value.data is Data.PRESENT
    assert seconds < 2 * 0.2 + LATER


@pytest.mark.parametrize("steps", range(12))
async def test_a_look_may_be_abandoned_at_any_moment(site: Site, steps: int, recwarn: pytest.WarningsRecorder) -> None:
    """As when the agent ends: no question is left that was put together and never asked."""
    await site.alive("abc")
    a, b, c = site.nodes.values()
    await show(b, c)
    if steps % 2:
        a.child.end(Exit.CRASHED)
    await a.look()

    look = asyncio.create_task(a.loop.looker.look(a.loop.intent))
    for _ in range(steps):
        await asyncio.sleep(0)
    look.cancel()
    await asyncio.wait((look,))
    del look
    gc.collect()

    assert [str(warning.message) for warning in recwarn] == []
