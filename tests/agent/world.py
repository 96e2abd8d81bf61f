"""A site of nodes in memory: one etcd member list, one store and one clock, shared by all of them.

What can be real is: the data directory on a disk, the registry over a store, the loop, the journal.
The toy is etcd: a cluster is its member list, a process is a flag and a log on the disk, and a
linearizable read works while a majority of the voters runs. Its commands are parsed and obeyed as
etcd would: a data set decides who one is, flags only where there is none.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from eco import clock
from eco.agent.journal import Journal
from eco.agent.loop import Loop
from eco.agent.world import World
from eco.core import model as m
from eco.core.policy import Policy
from eco.core.quorum import has_quorum
from eco.core.view import View
from eco.errors import Refused, Unavailable
from eco.etcd import ids, wal
from eco.etcd.datadir import EtcdDirectory
from eco.etcd.flags import EtcdSettings
from eco.etcd.install import Binaries, Version
from eco.registry import Registry
from eco.status.page import compose
from eco.testing import MemoryStore, Roll
from tests.agent.log import write_log
from tests.support import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from eco.core.decision import Decision
    from eco.status.page import Page

BINARIES = Binaries(Path("/usr/bin/etcd"), None, None, Version(3, 6, 14))


class Clock:
    """The machine's clock, which also counts the time for which a test lets it sleep."""

    def __init__(self) -> None:
        self._slept = 0.0

    def __call__(self) -> float:
        return clock.now() + self._slept

    def sleep(self, seconds: float) -> None:
        self._slept += seconds


@dataclass
class Etcd:
    """One cluster."""

    id: m.Id
    members: dict[m.Id, m.Member]
    leader: m.Id = ""
    index: int = 100
    added: int = 0

    def voters(self) -> list[m.Id]:
        return [i for i, member in self.members.items() if not member.is_learner]

    def urls(self) -> set[str]:
        return {url for member in self.members.values() for url in member.peer_urls}


@dataclass
class Site:
    """All nodes and what they share. `effects` are the labels of what was done, in order.

    Who is in `mute` accepts connections, as an agent and as an etcd, and never says a word; of whom is in
    `hung` that is true of etcd alone.
    """

    home: Path
    store: MemoryStore = field(default_factory=MemoryStore)
    now: Clock = field(default_factory=Clock)
    nodes: dict[str, Node] = field(default_factory=dict)
    etcds: dict[m.Id, Etcd] = field(default_factory=dict)
    effects: list[str] = field(default_factory=list)
    mute: set[str] = field(default_factory=set)
    hung: set[str] = field(default_factory=set)
    asked: Counter[str] = field(default_factory=Counter)
    meanwhile: Callable[[], None] = lambda: None
    """What happens while a peer is asked, or its ports are tried."""

    def add(self, names: str) -> tuple[Node, ...]:
        """Machines, and a group that lists all of them."""
        added = tuple(Node(self, name) for name in names)
        self.nodes |= {node.name: node for node in added}
        instances = tuple(node.instance for node in sorted(self.nodes.values(), key=lambda node: node.name))
        for node in self.nodes.values():
            node.provider.group = m.Group(instances, desired=len(instances), volume=f"volume of {node.name}")
        return added

    def settle(self) -> None:
        """Removed members end, leaders are elected, started members publish themselves."""
        for etcd in self.etcds.values():
            running = {n.child.member: n for n in self.nodes.values() if n.child.runs and n.child.cluster == etcd.id}
            for member, node in running.items():
                if member not in etcd.members:
                    node.child.end(m.Exit.REMOVED)
            up = {member: node for member, node in running.items() if member in etcd.members}
            if not has_quorum(etcd.voters(), up):
                etcd.leader = ""
                continue
            if etcd.leader not in up or etcd.leader not in etcd.voters():
                etcd.leader = min(i for i in up if i in etcd.voters())
            for member, node in up.items():
                published = replace(etcd.members[member], name=node.name, client_urls=(node.client_url,))
                etcd.members[member] = published

    def etcd_at(self, url: str) -> tuple[Etcd, Node] | None:
        """The etcd that answers at this client URL."""
        for node in self.nodes.values():
            if node.client_url == url and node.child.runs:
                return self.etcds[node.child.cluster], node
        return None

    def found(self, names: str) -> Etcd:
        """A cluster of these nodes that runs, as a plain etcd's: no agent knows of it yet."""
        nodes = [self.nodes[name] for name in names]
        founders = {ids.founder_id((node.peer_url,), "token"): node for node in nodes}
        etcd = Etcd(
            ids.cluster_id(founders), {i: m.Member(i, node.name, (node.peer_url,)) for i, node in founders.items()}
        )
        self.etcds[etcd.id] = etcd
        for member, node in founders.items():
            node.child.begin(member, etcd.id)
        self.settle()
        return etcd

    async def charter(self, etcd: Etcd) -> m.Charter:
        """Found that cluster properly: a charter, and stamps, as its birth would have left them."""
        nodes = {node.child.member: node for node in self.nodes.values() if node.child.cluster == etcd.id}
        looks = {member: node.data.look(running=True) for member, node in nodes.items()}
        first = next(iter(nodes.values()))
        charter = await first.world.registry.found(
            1,
            founders=tuple(
                m.Voter(node.name, i, (node.peer_url,), looks[i].stamp.incarnation, node.name, f"volume of {node.name}")
                for i, node in nodes.items()
            ),
            token="token",  # noqa: S106
            cluster_id=etcd.id,
            origin=m.Origin.NOTHING,
            evidence="a test says so",
            owner="",
            nonce="nonce",
        )
        registry_id = (await first.world.registry.look()).registry_id
        for member, node in nodes.items():
            stamp = replace(
                looks[member].stamp,
                cluster="k",
                registry_id=registry_id,
                generation=1,
                token=charter.token,
                member_id=member,
                cluster_id=etcd.id,
                volume=f"volume of {node.name}",
                started=True,
            )
            node.data.stamp("test", stamp)
        return charter

    async def alive(self, names: str) -> Etcd:
        """Nodes, and a chartered cluster of them that serves. No agent runs yet."""
        self.add(names)
        etcd = self.found(names)
        await self.charter(etcd)
        return etcd


