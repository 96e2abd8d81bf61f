"""Look: ask every port at once, each with a deadline, and build one `Observation`.

What does not answer in time is `Unknown`, with the reason. The provider is asked on its own
slower schedule and its last answer is looked at here; who my peers are, and my own address,
outlive its silence.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from eco.core.model import (
    NOT_RUNNING,
    NOT_SERVED,
    Cluster,
    Data,
    Disk,
    Group,
    Instance,
    Observation,
    RegistryView,
    Report,
    Running,
)
from eco.core.sight import Known, Sight, Unknown
from eco.errors import Corrupt, Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from eco.agent.world import World
    from eco.core.model import Id, Intent, Member, MemberStatus

T = TypeVar("T")
P = ParamSpec("P")

DEADLINE = 2.5
"""Seconds that one port may take in an ordinary look."""
HASTE = 0.25
"""Seconds for peers in the first look of a node that holds data: its etcd does not wait for them."""
ONE_STATUS = 1.0
"""Seconds that another member may take to tell its status; one that hangs does not spend the whole look."""
PATIENCE = 1.5
"""Seconds for the registry in that look. It alone can tell that the data is not ours to start; a
store that is slower than this does not keep an etcd from its data (docs/design.md 8.8)."""


@dataclass
class Looker:
    """Looks at the world of one node. `group` and `instance` are kept by the provider's watch."""

    world: World
    group: Sight[Group] = Unknown("the provider has not answered yet")  # noqa: RUF009 - a frozen value
    instance: Instance | None = None
    known: tuple[Instance, ...] = ()
    """The instances of the provider's last good answer."""

    def heard(self, group: Group) -> None:
        """Take in a good answer of the provider."""
        self.group = Known(group)
        self.remembered(group.instances)

    def forget(self, because: str) -> None:
        """The provider did not answer: what it said counts no more, where its instances are does."""
        self.group = Unknown(because)

    def remembered(self, instances: tuple[Instance, ...]) -> None:
        """Where the instances of the last good answer are."""
        self.known = instances
        self.instance = next((i for i in instances if i.name == self.world.me), self.instance)

    async def look(self, intent: Intent, deadline: float = DEADLINE, *, urgent: bool = True) -> Observation:
        """One look; an `urgent` one makes the peers look at once, too. Never raises."""
        running = isinstance(self.world.child.look(), Running)
        disk = self.look_at_disk()
        # The provider's watch may change these while we wait: one look speaks of one list.
        group, known, instance = self.group, self.known, self.instance
        others = tuple(i for i in known if i.name != self.world.me)
        asked = {
            i.name: asyncio.ensure_future(_sight(deadline, self.world.peers.ask, i, urgent=urgent)) for i in others
        }
        registry, mine, _ = await asyncio.gather(
            _sight(max(deadline, PATIENCE), self.world.registry.look),
            self._mine(instance, known, deadline) if running else _instead(NOT_RUNNING),
            asyncio.gather(*asked.values()),
        )
        peers: dict[str, Sight[Report]] = {name: task.result() for name, task in asked.items()}
        serves = isinstance(mine, Known) and mine.value.readable
        theirs, probes = await asyncio.gather(
            _instead(NOT_SERVED) if serves else self._theirs(peers, known, deadline),
            self._probes(disk, registry, known, deadline),
        )
        return Observation(
            now=self.world.now(),
            me=self.world.me,
            cluster=self.world.cluster,
            group=group,
            disk=disk,
            process=self.world.child.look(),
            registry=registry,
            instance=instance,
            peer_url=self.world.peer_url(instance) if instance else "",
            peers=peers,
            probes=probes,
            mine=mine,
            theirs=theirs,
            intent=intent,
        )

    def look_at_disk(self) -> Sight[Disk]:
        """The data directory now; cheap when nothing has changed."""
        try:
            return Known(self.world.data.look(running=isinstance(self.world.child.look(), Running)))
        except (Unavailable, Refused, Corrupt) as trouble:
            return Unknown(str(trouble))

    async def _mine(self, instance: Instance | None, known: tuple[Instance, ...], deadline: float) -> Sight[Cluster]:
        if instance is None:
            return Unknown("my own address is not known")
        sight = await _sight(deadline, self._cluster, (self.world.client_url(instance),), known, deadline)
        if isinstance(sight, Known):
            self.world.child.served()
        return sight

    async def _cluster(self, urls: tuple[str, ...], known: tuple[Instance, ...], deadline: float) -> Cluster:
        """The cluster as the member behind `urls` shows it. A learner lists no members."""
        api = self.world.api
        mine, readable = await asyncio.gather(api.status(urls), api.readable(urls))
        if mine.is_learner:
            return Cluster(mine, (), readable=False)
        members = tuple(self._at_home(m, known) for m in await api.members(urls, linearizable=False))
        statuses = await self._statuses(members, mine.member_id, min(ONE_STATUS, deadline / 2))
        return Cluster(mine, members, readable=readable, statuses=statuses)

    def _at_home(self, member: Member, known: tuple[Instance, ...]) -> Member:
        """A member with the client URL of the instance at its peer URL first: what it has published
        may be a load balancer's, behind which another member answers."""
        own = tuple(self.world.client_url(i) for i in known if self.world.peer_url(i) in member.peer_urls)
        return replace(member, client_urls=(*own, *(url for url in member.client_urls if url not in own)))

    async def _statuses(self, members: tuple[Member, ...], but: Id, patience: float) -> dict[Id, Sight[MemberStatus]]:
        others = [m for m in members if m.id != but]
        sights = await asyncio.gather(*(self._status(m, patience) for m in others))
        return {member.id: sight for member, sight in zip(others, sights, strict=True)}

    async def _status(self, member: Member, patience: float) -> Sight[MemberStatus]:
        """A member's own answer."""
        if not member.client_urls:
            return Unknown("it has not published a client URL")
        sight = await _sight(patience, self.world.api.status, member.client_urls)
        if isinstance(sight, Known) and sight.value.member_id != member.id:
            return Unknown(f"member {sight.value.member_id} answers at its client URL")
        return sight

    async def _theirs(
        self, peers: Mapping[str, Sight[Report]], known: tuple[Instance, ...], deadline: float
    ) -> Sight[Cluster]:
        """The newest generation that a peer serves, as that peer's etcd shows it. All are asked at
        once, so that several whose etcds hang cost one deadline and not one each."""
        reports = {name: sight.value for name, sight in peers.items() if isinstance(sight, Known)}
        serving = {name: r.generation for name, r in reports.items() if r.serving and not r.is_learner}
        urls = {i.name: (self.world.client_url(i),) for i in known}
        asked = {
            name: asyncio.ensure_future(_sight(deadline, self._cluster, urls[name], known, deadline))
            for name in sorted(serving, key=lambda name: -serving[name])
        }
        trouble = NOT_SERVED
        try:
            for name, question in asked.items():
                sight = await question
                if isinstance(sight, Known) and sight.value.readable:
                    return sight
                trouble = sight if isinstance(sight, Unknown) else Unknown(f"{name} serves no linearizable read")
        finally:
            for question in asked.values():
                question.cancel()
        return trouble

    async def _probes(
        self, disk: Sight[Disk], registry: Sight[RegistryView], known: tuple[Instance, ...], deadline: float
    ) -> dict[str, Sight[bool]]:
        """Whether anything answers on the etcd ports of the group; asked only before a birth."""
        empty = isinstance(disk, Known) and disk.value.data is Data.ABSENT
        unlived = isinstance(registry, Known) and not registry.value.rosters and registry.value.alive is None
        if not empty or not unlived or isinstance(self.world.child.look(), Running):
            return {}
        sights = await asyncio.gather(*(_sight(deadline, self.world.peers.occupied, i) for i in known))
        return {i.name: sight for i, sight in zip(known, sights, strict=True)}


async def _instead(sight: Unknown) -> Unknown:
    return sight


async def _sight(deadline: float, ask: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> Sight[T]:
    """What `ask` answers in time. It is called in here, so that a look which is abandoned, as when
    the agent ends, leaves no coroutine behind that nobody ever awaited."""
    try:
        async with asyncio.timeout(deadline):
            return Known(await ask(*args, **kwargs))
    except TimeoutError:
        return Unknown(f"no answer within {deadline:g} s")
    except (Unavailable, Refused, Corrupt) as trouble:
        return Unknown(str(trouble))
