"""Every world of up to three nodes, over the facts that matter.

A `World` is told in words, one for each fact; `observation` turns it into what a node would see.
The rules are checked against the words, the core is given the observation: neither knows how the
other reads it. Three families cover what can be: *quiet* (no etcd answers), *joining* (a peer's
etcd serves, mine does not) and *serving* (mine answers). Within a family each word is combined
with each other one, but for combinations that contradict themselves; peers are interchangeable.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from functools import cache
from itertools import combinations_with_replacement, product
from typing import TYPE_CHECKING, Final

from eco.core import model
from eco.core.model import (
    Charter,
    Cluster,
    Data,
    Disk,
    Exit,
    Group,
    Holding,
    Instance,
    Intent,
    Join,
    Member,
    MemberStatus,
    Observation,
    Origin,
    Presence,
    Process,
    RegistryView,
    Report,
    Roster,
    Running,
    Stamp,
    Stopped,
    Verdict,
    Voter,
)
from eco.core.sight import Known, Sight, Unknown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NOW: Final = 1000.0
INDEX: Final = 10_000
FIRST_LIFE: Final = "t1"
UNSEEN: Final = Unknown("it could not be asked")


class Word(Enum):
    """A fact's word. Hashed by identity: worlds are looked up by the million."""

    __hash__ = object.__hash__


class Where(Word):
    """What the provider says of an instance."""

    PRESENT = "present"
    LEAVING = "leaving"
    GONE = "gone"
    UNLISTED = "unlisted"
    TAKEN_OFF = "taken off an operator's list"


class Says(Word):
    """What an agent reports of itself."""

    NOTHING = "nothing"
    EMPTY = "empty, as at first"
    WIPED = "empty, with another incarnation"
    LATE = "late"
    HOLDING = "holding"
    VOTER = "running"
    STRANGER = "running another member"
    DAMAGED = "damaged"
    STOPPING = "running, told to stop"
    LEAVING = "running, asked to leave"
    LETS_GO = "running, and lets me stop"
    NEWER = "holding generation 2"
    OCCUPIED = "empty, but something answers on an etcd port"
    UNPROBED = "empty, but its etcd ports could not be tried"


class Seat(Word):
    """What the etcd that answers says of an instance's member."""

    NONE = "no member"
    VOTER = "a voter that answers"
    SILENT = "a voter that does not answer"
    LEARNER = "a learner that has caught up"
    BEHIND = "a learner far behind"
    GHOST = "a learner that was never started"


class Lies(Word):
    """What lies in my data directory."""

    UNREADABLE = "cannot be read"
    FRESH = "empty, as at first"
    WIPED = "empty, with another incarnation"
    LATE = "empty, on another volume"
    LOST = "started, and gone"
    JOINING = "empty, join accepted"
    JOINED_LOST = "started after a join, and gone; another join accepted"
    MINE = "my data"
    PLAIN = "a plain etcd's data, of this cluster"
    UNENROLLED = "a plain etcd's data, started once by an agent"
    FOREIGN_PLAIN = "a plain etcd's data, of a cluster that no charter names"
    FOREIGN_UNENROLLED = "the same, started once by an agent"
    NEWER = "my data, of generation 2"
    CLUSTER = "another cluster's data"
    NODE = "another node's data"
    REGISTRY = "another registry's data"
    SWAPPED = "data whose log names another member than the stamp"
    DAMAGED = "damaged data"
    REJOINING = "my data, and another join accepted"
    LEARNER = "my data as a learner"


class Runs(Word):
    """My etcd process."""

    STOPPED = "stopped"
    BACKOFF = "crashed just now"
    REMOVED = "ended: its member was removed"
    BROKEN = "ended: its data is damaged"
    HOPELESS = "failed five times"
    RUNNING = "running"


class Mine(Word):
    """My etcd, asked."""

    NONE = "not to be asked"
    LEADER = "serves as the leader"
    FOLLOWER = "serves as a follower"
    UNREADABLE = "knows a leader, but the read failed"
    LEADERLESS = "knows no leader"
    LEARNER = "a learner"


class Theirs(Word):
    """A serving peer's etcd, asked: what it says of me."""

    NONE = "not to be asked"
    VOTER = "I am a voter"
    LEARNER = "I am a learner: the join my stamp holds"
    GHOST = "an unstarted learner has my address"
    NOT_LISTED = "I am no member"
    OTHER = "it is another cluster"


