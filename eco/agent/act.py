"""Act: perform one step, exactly as decided. Nothing here chooses.

Each act is repeatable, bounded in time, and safe to be killed in the middle. The stamp is written
before the effect it announces: `started` before the first exec of etcd, the accepted join before
old data is set aside.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar, assert_never

from eco.core.model import Id, Instance, Join, Origin, Roster, Stamp
from eco.core.sight import Known
from eco.core.steps import (
    AddSelf,
    Adopt,
    ConfirmRoster,
    Enrol,
    Found,
    Hold,
    MoveLeader,
    Promote,
    RemoveMember,
    Restart,
    SetAside,
    Start,
    Step,
    Stop,
    UpdatePeerUrl,
    WriteRoster,
)
from eco.core.view import View
from eco.errors import Bug, Refused, Unavailable
from eco.etcd.flags import FirstStart, argv
from eco.etcd.ids import cluster_id, founder_id

if TYPE_CHECKING:
    from eco.agent.world import World
    from eco.core.model import Disk, Member, Observation, Voter
    from eco.core.sight import Sight

T = TypeVar("T")

GRACE = 15.0
"""Seconds between SIGTERM and SIGKILL: etcd drains its clients and hands over in far less."""

DEADLINE = 30.0
"""Seconds any step may take."""

IRREVERSIBLE = (Found, AddSelf, SetAside, Promote, RemoveMember, UpdatePeerUrl, WriteRoster, Adopt, Restart)
"""Steps before which the world is looked at once more. A stop is not: nobody waits for it twice."""


@dataclass(frozen=True)
class Actor:
    """Takes the steps of one node."""

    world: World

    async def act(self, step: Step, o: Observation) -> str:
        """Take `step`, decided on `o`; returns the sentence of what came of it.

        Raises `Unavailable`, `Refused` or `Corrupt`: then the next look tells how far it got.
        """
        async with asyncio.timeout(DEADLINE):
            return await self._act(step, o)

    async def _act(self, step: Step, o: Observation) -> str:  # noqa: C901, PLR0912 - one case a step
        world = self.world
        match step:
            case Hold():
                return "waits"
            case Found():
                return await self._found(step, o)
            case Start():
                return await self._start(step, o)
            case Restart():
                await world.child.stop(GRACE)
                return await self._start(Start(step.because), o)
            case Stop():
                await world.child.stop(GRACE)
                return "etcd is stopped"
            case SetAside():
                return self._set_aside(step, o)
            case AddSelf():
                return await self._add_self(step, o)
            case Promote():
                await world.api.promote(urls_of_voters(o), step.member_id)
                return f"{step.name} is a voter"
            case RemoveMember():
                await world.api.remove(urls_of_voters(o), step.member_id)
                return f"{step.name} ({step.member_id}) is removed"
            case UpdatePeerUrl():
                await world.api.update_peer_urls(urls_of_voters(o), step.member_id, (step.peer_url,))
                return f"my peer URL is {step.peer_url}"
            case MoveLeader():
                await world.api.move_leader(urls_of_leader(o), step.to)
                return f"{step.name} leads"
            case WriteRoster():
                return await self._write_roster(step, o)
            case ConfirmRoster():
                await world.registry.confirm(step.roster)
                return f"roster {step.roster.seq} is confirmed"
            case Adopt():
                return await self._adopt(step, o)
            case Enrol():
                return self._enrol(step, o)
            case _:
                assert_never(step)

    # ------------------------------------------------------------ birth

    async def _found(self, step: Found, o: Observation) -> str:
        group, stamp = _known(o.group, "group"), _disk(o).stamp
        token = f"{o.cluster}-g{step.number}-{secrets.token_hex(8)}"
        instances = {instance.name: instance for instance in group.instances}
        founders = tuple(self._founder(voter, instances[voter.name], token) for voter in step.founders)
        charter = await self.world.registry.found(
            step.number,
            founders=founders,
            token=token,
            cluster_id=cluster_id(voter.member_id for voter in founders),
            origin=Origin.NOTHING,
            evidence=step.because,
            owner=group.identity,
            nonce=stamp.nonce,
        )
        won = charter.nonce == stamp.nonce
        return f"generation {step.number} is founded" if won else f"{charter.by} has founded generation {step.number}"

    def _founder(self, voter: Voter, instance: Instance, token: str) -> Voter:
        url = self.world.peer_url(instance)
        return replace(voter, peer_urls=(url,), member_id=founder_id((url,), token))

    # ------------------------------------------------------------ etcd

    async def _start(self, step: Start, o: Observation) -> str:
        if o.instance is None:
            raise Unavailable("my own address is not known: the provider has never listed me")
        disk = _disk(o)
        stamp = self._started(step, o, disk)
        first = None
        if step.charter is not None:
            pairs = tuple((v.name, url) for v in step.charter.founders for url in v.peer_urls)
            first = FirstStart(pairs, token=step.charter.token, state="new")
        elif step.join is not None:
            first = FirstStart(step.join.initial_cluster, token=step.join.token, state="existing")
        command = argv(self.world.binaries, self.world.settings(o.instance), first)
        if stamp != disk.stamp or not disk.stamped:
            self.world.data.stamp("start.stamp", stamp)
        await self.world.child.start(command, self.world.environment)
        return "etcd is started"

    def _started(self, step: Start, o: Observation, disk: Disk) -> Stamp:
        """The stamp of the data set that etcd is about to work on."""
        registry_id = o.registry.value.registry_id if isinstance(o.registry, Known) else ""
        volume = View(o).my_volume
        base = replace(
            disk.stamp,
            name=o.me,
            cluster=o.cluster,
            registry_id=registry_id or disk.stamp.registry_id,
            volume=volume or disk.stamp.volume,
            started=True,
        )
        if step.charter is not None:
            me = next((v for v in step.charter.founders if v.incarnation == disk.stamp.incarnation), None)
            if me is None:
                raise Bug("asked to start as a founder of a charter that does not name me")
            charter = step.charter
            return replace(
                base,
                generation=charter.number,
                token=charter.token,
                member_id=me.member_id,
                cluster_id=charter.cluster_id,
            )
        if step.join is not None:
            join = step.join
            return replace(
                base,
                generation=join.generation,
                token=join.token,
                member_id=join.member_id,
                cluster_id=join.cluster_id,
                join=None,
            )
        member = disk.member_id or disk.stamp.member_id
        return replace(base, member_id=member, cluster_id=disk.cluster_id or disk.stamp.cluster_id)

    # ------------------------------------------------------------ joining

    def _set_aside(self, step: SetAside, o: Observation) -> str:
        old = _disk(o).stamp
        fresh = Stamp(
            name=o.me,
            incarnation=secrets.token_hex(8),
            nonce=secrets.token_hex(8),
            cluster=o.cluster,
            registry_id=old.registry_id,
            join=old.join,
        )
        self.world.data.set_aside("aside", step.why, fresh)
        return "an empty data set is begun"

    async def _add_self(self, step: AddSelf, o: Observation) -> str:
        urls = urls_of_voters(o)
        for stale in step.stale:
            await self.world.api.remove(urls, stale)
        if step.ghost:
            member, members = step.ghost, await self.world.api.members(urls, linearizable=True)
        else:
            member, members = await self.world.api.add_learner(urls, step.peer_url)
        if member not in {m.id for m in members}:
            raise Refused(f"etcd's answer does not list {member}, the member it added")
        theirs = _known(o.theirs, "serving cluster")
        join = Join(step.generation, step.token, theirs.mine.cluster_id, member, _pairs(members, member, o.me))
        self.world.data.stamp("join.stamp", replace(_disk(o).stamp, join=join))
        return f"accepted as learner {member}"

    # ------------------------------------------------------------ records

    async def _give_back(self, stamp: Stamp) -> None:
        """Nothing new is written above a hole: a registry that went backwards first gets my stamp's rosters."""
        if stamp.registry_id and stamp.rosters:
            await self.world.registry.restore(stamp.registry_id, stamp.rosters)

    async def _write_roster(self, step: WriteRoster, o: Observation) -> str:
        roster = Roster(
            generation=step.generation,
            seq=step.seq,
            nonce=secrets.token_hex(8),
            voters=step.voters,
            by=o.me,
            at=self.world.wall(),
            why=step.because,
        )
        await self._give_back(_disk(o).stamp)
        winner = await self.world.registry.write_roster(roster)
        if winner.nonce != roster.nonce:
            raise Refused(f"{winner.by} has written roster {step.seq} before me")
        return f"roster {step.seq} is written"

    async def _adopt(self, step: Adopt, o: Observation) -> str:
        disk, registry = _disk(o), _known(o.registry, "registry")
        group = _known(o.group, "group")  # the owner is written once and for ever: never as "nobody yet"
        if disk.stamp.registry_id and not registry.registry_id:
            await self.world.registry.repair(disk.stamp.registry_id, group.identity)
        await self._give_back(disk.stamp)
        voters = tuple(replace(v, medium=group.medium) for v in step.voters)
        charter = await self.world.registry.found(
            step.number,
            founders=voters,
            token=step.token or f"{o.cluster}-g{step.number}-{secrets.token_hex(8)}",
            cluster_id=step.cluster_id,
            origin=Origin.ADOPTED,
            evidence=step.because,
            owner=group.identity,
            nonce=disk.stamp.nonce,
        )
        return f"generation {charter.number} is registered by {charter.by}"

    def _enrol(self, step: Enrol, o: Observation) -> str:
        disk, registry = _disk(o), _known(o.registry, "registry")
        stamp = replace(
            disk.stamp,
            registry_id=registry.registry_id,
            generation=step.generation,
            token=step.token,
            member_id=step.member_id,
            cluster_id=step.cluster_id,
            started=True,  # it runs: should its files be gone tomorrow, they are lost, not yet to come
        )
        self.world.data.stamp("enrol.stamp", stamp)
        return f"my stamp says generation {step.generation}"


