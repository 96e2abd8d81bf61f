"""A toy world for convergence: nodes with disks and agents, etcd as membership and quorum alone.

A node's turn is a look, a decision, and the effects of its step, one by one; between any two of
them its agent can be killed, and between look and effect other nodes can have their turn. What
etcd refuses is refused here: a change without quorum, a second learner, an address used twice.
After every effect `check` holds the world against I1, I3 and I5.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from eco.core import model as m
from eco.core import steps as s
from eco.core.decision import Decision, Memory, Situation
from eco.core.policy import Policy
from eco.core.quorum import has_quorum
from eco.core.sight import Known, Sight, Unknown
from eco.core.tick import tick
from eco.core.view import View

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

T = TypeVar("T")

POLICY = Policy()
DOWN = Unknown("no answer")
JOINING = (Situation.ABSENT, Situation.DAMAGED, Situation.SUPERSEDED)


class RefusedByEtcd(Exception):
    """Etcd understood, and said no."""


@dataclass
class Etcd:
    """One cluster: its members, its leader, and the index of the last acknowledged write."""

    id: str
    members: dict[str, m.Member]
    leader: str = ""
    index: int = 100

    def voters(self) -> list[str]:
        return [i for i, member in self.members.items() if not member.is_learner]


@dataclass
class Node:
    """A machine: its disk outlives its agent and its etcd, and `applied` lies on it."""

    name: str
    disk: m.Disk
    listed: bool = True
    presence: m.Presence = m.Presence.PRESENT
    agent: bool = True
    running: bool = False
    exit: m.Exit | None = None
    applied: int = 0
    served: bool = False
    memory: Memory = field(default_factory=Memory)
    intent: m.Intent = m.Intent()  # noqa: RUF009 - a frozen value
    report: m.Report | None = None

    @property
    def member(self) -> str:
        return self.disk.stamp.member_id or self.disk.member_id


def url(name: str) -> str:
    return f"http://{name}:2380"


class World:
    """All nodes, all etcds, one registry, one provider."""

    def __init__(self, names: str, rng: random.Random) -> None:
        self.rng, self.now, self.drawn = rng, 0.0, 0
        self.registry = m.RegistryView()
        self.etcds: dict[str, Etcd] = {}
        self.desired = len(names)
        self.gone: set[str] = set()
        self.flaky = 0.0
        self.nodes: dict[str, Node] = {}
        for name in names:
            self.add(name)

    # ------------------------------------------------------------ what people and clouds do

    def add(self, name: str) -> Node:
        stamp = self.fresh(name)
        self.nodes[name] = Node(name, m.Disk(stamp, m.Data.ABSENT, volume=f"v-{name}"))
        return self.nodes[name]

    def fresh(self, name: str, join: m.Join | None = None) -> m.Stamp:
        return m.Stamp(name, self.draw("i"), self.draw("n"), cluster="k", join=join)

    def draw(self, what: str) -> str:
        self.drawn += 1
        return f"{what}{self.drawn}"

    def wipe(self, name: str) -> None:
        """Kill everything on the node, and empty its data directory."""
        self.crash(name)
        self.nodes[name].disk = m.Disk(self.fresh(name), m.Data.ABSENT, volume=f"v-{name}")
        self.nodes[name].applied = 0

    def crash(self, name: str) -> None:
        """Kill agent and etcd; the supervisor starts the agent again at once."""
        node = self.nodes[name]
        node.running = node.served = False
        node.exit, node.memory, node.report = m.Exit.CRASHED, Memory(), None
        self.settle()

    def terminate(self, name: str) -> None:
        self.crash(name)
        del self.nodes[name]
        self.gone.add(name)

    def plain(self, names: str) -> None:
        """A plain etcd cluster of these nodes, without agents, under names of its own."""
        members = {f"p{n}": m.Member(f"p{n}", f"etcd-{n}", (url(n),)) for n in names}
        self.etcds["cp"] = Etcd("cp", members)
        for name in names:
            node = self.nodes[name]
            node.agent, node.running, node.applied, node.served = False, True, 100, True
            node.disk = replace(node.disk, data=m.Data.PRESENT, stamped=False, member_id=f"p{name}", cluster_id="cp")
        self.settle()

    # ------------------------------------------------------------ etcd

    def etcd_of(self, node: Node) -> Etcd | None:
        """The etcd that the node's data belongs to."""
        return self.etcds.get(node.disk.stamp.cluster_id or node.disk.cluster_id)

    def up(self, etcd: Etcd) -> dict[str, Node]:
        running = [n for n in self.nodes.values() if n.running and self.etcd_of(n) is etcd]
        return {n.member: n for n in running if n.member in etcd.members}

    def quorum(self, etcd: Etcd) -> bool:
        return has_quorum(etcd.voters(), self.up(etcd))

    def settle(self) -> None:
        """Removed members end, leaders are elected, writes are acknowledged and replicated."""
        for node in self.nodes.values():
            etcd = self.etcd_of(node)
            if node.running and etcd is not None and node.member not in etcd.members:
                node.running, node.served, node.exit = False, False, m.Exit.REMOVED
        for etcd in self.etcds.values():
            self.elect(etcd)

    def elect(self, etcd: Etcd) -> None:
        up = self.up(etcd)
        if not self.quorum(etcd):
            etcd.leader = ""
            return
        fit = [i for i in up if i in etcd.voters() and up[i].applied >= etcd.index]
        if etcd.leader not in fit:
            assert fit, f"I1: no voter that is up holds index {etcd.index} of {etcd.id}"
            etcd.leader = self.rng.choice(sorted(fit))
        etcd.index += 1
        for member, node in up.items():
            node.applied, node.served = etcd.index, True
            if not etcd.members[member].name.startswith("etcd-") or node.disk.stamped:
                etcd.members[member] = replace(etcd.members[member], name=node.name)

    def check(self) -> None:
        serving = sorted(etcd.id for etcd in self.etcds.values() if self.quorum(etcd))
        assert len(serving) <= 1, f"I3: {serving} both accept writes"

    # ------------------------------------------------------------ one turn

    def turn(self, name: str) -> Iterator[Decision]:
        """Look and decide, then one effect at each `next`. Abandoned: the agent was killed."""
        node = self.nodes[name]
        o = self.look(node)
        decision = tick(node.memory, o, POLICY)
        node.memory, node.report = decision.memory, self.report(node, o, decision)
        assert not decision.refused, decision.refused
        yield decision
        try:
            for _ in self.effects(node, decision.step, o):
                self.settle()
                self.check()
                yield decision
        except RefusedByEtcd:
            return

    def chores(self) -> None:
        """Greetings, and the leader's beat."""
        greetings = dict(self.registry.greetings)
        for node in self.nodes.values():
            if node.agent and node.disk.data is m.Data.ABSENT and not node.disk.stamp.started:
                greetings[node.disk.stamp.incarnation] = node.disk.stamp.nonce
        led = any(e.leader for e in self.etcds.values()) and self.registry.charters and self.now % 60 == 0
        alive = (self.registry.alive or 0) + 1 if led else self.registry.alive
        self.registry = replace(self.registry, greetings=greetings, alive=alive)

    def look(self, node: Node) -> m.Observation:
        listed = {n.name: m.Instance(n.name, n.name, presence=n.presence) for n in self.nodes.values() if n.listed}
        others = [self.nodes[name] for name in sorted(listed) if name != node.name]
        group = m.Group(tuple(listed[n] for n in sorted(listed)), self.desired, tuple(sorted(self.gone)))
        peers: dict[str, Sight[m.Report]] = {
            o.name: self.seen(Known(o.report)) if o.agent and o.report is not None else DOWN for o in others
        }
        probing = node.disk.data is m.Data.ABSENT and self.registry.alive is None and not self.registry.rosters
        mine = self.seen(self.mine(node))
        serves = isinstance(mine, Known) and mine.value.readable
        running = m.Running(1, 0.0)
        return m.Observation(
            now=self.now,
            me=node.name,
            cluster="k",
            group=self.seen(Known(group)),
            disk=self.seen(Known(node.disk)),
            process=running if node.running else m.Stopped(node.exit),
            registry=self.seen(Known(self.registry)),
            instance=listed.get(node.name),
            peer_url=url(node.name),
            peers=peers,
            probes={o.name: Known(o.running) for o in (node, *others)} if probing else {},
            mine=mine,
            theirs=m.NOT_SERVED if serves else self.seen(self.theirs(others)),
            intent=node.intent,
        )

    def seen(self, sight: Sight[T]) -> Sight[T]:
        """A look that may fail."""
        return DOWN if self.rng.random() < self.flaky else sight

    def mine(self, node: Node) -> Sight[m.Cluster]:
        """A member that was started without a quorum answers nothing."""
        etcd = self.etcd_of(node)
        if not node.running or etcd is None or not (node.served or etcd.leader):
            return DOWN
        learner = etcd.members[node.member].is_learner
        up = self.up(etcd)
        statuses: dict[str, Sight[m.MemberStatus]] = {
            i: self.seen(Known(self.status(etcd, i, up[i]))) if i in up else DOWN
            for i in etcd.members
            if i != node.member
        }
        members = () if learner else tuple(sorted(etcd.members.values(), key=lambda member: member.id))
        readable = etcd.leader != "" and not learner
        return Known(m.Cluster(self.status(etcd, node.member, node), members, readable, statuses))

    def status(self, etcd: Etcd, member: str, node: Node) -> m.MemberStatus:
        learner = etcd.members[member].is_learner
        return m.MemberStatus(member, etcd.id, etcd.leader, 1, etcd.index, node.applied, 1, learner)

    def theirs(self, others: list[Node]) -> Sight[m.Cluster]:
        for other in others:
            sight = self.mine(other)
            if other.agent and isinstance(sight, Known) and sight.value.readable:
                return sight
        return m.NOT_SERVED

    def report(self, node: Node, o: m.Observation, decision: Decision) -> m.Report:
        view, stamp = View(o), node.disk.stamp
        given_up = decision.situation is Situation.DAMAGED
        mine = view.mine.mine if view.mine else None
        return m.Report(
            node.name,
            stamp.incarnation,
            stamp.nonce,
            decision.situation.value,
            decision.because,
            m.Holding.DAMAGED if given_up else view.holding,
            generation=stamp.generation,
            registry_id=stamp.registry_id,
            cluster="k",
            member_id=node.member,
            cluster_id=stamp.cluster_id,
            volume=view.my_volume,
            serving=view.serving,
            is_learner=mine is not None and mine.is_learner,
            stopping=o.intent.stopping_since is not None,
            leaving=o.intent.leaving_since is not None,
            ticket=decision.memory.ticket,
            waiting=decision.situation in JOINING,
            progress=node.applied,
        )

    # ------------------------------------------------------------ effects

    def effects(self, node: Node, step: s.Step, o: m.Observation) -> Iterator[None]:  # noqa: C901, PLR0912 - one case a step
        """Perform the step; each `yield` is a place to be killed at."""
        match step:
            case s.Found():
                yield from self.found(step)
            case s.Start():
                yield from self.start(node, step)
            case s.Restart() | s.Stop():
                self.stop(node, exits=isinstance(step, s.Stop) and step.then_exit)
                yield
            case s.SetAside():
                stamp = self.fresh(node.name, node.disk.stamp.join)
                node.disk, node.applied = m.Disk(stamp, m.Data.ABSENT, volume=node.disk.volume), 0
                yield
            case s.AddSelf():
                yield from self.add_self(node, step, o)
            case s.Promote():
                etcd = self.asked(node)
                etcd.members[step.member_id] = replace(etcd.members[step.member_id], is_learner=False)
                yield
            case s.RemoveMember():
                self.remove(self.asked(node), step.member_id)
                yield
            case s.MoveLeader():
                etcd = self.asked(node)
                etcd.leader = step.to if step.to in self.up(etcd) else etcd.leader
                yield
            case s.WriteRoster():
                roster = m.Roster(step.generation, step.seq, self.draw("n"), step.voters, node.name, "", step.because)
                if step.seq not in {r.seq for r in self.registry.rosters}:
                    self.registry = replace(self.registry, rosters=(*self.registry.rosters, roster))
                yield
            case s.ConfirmRoster():
                done = (replace(r, confirmed=r.confirmed or r == step.roster) for r in self.registry.rosters)
                self.registry = replace(self.registry, rosters=tuple(done))
                yield
            case s.Adopt():
                self.register(step.number, step.cluster_id, step.voters, m.Origin.ADOPTED, step.token or "t")
                yield
            case s.Enrol():
                stamp = replace(node.disk.stamp, registry_id="r", generation=step.generation, token=step.token)
                stamp = replace(stamp, member_id=step.member_id, cluster_id=step.cluster_id)
                node.disk = replace(node.disk, stamp=stamp)
                yield
            case s.UpdatePeerUrl():
                etcd = self.asked(node)
                etcd.members[step.member_id] = replace(etcd.members[step.member_id], peer_urls=(step.peer_url,))
                yield

    def stop(self, node: Node, *, exits: bool) -> None:
        etcd = self.etcd_of(node)
        served = etcd is not None and self.quorum(etcd)
        node.running = node.served = False
        node.exit, node.agent = m.Exit.ASKED, not exits
        if etcd is not None and served and not self.quorum(etcd):
            stay = [n.name for n in self.up(etcd).values() if n.intent.stopping_since is None]
            assert not stay, f"I5: the stop of {node.name} takes quorum from {stay}"

    def register(self, number: int, cluster: str, voters: tuple[m.Voter, ...], origin: m.Origin, token: str) -> None:
        """Create-if-absent: the first charter of a number is the one."""
        if number not in {c.number for c in self.registry.charters}:
            founds = m.Verdict.FOUNDS
            charter = m.Charter(number, founds, self.draw("n"), token, cluster, voters, origin, "", "", "")
            self.registry = replace(self.registry, registry_id="r", charters=(*self.registry.charters, charter))

    def found(self, step: s.Found) -> Iterator[None]:
        self.registry = replace(self.registry, registry_id="r")
        yield
        voters = tuple(replace(v, member_id=f"f{step.number}{v.name}", peer_urls=(url(v.name),)) for v in step.founders)
        self.register(step.number, f"c{step.number}", voters, m.Origin.NOTHING, f"t{step.number}")
        yield

    def start(self, node: Node, step: s.Start) -> Iterator[None]:
        stamp = replace(node.disk.stamp, started=True, registry_id=self.registry.registry_id, volume=node.disk.volume)
        if step.charter is not None:
            charter = step.charter
            me = next(v for v in charter.founders if v.incarnation == stamp.incarnation)
            members = {v.member_id: m.Member(v.member_id, v.name, v.peer_urls) for v in charter.founders}
            self.etcds.setdefault(charter.cluster_id, Etcd(charter.cluster_id, members, index=0))
            stamp = replace(stamp, generation=charter.number, member_id=me.member_id, cluster_id=charter.cluster_id)
        elif step.join is not None:
            join = step.join
            stamp = replace(stamp, generation=join.generation, member_id=join.member_id, cluster_id=join.cluster_id)
            stamp = replace(stamp, join=None)
        else:
            stamp = replace(stamp, member_id=node.member, cluster_id=stamp.cluster_id or node.disk.cluster_id)
        node.disk = replace(node.disk, stamp=stamp, stamped=True)
        yield
        node.disk = replace(node.disk, data=m.Data.PRESENT, member_id=stamp.member_id, cluster_id=stamp.cluster_id)
        node.running, node.exit = True, None
        yield

    def add_self(self, node: Node, step: s.AddSelf, o: m.Observation) -> Iterator[None]:
        theirs = View(o).theirs
        if theirs is None or not self.quorum(self.etcds[theirs.mine.cluster_id]):
            raise RefusedByEtcd
        etcd = self.etcds[theirs.mine.cluster_id]
        for stale in step.stale:
            self.remove(etcd, stale)
        yield
        urls = {u for member in etcd.members.values() for u in member.peer_urls}
        if not step.ghost and (step.peer_url in urls or len(etcd.voters()) < len(etcd.members)):
            raise RefusedByEtcd
        member = step.ghost or self.draw("l")
        if not step.ghost:
            etcd.members[member] = m.Member(member, "", (step.peer_url,), is_learner=True)
        yield
        pairs = tuple((i, u) for i, one in etcd.members.items() for u in one.peer_urls)
        join = m.Join(step.generation, step.token, etcd.id, member, pairs)
        node.disk = replace(node.disk, stamp=replace(node.disk.stamp, join=join))
        yield

    def asked(self, node: Node) -> Etcd:
        """The etcd that a member asks for a change; without quorum it answers nothing."""
        etcd = self.etcd_of(node)
        if etcd is None or not self.quorum(etcd):
            raise RefusedByEtcd
        return etcd

    def remove(self, etcd: Etcd, member: str) -> None:
        """Etcd's strict check looks at the voters that are left; ours must never need it."""
        if member not in etcd.members:
            return
        rest = [i for i in etcd.voters() if i != member]
        assert etcd.members[member].is_learner or has_quorum(rest, self.up(etcd)), (
            f"I5: removing {member} breaks quorum"
        )
        del etcd.members[member]