class Book(Word):
    """What the registry says."""

    UNKNOWN = "cannot be read"
    EMPTY = "no charter"
    UNSHARED = "no charter, and a nonce is missing"
    SNAPSHOTS = "no charter, but snapshots"
    BEATEN = "no charter, but a leader has beaten"
    FRESH = "charter 1 names all, nothing more"
    UNGREETED = "charter 1 names all, a nonce is missing"
    LIVED = "charter 1 names all, a leader has beaten"
    OTHERS = "charter 1 names the others, a leader has beaten"
    ADOPTED = "charter 1 adopts a plain cluster"
    CONFIRMED = "a roster of all is confirmed"
    PENDING = "a roster without the last peer is pending"
    NEWER = "charter 2 founds another cluster"
    FOREIGN = "charter 1 names instances of another owner"
    DUE_CONFIRM = "a roster of etcd's voters is pending"
    DUE_ADD = "a roster with the learner as a voter is pending"
    DUE_REMOVE = "a roster without etcd's last voter is pending"
    STRAY = "a roster without etcd's first other voter is pending"
    UNRECORDED = "the confirmed roster lacks a voter"


class Asks(Word):
    """What people ask of me."""

    NOTHING = "nothing"
    STOP = "to stop, just now"
    STOP_LONG = "to stop, long ago"
    LEAVE = "to leave, just now"
    LEAVE_LONG = "to leave, long ago"
    PAUSE = "to pause"


@dataclass(frozen=True, slots=True)
class Peer:
    """Another node, as seen."""

    name: str
    where: Where
    says: Says
    seat: Seat = Seat.NONE


@dataclass(frozen=True, slots=True)
class World:
    """All facts at one look, in words. Desired is the number of nodes."""

    lies: Lies
    runs: Runs
    book: Book
    peers: tuple[Peer, ...]
    mine: Mine = Mine.NONE
    theirs: Theirs = Theirs.NONE
    where: Where = Where.PRESENT
    asks: Asks = Asks.NOTHING
    me: str = "a"


# ---------------------------------------------------------------- the three families


def quiet() -> Iterator[World]:
    """No etcd answers: births, cold starts, waiting."""
    books: list[Book] = [b for b in Book if b not in _OF_SERVING]
    unprobed = _pairs([p for p in _quiet_peers() if p[1] not in (Says.OCCUPIED, Says.UNPROBED)])
    few = _pairs([p for p in _quiet_peers() if p[0] is Where.PRESENT and p[1] in _FEW])
    for (lies, runs), book in product(_QUIET_DISKS, books):
        usual = unprobed if (lies, runs) in _PLENTY else few
        for pair in _pairs(_quiet_peers()) if lies in _ABSENT else usual:
            yield World(lies, runs, book, _named(pair, "bc"))
    for lies, book, pair in product((Lies.FRESH, Lies.WIPED), books, _pairs(_quiet_peers())):
        yield World(lies, Runs.STOPPED, book, _named(pair, "ab"), me="c")
    for (lies, runs), book, pair in product(_QUIET_DISKS, books, few):
        yield World(lies, runs, book, _named(pair, "bc"), where=Where.LEAVING)
        if lies in (Lies.FRESH, Lies.MINE):
            for asks in (asks for asks in Asks if asks is not Asks.NOTHING):
                yield World(lies, runs, book, _named(pair, "bc"), asks=asks)