class Node:
    """One machine. Its agent is `loop`; nothing of it runs before `living`."""

    def __init__(self, site: Site, name: str) -> None:
        self.site, self.name = site, name
        self.instance = m.Instance(name, f"10.0.0.{ord(name) - 96}")
        self.client_url = f"http://{self.instance.address}:2379"
        self.peer_url = f"http://{self.instance.address}:2380"
        self.directory = site.home / name
        self.data = EtcdDirectory(self.directory, name, on_effect=site.effects.append)
        self.data.open()
        self.provider = Roll(name, m.Group((self.instance,), desired=1))
        self.child = Child(site, self)
        self.page: Page | None = None
        self.decisions: list[Decision] = []
        self.noted: list[tuple[m.Instance, ...]] = []
        self.on_show: Callable[[Decision], None] = lambda _: None
        self.world = World(
            me=name,
            cluster="k",
            provider=self.provider,
            registry=Registry(site.store, "k", name),
            peers=Peers(site, name),
            api=Api(site),
            child=self.child,
            data=self.data,
            binaries=BINARIES,
            settings=self._settings,
            environment={},
            client_url=lambda i: f"http://{i.address}:{i.client_port}",
            peer_url=lambda i: f"http://{i.address}:{i.peer_port}",
            now=site.now,
            wall=lambda: "2000-01-01T00:00:00.000+00:00",
        )
        self.journal = Journal(self.directory / "eco" / "journal.jsonl")
        self.loop = self.agent()

    def agent(self, policy: Policy = Policy(), check_interval: float = 0.05) -> Loop:  # noqa: B008 - a frozen value
        """A new agent, as after a restart of it."""
        self.loop = Loop(
            world=self.world,
            policy=policy,
            journal=self.journal,
            check_interval=check_interval,
            show=self._show,
            noted=self.noted.append,
        )
        return self.loop

    async def look(self, deadline: float = 0.5) -> m.Observation:
        """One look, with the provider's answer as it is now."""
        with suppress(Unavailable):
            self.loop.looker.heard(await self.provider.look())
        return await self.loop.looker.look(self.loop.intent, deadline)

    @asynccontextmanager
    async def living(self) -> AsyncIterator[asyncio.Task[None]]:
        """The agent runs; at the end it is killed, as by a SIGKILL."""
        with suppress(Unavailable):
            self.loop.looker.heard(await self.provider.look())
        task = asyncio.create_task(self.loop.run())
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait((task,))

    async def decides(self, what: Callable[[Decision], bool], claim: str, deadline: float = 8.0) -> Decision:
        """The first decision of its life that is so."""
        await wait_until(lambda: any(map(what, self.decisions)), deadline, claim)
        return next(filter(what, self.decisions))

    def _settings(self, instance: m.Instance) -> EtcdSettings:
        clients, peers = (self.world.client_url(instance),), (self.world.peer_url(instance),)
        return EtcdSettings(instance.name, self.directory, clients, clients, peers, peers)

    def _show(self, o: m.Observation, decision: Decision, seconds: float) -> None:
        view = View(o)
        self.page = compose(
            o,
            decision,
            holding=view.holding,
            volume=view.my_volume,
            waiting=decision.situation.value in {"ABSENT", "DAMAGED", "SUPERSEDED"},
            served_at=self.loop.pulse.served_at,
            started_at=0.0,
            loop_seconds=seconds,
            eco="test",
        )
        self.decisions.append(decision)
        self.on_show(decision)