def urls_of_voters(o: Observation) -> tuple[str, ...]:
    """The voters' client URLs, mine first: they answer what learners do not."""
    view = View(o)
    own = view.mine.mine.member_id if view.mine else ""
    ordered = sorted(view.voters, key=lambda m: (m.id != own, m.id not in view.healthy, m.name))
    return tuple(url for member in ordered for url in member.client_urls)


def urls_of_leader(o: Observation) -> tuple[str, ...]:
    """The leader's client URLs: it alone hands leadership over."""
    view = View(o)
    leader = view.cluster.mine.leader if view.cluster else ""
    return tuple(url for member in view.voters if member.id == leader for url in member.client_urls)


def _pairs(members: tuple[Member, ...], me: Id, name: str) -> tuple[tuple[str, str], ...]:
    """`--initial-cluster` as the answer to MemberAdd implies it: mine under my name, a member that
    has not published its name under its id (etcd compares the URLs)."""
    return tuple((name if m.id == me else m.name or m.id, url) for m in members for url in m.peer_urls)


def _disk(o: Observation) -> Disk:
    return _known(o.disk, "data directory")


def _known(sight: Sight[T], what: str) -> T:
    if not isinstance(sight, Known):
        raise Unavailable(f"the {what} cannot be seen any more")
    return sight.value