def joining() -> Iterator[World]:
    """The first peer's etcd serves, mine does not."""
    books: list[Book] = [b for b in Book if b not in (*_OF_SERVING, Book.UNGREETED, Book.UNSHARED)]
    sayings = [t for t in Theirs if t is not Theirs.NONE]
    pairs: list[tuple[_Kind, ...]] = [(_SERVER,), *((_SERVER, other) for other in _joining_peers())]
    for (lies, runs), book, theirs, pair in product(_JOINING_DISKS, books, sayings, pairs):
        peers = _named(pair, "bc")
        yield World(lies, runs, book, peers, theirs=theirs)
        if pair in ((_SERVER,), (_SERVER, _SERVER)) and book in _FEW_BOOKS:
            yield World(lies, runs, book, peers, theirs=theirs, where=Where.LEAVING)
            yield World(lies, runs, book, peers, theirs=theirs, where=Where.UNLISTED)
            yield World(lies, runs, book, peers, theirs=theirs, asks=Asks.LEAVE)
    for lies, book, theirs, pair in product(_STARTABLE, _FEW_BOOKS, sayings, pairs):
        for mine in (Mine.UNREADABLE, Mine.LEADERLESS):
            yield World(lies, Runs.RUNNING, book, _named(pair, "bc"), mine=mine, theirs=theirs)
    for book, pair in product(_FEW_BOOKS, pairs):
        peers = _named(pair, "bc")
        yield World(Lies.LEARNER, Runs.RUNNING, book, peers, mine=Mine.LEARNER, theirs=Theirs.LEARNER)


def serving() -> Iterator[World]:
    """My etcd answers: members, resizing, stopping, leaving."""
    books = [*_OF_SERVING, Book.UNKNOWN, Book.EMPTY, Book.FRESH, Book.LIVED, Book.CONFIRMED, Book.ADOPTED, Book.NEWER]
    for pair in _pairs(_serving_peers()):
        peers = _named(pair, "bc")
        if not _possible(peers):
            continue
        for book in books:
            if _fits(book, peers):
                yield World(Lies.MINE, Runs.RUNNING, book, peers, mine=Mine.LEADER)
    few = [p for p in _serving_peers() if p[0] is Where.PRESENT and p[1] in _FEW_SERVING]
    many = product((Mine.LEADER, Mine.FOLLOWER, Mine.UNREADABLE, Mine.LEADERLESS), _STARTABLE, Asks, _pairs(few))
    for mine, lies, asks, pair in many:
        peers = _named(pair, "bc")
        if not _possible(peers) or (mine is Mine.FOLLOWER and all(p.seat is not Seat.VOTER for p in peers)):
            continue
        for book in (Book.UNKNOWN, Book.EMPTY, Book.CONFIRMED, Book.DUE_ADD, Book.DUE_REMOVE, Book.NEWER):
            if _fits(book, peers):
                yield World(lies, Runs.RUNNING, book, peers, mine=mine, asks=asks)
                if asks is Asks.NOTHING:
                    yield World(lies, Runs.RUNNING, book, peers, mine=mine, where=Where.LEAVING)


def worlds() -> Iterator[World]:
    """All of them."""
    yield from quiet()
    yield from joining()
    yield from serving()


_Kind = tuple[Where, Says, Seat]
_OF_SERVING = (Book.DUE_CONFIRM, Book.DUE_ADD, Book.DUE_REMOVE, Book.STRAY, Book.UNRECORDED)
_STARTABLE = (Lies.MINE, Lies.PLAIN, Lies.UNENROLLED)
_ABSENT = (Lies.FRESH, Lies.WIPED, Lies.LATE, Lies.LOST, Lies.JOINING, Lies.JOINED_LOST)
_PLENTY = ((Lies.MINE, Runs.STOPPED), (Lies.MINE, Runs.RUNNING), (Lies.PLAIN, Runs.STOPPED), (Lies.NEWER, Runs.STOPPED))
_STOPPED_OR_RUNNING = (Lies.PLAIN, Lies.UNENROLLED, Lies.FOREIGN_PLAIN, Lies.NEWER, Lies.LEARNER, Lies.LOST)
_QUIET_DISKS = (
    *((lies, Runs.STOPPED) for lies in Lies),
    *((lies, Runs.RUNNING) for lies in (*_STOPPED_OR_RUNNING, Lies.UNREADABLE)),
    *((Lies.MINE, runs) for runs in Runs if runs is not Runs.STOPPED),
    (Lies.FRESH, Runs.BACKOFF),
)
_JOINING_DISKS = (*_QUIET_DISKS, (Lies.JOINING, Runs.BACKOFF), (Lies.REJOINING, Runs.BROKEN))
_FEW = (Says.NOTHING, Says.EMPTY, Says.HOLDING, Says.NEWER)
_FEW_SERVING = (Says.NOTHING, Says.WIPED, Says.VOTER, Says.STOPPING, Says.LETS_GO, Says.STRANGER)
_UNLISTED = (Where.GONE, Where.UNLISTED, Where.TAKEN_OFF)
_FEW_BOOKS = (Book.UNKNOWN, Book.EMPTY, Book.CONFIRMED, Book.ADOPTED, Book.NEWER)
_SERVER: _Kind = (Where.PRESENT, Says.VOTER, Seat.VOTER)