class Child:
    """A node's etcd process. `failing` is why it cannot be run, `immortal` why it does not go; a
    `stubborn` one ends only when killed."""

    def __init__(self, site: Site, node: Node) -> None:
        self._site, self._node = site, node
        self._process: m.Process = m.Stopped()
        self.member = self.cluster = ""
        self.failing = ""
        self.stubborn = False
        self.immortal: Exception | None = None
        self.argv: tuple[str, ...] = ()
        self.graces: list[float] = []
        self.told = self.looks = 0

    @property
    def runs(self) -> bool:
        return isinstance(self._process, m.Running)

    def look(self) -> m.Process:
        self.looks += 1
        return self._process

    async def start(self, argv: Sequence[str], env: Mapping[str, str]) -> None:  # noqa: ARG002 - the port's signature
        self._site.effects.append("child.start")
        if self.failing:
            raise Unavailable(self.failing)
        self.argv = tuple(argv)
        log = wal.read(self._node.directory / "member" / "wal", whole=False) if self._has_data() else None
        self.begin(*((log.member_id, log.cluster_id) if log else self._first(argv)))
        self._site.settle()

    async def stop(self, grace: float) -> None:
        self._site.effects.append("child.stop")
        self.graces.append(grace)
        if self.immortal is not None:
            raise self.immortal
        if self.stubborn and self.runs:
            with suppress(TimeoutError):
                async with asyncio.timeout(grace):
                    while self.runs:  # noqa: ASYNC110 - as another call may have killed it meanwhile
                        await asyncio.sleep(0.01)
        self.end(m.Exit.ASKED)

    def served(self) -> None:
        self.told += 1
        if isinstance(self._process, m.Stopped):
            self._process = replace(self._process, failures=0)

    def begin(self, member: m.Id, cluster: m.Id) -> None:
        """It runs as this member, and its log says so."""
        self.member, self.cluster = member, cluster
        write_log(self._node.directory / "member" / "wal", member, cluster)
        self._process = m.Running(4711, self._site.now())

    def end(self, how: m.Exit) -> None:
        if self.runs:
            self._process = m.Stopped(how, how.value)
            self._site.settle()
            self._node.loop.wake()

    def _has_data(self) -> bool:
        return (self._node.directory / "member" / "wal").is_dir()

    def _first(self, argv: Sequence[str]) -> tuple[m.Id, m.Id]:
        """Who a member without data is, by its flags."""
        flags = dict(word[2:].split("=", 1) for word in argv[1:])
        pairs = [tuple(pair.split("=", 1)) for pair in flags["initial-cluster"].split(",")]
        if flags["initial-cluster-state"] == "existing":
            urls = {url for _, url in pairs}
            etcd = next(each for each in self._site.etcds.values() if urls == each.urls())
            return next(i for i, one in etcd.members.items() if self._node.peer_url in one.peer_urls), etcd.id
        token = flags["initial-cluster-token"]
        founders = (m.Member(ids.founder_id((url,), token), name, (url,)) for name, url in pairs)
        members = {member.id: member for member in founders}
        cluster = ids.cluster_id(members)
        self._site.etcds.setdefault(cluster, Etcd(cluster, members))
        return ids.founder_id((self._node.peer_url,), token), cluster