def _quiet_peers() -> Sequence[_Kind]:
    """A running etcd that answers nobody is a voter without quorum."""
    says = [s for s in Says if s not in (Says.STRANGER, Says.STOPPING, Says.LEAVING, Says.LETS_GO)]
    kinds: list[_Kind] = [(Where.PRESENT, said, Seat.NONE) for said in says]
    kinds += [(Where.LEAVING, said, Seat.NONE) for said in (Says.NOTHING, Says.EMPTY, Says.HOLDING)]
    return kinds + [(where, Says.NOTHING, Seat.NONE) for where in _UNLISTED]


def _joining_peers() -> Sequence[_Kind]:
    told = (Says.NOTHING, Says.VOTER, Says.WIPED)
    kinds: list[_Kind] = [(Where.PRESENT, said, seat) for said in told for seat in (Seat.VOTER, Seat.SILENT)]
    kinds += [(Where.PRESENT, Says.STRANGER, Seat.LEARNER), (Where.PRESENT, Says.WIPED, Seat.GHOST)]
    kinds += [(Where.LEAVING, Says.VOTER, Seat.VOTER), (Where.PRESENT, Says.EMPTY, Seat.NONE)]
    return kinds + [(where, Says.NOTHING, Seat.SILENT) for where in _UNLISTED]


def _serving_peers() -> Sequence[_Kind]:
    told = [s for s in Says if s not in (Says.OCCUPIED, Says.UNPROBED, Says.NEWER, Says.STRANGER, Says.LETS_GO)]
    kinds: list[_Kind] = [(Where.PRESENT, said, seat) for said in told for seat in (Seat.VOTER, Seat.SILENT)]
    kinds += [
        (Where.LEAVING, said, seat)
        for said in (Says.NOTHING, Says.VOTER, Says.WIPED, Says.STOPPING)
        for seat in (Seat.VOTER, Seat.SILENT)
    ]
    kinds += [
        (where, said, seat)
        for where in (Where.PRESENT, Where.LEAVING)
        for said in (Says.NOTHING, Says.STRANGER)
        for seat in (Seat.LEARNER, Seat.BEHIND, Seat.GHOST)
    ]
    kinds += [(Where.PRESENT, said, Seat.NONE) for said in (Says.NOTHING, Says.EMPTY, Says.LATE, Says.HOLDING)]
    return kinds + [(where, Says.NOTHING, seat) for where in _UNLISTED for seat in Seat if seat is not Seat.NONE]


@cache
def _pairs_of(kinds: tuple[_Kind, ...]) -> tuple[tuple[_Kind, ...], ...]:
    pairs = [(), *((kind,) for kind in kinds), *combinations_with_replacement(kinds, 2)]
    return tuple(pair for pair in pairs if _one_provider(pair))


def _pairs(kinds: Sequence[_Kind]) -> tuple[tuple[_Kind, ...], ...]:
    return _pairs_of(tuple(kinds))


def _one_provider(pair: tuple[_Kind, ...]) -> bool:
    """A list that an operator writes knows only `taken off`."""
    said = {kind[0] for kind in pair}
    return Where.TAKEN_OFF not in said or not said & {Where.GONE, Where.UNLISTED}


def _named(pair: tuple[_Kind, ...], names: str) -> tuple[Peer, ...]:
    return tuple(Peer(name, *kind) for name, kind in zip(names, pair, strict=False))


def _possible(peers: tuple[Peer, ...]) -> bool:
    """Etcd has one learner slot; a cluster that serves has a quorum, with me in it."""
    seats = [peer.seat for peer in peers]
    voters, up = 1 + seats.count(Seat.VOTER) + seats.count(Seat.SILENT), 1 + seats.count(Seat.VOTER)
    return len(_learners(peers)) <= 1 and up > voters // 2


def _fits(book: Book, peers: tuple[Peer, ...]) -> bool:
    """Whether the registry can say this of these peers."""
    if book is Book.DUE_ADD:
        return bool(_learners(peers))
    if book in (Book.DUE_REMOVE, Book.STRAY, Book.UNRECORDED):
        return any(peer.seat in (Seat.VOTER, Seat.SILENT) for peer in peers)
    return True


def _learners(peers: tuple[Peer, ...]) -> tuple[Peer, ...]:
    return tuple(p for p in peers if p.seat in (Seat.LEARNER, Seat.BEHIND, Seat.GHOST))


# ---------------------------------------------------------------- as a node sees it


def observation(world: World, now: float = NOW) -> Observation:
    """What the node sees in this world."""
    process = _process(world.runs)
    listed = _instance(world.me, Where.PRESENT)
    return Observation(
        now=now,
        me=world.me,
        cluster="k",
        group=_group(world.me, world.where, tuple((p.name, p.where) for p in world.peers)),
        disk=_disk(world.me, world.lies, running=world.runs is Runs.RUNNING),
        process=process,
        registry=_registry(world),
        instance=listed,
        peer_url=url(world.me),
        peers={p.name: _report(p, _generation(world)) for p in world.peers if p.where not in _UNLISTED},
        probes=_probes(world),
        mine=_mine(world),
        theirs=_theirs(world),
        intent=_intent(world.asks),
    )


def url(name: str) -> str:
    """The peer URL of an instance."""
    return f"http://10.0.0.{name}:2380"


def voter(name: str, *, incarnation: str | None = None, member: str | None = None, account: str = "acct") -> Voter:
    """A voter as charters and rosters record it."""
    return Voter(
        name=name,
        member_id=member or f"m{name}",
        peer_urls=(url(name),),
        incarnation=f"i{name}" if incarnation is None else incarnation,
        instance=name,
        volume=f"v{name}",
        account=account,
    )


@cache
def _instance(name: str, where: Where) -> Instance:
    presence = Presence.LEAVING if where is Where.LEAVING else Presence.PRESENT
    return Instance(name, f"10.0.0.{name}", presence=presence)


@cache
def _group(me: str, where: Where, others: tuple[tuple[str, Where], ...]) -> Sight[Group]:
    """A list that lacks me is none."""
    if where is Where.UNLISTED:
        return Unknown("the list lacks this node")
    everyone = (*others, (me, where))
    return Known(
        Group(
            instances=tuple(_instance(n, w) for n, w in sorted(everyone) if w not in _UNLISTED),
            desired=len(everyone),
            gone=tuple(sorted(n for n, w in everyone if w in (Where.GONE, Where.TAKEN_OFF))),
            operated=any(w is Where.TAKEN_OFF for _, w in everyone),
            identity="acct",
        )
    )


@cache
def _process(runs: Runs) -> Process:
    match runs:
        case Runs.STOPPED:
            return Stopped()
        case Runs.BACKOFF:
            return Stopped(Exit.CRASHED, "it crashed", failures=1, not_before=NOW + 5)
        case Runs.REMOVED:
            return Stopped(Exit.REMOVED, "the member has been permanently removed", failures=1)
        case Runs.BROKEN:
            return Stopped(Exit.DAMAGED, "invalid database", failures=1)
        case Runs.HOPELESS:
            return Stopped(Exit.CRASHED, "it crashed", failures=5)
        case Runs.RUNNING:
            return Running(7, since=0.0)


def _generation(world: World) -> int:
    return 2 if world.book is Book.NEWER else 1


JOIN: Final = Join(1, FIRST_LIFE, "c1", "ja", (("a", url("a")), ("b", url("b"))))


def _stamp(me: str, incarnation: str) -> Stamp:
    return Stamp(name=me, incarnation=incarnation + me, nonce=f"n{incarnation}{me}", cluster="k", version=1)