class Api:
    """etcd's API, at every client URL of the site."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def status(self, urls: Sequence[str]) -> m.MemberStatus:
        etcd, node = await self._answering(urls)
        learner = etcd.members[node.child.member].is_learner
        index = etcd.index
        return m.MemberStatus(node.child.member, etcd.id, etcd.leader, 1, index, index, 1, learner)

    async def members(self, urls: Sequence[str], *, linearizable: bool) -> tuple[m.Member, ...]:
        etcd = await self._voter(urls) if linearizable else (await self._answering(urls))[0]
        return _sorted(etcd)

    async def readable(self, urls: Sequence[str]) -> bool:
        etcd, node = await self._answering(urls)
        return etcd.leader != "" and not etcd.members[node.child.member].is_learner

    async def add_learner(self, urls: Sequence[str], peer_url: str) -> tuple[m.Id, tuple[m.Member, ...]]:
        etcd = await self._voter(urls)
        self._site.effects.append("api.add")
        if any(member.is_learner for member in etcd.members.values()):
            raise Refused("etcdserver: too many learner members in cluster")
        etcd.added += 1
        member = f"e{etcd.added}"
        etcd.members[member] = m.Member(member, "", (peer_url,), is_learner=True)
        return member, _sorted(etcd)

    async def promote(self, urls: Sequence[str], member: m.Id) -> None:
        etcd = await self._voter(urls)
        self._site.effects.append("api.promote")
        etcd.members[member] = replace(etcd.members[member], is_learner=False)
        self._site.settle()

    async def remove(self, urls: Sequence[str], member: m.Id) -> None:
        etcd = await self._voter(urls)
        self._site.effects.append(f"api.remove {member}")
        etcd.members.pop(member, None)
        self._site.settle()

    async def update_peer_urls(self, urls: Sequence[str], member: m.Id, peer_urls: Sequence[str]) -> None:
        etcd = await self._voter(urls)
        self._site.effects.append("api.update")
        etcd.members[member] = replace(etcd.members[member], peer_urls=tuple(peer_urls))

    async def move_leader(self, urls: Sequence[str], to: m.Id) -> None:
        etcd, node = await self._answering(urls)
        self._site.effects.append("api.move")
        if node.child.member != etcd.leader:
            raise Refused("etcdserver: not leader")
        etcd.leader = to

    async def close(self) -> None:
        pass

    async def _answering(self, urls: Sequence[str]) -> tuple[Etcd, Node]:
        for url in urls:
            found = self._site.etcd_at(url)
            if found is not None and found[1].name in self._site.mute | self._site.hung:
                await _for_ever()
            if found is not None:
                return found
        raise Unavailable(f"nobody answers at {', '.join(urls)}")

    async def _voter(self, urls: Sequence[str]) -> Etcd:
        etcd, _ = await self._answering(urls)
        if not etcd.leader:
            raise Unavailable("etcdserver: no leader")
        return etcd


class Peers:
    """The other agents, as `me` asks them: their last page is their report."""

    def __init__(self, site: Site, me: str) -> None:
        self._site = site
        self._me = me

    async def ask(self, instance: m.Instance, *, urgent: bool) -> m.Report:
        node = await self._reached(instance)
        if node.page is None:
            raise Unavailable(f"nobody listens at {instance.address}")
        if urgent:
            node.loop.peer_asked(self._me)
        return node.page.report

    async def occupied(self, instance: m.Instance) -> bool:
        return (await self._reached(instance)).child.runs

    async def _reached(self, instance: m.Instance) -> Node:
        self._site.asked[instance.name] += 1
        self._site.meanwhile()
        if instance.name in self._site.mute:
            await _for_ever()
        if instance.name not in self._site.nodes:
            raise Unavailable(f"no route to {instance.address}")
        return self._site.nodes[instance.name]


def _sorted(etcd: Etcd) -> tuple[m.Member, ...]:
    return tuple(sorted(etcd.members.values(), key=lambda member: member.id))


async def _for_ever() -> None:
    await asyncio.Event().wait()