@cache
def _disk(me: str, lies: Lies, *, running: bool) -> Sight[Disk]:
    """While etcd runs the log is not read."""
    empty = Disk(_stamp(me, "i"), Data.ABSENT, volume=f"v{me}")
    begun = replace(
        empty.stamp, registry_id="r", generation=1, token=FIRST_LIFE, member_id=f"m{me}", cluster_id="c1", started=True
    )
    data = Disk(begun, Data.PRESENT, member_id=f"m{me}", cluster_id="c1", volume=f"v{me}", last_index=INDEX)
    plain = replace(data, stamp=_stamp(me, "i"), stamped=False)
    unenrolled = replace(data, stamp=replace(_stamp(me, "i"), member_id=f"m{me}", cluster_id="c1", started=True))
    foreign = replace(unenrolled, stamp=replace(unenrolled.stamp, cluster_id="cx"), cluster_id="cx")
    wiped = replace(empty, stamp=_stamp(me, "w"))
    joining = replace(JOIN, generation=1)
    found = {
        Lies.FRESH: empty,
        Lies.WIPED: wiped,
        Lies.LATE: replace(wiped, volume="other"),
        Lies.LOST: replace(data, data=Data.ABSENT, member_id="", cluster_id=""),
        Lies.JOINING: replace(wiped, stamp=replace(wiped.stamp, join=joining)),
        Lies.JOINED_LOST: replace(
            data, data=Data.ABSENT, member_id="", cluster_id="", stamp=replace(begun, join=joining)
        ),
        Lies.MINE: data,
        Lies.PLAIN: plain,
        Lies.UNENROLLED: unenrolled,
        Lies.FOREIGN_PLAIN: replace(plain, cluster_id="cx"),
        Lies.FOREIGN_UNENROLLED: foreign,
        Lies.NEWER: replace(
            data, stamp=replace(begun, generation=2, token=FIRST_LIFE, cluster_id="c2"), cluster_id="c2"
        ),
        Lies.CLUSTER: replace(data, stamp=replace(begun, cluster="other")),
        Lies.NODE: replace(data, stamp=replace(begun, name="x")),
        Lies.REGISTRY: replace(data, stamp=replace(begun, registry_id="other")),
        Lies.SWAPPED: replace(data, member_id="mx"),
        Lies.DAMAGED: replace(data, data=Data.DAMAGED, damage="a log file is cut short"),
        Lies.REJOINING: replace(data, stamp=replace(begun, join=joining)),
        Lies.LEARNER: replace(data, stamp=replace(begun, incarnation=f"w{me}", member_id="ja"), member_id="ja"),
    }
    if lies is Lies.UNREADABLE:
        return Unknown("permission denied")
    disk = found[lies]
    return Known(replace(disk, member_id="", cluster_id="", last_term=0, last_index=0) if running else disk)


@cache
def _report(peer: Peer, generation: int) -> Sight[Report]:
    name, said, learner = peer.name, peer.says, peer.seat in (Seat.LEARNER, Seat.BEHIND, Seat.GHOST)
    if said is Says.NOTHING:
        return UNSEEN
    wiped = said in (Says.WIPED, Says.LATE, Says.STRANGER)
    incarnation = f"{'w' if wiped else 'i'}{name}"
    base = Report(name, incarnation, f"n{incarnation}", "SERVING", "it says so", Holding.EMPTY, volume=f"v{name}")
    held = replace(base, generation=1, registry_id="r", cluster="k", member_id=f"m{name}", cluster_id="c1")
    running = replace(
        held,
        holding=Holding.RUNNING,
        generation=generation,
        serving=peer.seat is Seat.VOTER,
        leader="mb",
        cluster_id=f"c{generation}",
    )
    return Known(
        {
            Says.EMPTY: replace(base, waiting=True),
            Says.OCCUPIED: replace(base, waiting=True),
            Says.UNPROBED: replace(base, waiting=True),
            Says.WIPED: replace(base, waiting=True),
            Says.LATE: replace(base, holding=Holding.LATE),
            Says.HOLDING: replace(held, holding=Holding.HOLDING),
            Says.DAMAGED: replace(held, holding=Holding.DAMAGED),
            Says.NEWER: replace(held, holding=Holding.HOLDING, generation=2, cluster_id="c2"),
            Says.VOTER: running,
            Says.STOPPING: replace(running, stopping=True),
            Says.LEAVING: replace(running, leaving=True),
            Says.LETS_GO: replace(running, ticket="a"),
            Says.STRANGER: replace(running, member_id=f"l{name}", is_learner=learner),
        }[said]
    )


def _probes(world: World) -> dict[str, Sight[bool]]:
    """Asked only by a node without data under a registry that has not seen a cluster live."""
    unlived = (Book.EMPTY, Book.UNSHARED, Book.SNAPSHOTS, Book.FRESH, Book.UNGREETED, Book.FOREIGN)
    if world.lies not in _ABSENT or world.runs is Runs.RUNNING or world.book not in unlived:
        return {}
    listed = [p for p in world.peers if p.where not in _UNLISTED]
    return {world.me: Known(False)} | {p.name: _probe(p.says) for p in listed}


def _probe(said: Says) -> Sight[bool]:
    if said in (Says.UNPROBED, Says.NOTHING):
        return UNSEEN
    return Known(said in (Says.OCCUPIED, Says.VOTER, Says.STOPPING, Says.LEAVING, Says.STRANGER))


def _intent(asks: Asks) -> Intent:
    since = NOW - 1 if asks in (Asks.STOP, Asks.LEAVE) else NOW - 100
    return Intent(
        stopping_since=since if asks in (Asks.STOP, Asks.STOP_LONG) else None,
        leaving_since=since if asks in (Asks.LEAVE, Asks.LEAVE_LONG) else None,
        paused=asks is Asks.PAUSE,
    )


# ---------------------------------------------------------------- clusters


def _status(member: str, leader: str, *, applied: int = INDEX, generation: int = 1) -> MemberStatus:
    learner = not member.startswith("m")
    return MemberStatus(member, f"c{generation}", leader, 2, INDEX, applied, 5, learner)


def member_id(peer: Peer) -> str:
    """The id of the member that a peer's seat stands for."""
    return f"{'m' if peer.seat in (Seat.VOTER, Seat.SILENT) else 'l'}{peer.name}"


@cache
def _members(peers: tuple[Peer, ...], me: tuple[Member, ...]) -> tuple[Member, ...]:
    listed = [
        Member(
            member_id(p),
            "" if p.seat is Seat.GHOST else p.name,
            (url(p.name),),
            is_learner=p.seat not in (Seat.VOTER, Seat.SILENT),
        )
        for p in peers
        if p.seat is not Seat.NONE
    ]
    return tuple(sorted((*listed, *me), key=lambda m: m.id))


def _statuses(peers: tuple[Peer, ...], leader: str, generation: int) -> dict[str, Sight[MemberStatus]]:
    answers = (Seat.VOTER, Seat.LEARNER, Seat.BEHIND)
    return {
        member_id(p): Known(
            _status(member_id(p), leader, applied=0 if p.seat is Seat.BEHIND else INDEX, generation=generation)
        )
        if p.seat in answers
        else UNSEEN
        for p in peers
        if p.seat is not Seat.NONE
    }


def _mine(world: World) -> Sight[Cluster]:
    if world.mine is Mine.NONE:
        return UNSEEN if world.runs is Runs.RUNNING else model.NOT_RUNNING
    me, peers = f"m{world.me}", world.peers
    if world.mine is Mine.LEARNER:
        return Known(Cluster(_status("ja", "mb"), (), readable=False))
    leader = {
        Mine.LEADER: me,
        Mine.FOLLOWER: next((member_id(p) for p in peers if p.seat is Seat.VOTER), me),
        Mine.UNREADABLE: "mb",
        Mine.LEADERLESS: "",
    }[world.mine]
    members = _members(peers, (Member(me, world.me, (url(world.me),)),))
    readable = world.mine in (Mine.LEADER, Mine.FOLLOWER)
    return Known(Cluster(_status(me, leader), members, readable, _statuses(peers, leader, 1)))


def _theirs(world: World) -> Sight[Cluster]:
    if world.theirs is Theirs.NONE:
        return model.NOT_SERVED
    generation = 2 if world.book is Book.NEWER else 1
    other = world.theirs is Theirs.OTHER
    mine = {
        Theirs.VOTER: (Member(f"m{world.me}", world.me, (url(world.me),)),),
        Theirs.LEARNER: (Member("ja", "", (url(world.me),), is_learner=True),),
        Theirs.GHOST: (Member("ga", "", (url(world.me),), is_learner=True),),
        Theirs.NOT_LISTED: (),
        Theirs.OTHER: (),
    }[world.theirs]
    shown = _status("mb", "mb", generation=generation)
    shown = replace(shown, cluster_id="cy") if other else shown
    others = tuple(p for p in world.peers if p.name != "b")
    return Known(Cluster(shown, _members(world.peers, mine), True, _statuses(others, "mb", generation)))


# ---------------------------------------------------------------- the registry


def _registry(world: World) -> Sight[RegistryView]:
    if world.book is Book.UNKNOWN:
        return UNSEEN
    return Known(_book(world.book, world.me, world.peers))


@cache
def _book(book: Book, me: str, peers: tuple[Peer, ...]) -> RegistryView:  # noqa: C901, PLR0912 - one case a word
    names = sorted((me, *(p.name for p in peers)))
    voters = tuple(voter(n) for n in names)
    greetings = {f"{i}{n}": f"n{i}{n}" for i in "iw" for n in names}
    empty = RegistryView(greetings=greetings)
    fresh = RegistryView("r", "k", "acct", (charter(1, voters),), greetings=greetings)
    lived = replace(fresh, alive=3)
    silenced = {i: n for i, n in greetings.items() if i[1:] != names[-1]}
    now = _voters_of(me, peers)
    match book:
        case Book.UNKNOWN:
            raise AssertionError
        case Book.EMPTY:
            return empty
        case Book.UNSHARED:
            return replace(empty, greetings=silenced)
        case Book.SNAPSHOTS:
            return replace(empty, snapshots=True)
        case Book.BEATEN:
            return replace(empty, alive=3)
        case Book.FRESH:
            return fresh
        case Book.UNGREETED:
            return replace(fresh, greetings=silenced)
        case Book.LIVED:
            return lived
        case Book.OTHERS:
            others = tuple(voter(n) for n in (*names, "d") if n != me)
            return replace(lived, charters=(charter(1, others),))
        case Book.ADOPTED:
            unvouched = tuple(replace(v, incarnation="", volume="") for v in voters)
            return replace(lived, charters=(replace(charter(1, unvouched), origin=Origin.ADOPTED),))
        case Book.CONFIRMED:
            return replace(lived, rosters=(roster(1, voters, confirmed=True),))
        case Book.PENDING:
            return replace(lived, rosters=(roster(1, voters, confirmed=True), roster(2, voters[:-1])))
        case Book.NEWER:
            reborn = tuple(voter(n, incarnation=f"w{n}") for n in (*names, "d") if n != me)
            return replace(lived, charters=(charter(1, voters), charter(2, reborn)))
        case Book.FOREIGN:
            strangers = tuple(voter(n, account="other") for n in ("x", "y", "z"))
            theirs = replace(charter(1, strangers), cluster_id="cz")
            return replace(fresh, registry_id="rz", owner="other", charters=(theirs,))
        case Book.DUE_CONFIRM:
            return replace(lived, rosters=(roster(1, now),))
        case Book.DUE_ADD:
            return replace(lived, rosters=(roster(1, now, confirmed=True), roster(2, (*now, _learner_of(peers)))))
        case Book.DUE_REMOVE:
            return replace(lived, rosters=(roster(1, now, confirmed=True), roster(2, now[:-1])))
        case Book.STRAY:
            return replace(lived, rosters=(roster(1, now, confirmed=True), roster(2, (now[0], *now[2:]))))
        case Book.UNRECORDED:
            lacking = replace(lived, charters=(charter(1, now[:-1]),))
            return replace(lacking, rosters=(roster(1, now[:-1], confirmed=True),))


def charter(number: int, founders: tuple[Voter, ...]) -> Charter:
    """A founding charter of these."""
    return Charter(number, Verdict.FOUNDS, "x", f"t{number}", f"c{number}", founders, Origin.NOTHING, "a", "", "")


def roster(seq: int, voters: tuple[Voter, ...], *, confirmed: bool = False) -> Roster:
    """A roster of generation 1."""
    return Roster(1, seq, f"x{seq}", voters, "a", "", "", confirmed)


def _voters_of(me: str, peers: tuple[Peer, ...]) -> tuple[Voter, ...]:
    """Me and the peers that are voters, me first."""
    return (voter(me), *(voter(p.name) for p in peers if p.seat in (Seat.VOTER, Seat.SILENT)))


def _learner_of(peers: tuple[Peer, ...]) -> Voter:
    learner = _learners(peers)[0]
    return voter(learner.name, incarnation=f"w{learner.name}", member=f"l{learner.name}")
