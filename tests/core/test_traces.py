"""The traces that shaped the protocol (docs/design.md section 13), as far as they concern birth, joining and members.

Each test is named for what went wrong without the rule; its number is in its first line.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from eco.core.decision import Decision, Memory, Situation
from eco.core.model import Holding, Observation, Report, Stopped
from eco.core.policy import Policy
from eco.core.sight import Known, Unknown
from eco.core.steps import (
    AddSelf,
    Found,
    Hold,
    MoveLeader,
    Promote,
    RemoveMember,
    SetAside,
    Start,
    Stop,
    UpdatePeerUrl,
    WriteRoster,
)
from eco.core.tick import tick
from eco.core.vetting import vet
from eco.core.view import Evidence, View
from tests.core.worlds import (
    NOW,
    Asks,
    Book,
    Lies,
    Mine,
    Peer,
    Runs,
    Says,
    Seat,
    Theirs,
    Where,
    World,
    observation,
    roster,
    voter,
)

POLICY = Policy()


def peers(*kinds: tuple[Says, Seat] | tuple[Where, Seat] | Says) -> tuple[Peer, ...]:
    """Peers b, c …: by what they say, or by where they are when they say nothing; and their seats."""
    told = []
    for name, kind in zip("bcdef", kinds, strict=False):
        first, seat = kind if isinstance(kind, tuple) else (kind, Seat.NONE)
        where = first if isinstance(first, Where) else Where.PRESENT
        told.append(Peer(name, where, first if isinstance(first, Says) else Says.NOTHING, seat))
    return tuple(told)


def leading(*kinds: tuple[Says, Seat] | tuple[Where, Seat] | Says, book: Book = Book.CONFIRMED) -> World:
    """My etcd leads a cluster of these."""
    return World(Lies.MINE, Runs.RUNNING, book, peers(*kinds), mine=Mine.LEADER)


def empty(*said: Says, book: Book = Book.EMPTY) -> World:
    """I am new and empty, and so is the rest, or not."""
    return World(Lies.FRESH, Runs.STOPPED, book, peers(*said))


def decided(o: Observation, memory: Memory | None = None) -> Decision:
    return tick(memory or Memory(), o, POLICY)


def settled(o: Observation, seconds: float = 500.0) -> Decision:
    """Decided after looking at the same for so long."""
    return tick(decided(replace(o, now=o.now - seconds)).memory, o, POLICY)


def report_of(o: Observation, name: str) -> Report:
    sight = o.peers[name]
    assert isinstance(sight, Known)
    return sight.value


def saying(o: Observation, name: str, report: Report) -> Observation:
    return replace(o, peers={**o.peers, name: Known(report)})


# ---------------------------------------------------------------- 1


@pytest.mark.parametrize("book", [Book.NEWER, Book.UNKNOWN])
def test_a_machine_that_was_off_for_months_does_not_start_its_old_generation(book: Book) -> None:
    """1. The registry, or with the registry silent a peer, knows the newer generation."""
    world = World(Lies.MINE, Runs.STOPPED, book, peers(Says.NEWER, Where.GONE))  # type: ignore[arg-type]
    decision = settled(observation(world))
    assert decision.situation is Situation.SUPERSEDED
    assert isinstance(decision.step, Hold)


def test_the_newest_voter_set_known_to_anyone_counts_and_not_the_one_of_an_old_stamp() -> None:
    """1. The stamp knows roster 1 alone; the registry has gone on to others, who are unknown."""
    o = observation(
        World(Lies.MINE, Runs.STOPPED, Book.CONFIRMED, peers((Where.GONE, Seat.NONE), (Where.GONE, Seat.NONE)))
    )
    assert isinstance(o.disk, Known)
    assert isinstance(o.registry, Known)
    old, new = roster(1, (voter("a"), voter("b"), voter("c")), confirmed=True), roster(2, tuple(map(voter, "def")))
    stamp = replace(o.disk.value.stamp, rosters=(old,))
    registry = replace(o.registry.value, rosters=(old, replace(new, confirmed=True)))
    view = View(replace(o, disk=Known(replace(o.disk.value, stamp=stamp)), registry=Known(registry)))
    assert [[v.name for v in voters] for voters in view.voter_sets] == [["d", "e", "f"]]
    assert {view.evidence(v) for v in view.voter_sets[0]} == {Evidence.UNKNOWN}


def test_a_record_never_stops_an_etcd_that_serves() -> None:
    """1. Whatever a charter says: linearizable reads succeed, so a human chooses."""
    decision = settled(observation(replace(leading((Says.VOTER, Seat.VOTER)), book=Book.NEWER)))
    assert decision.situation is Situation.CONTRADICTION
    assert isinstance(decision.step, Hold)


# ---------------------------------------------------------------- 2, 7, 8, 24: rosters


def test_every_voter_set_since_the_confirmed_one_may_be_in_force() -> None:
    """2. {a,b,c} grew to five and the record lagged: all of the sets are kept."""
    o = observation(World(Lies.MINE, Runs.STOPPED, Book.LIVED, peers(Says.NOTHING, Says.NOTHING)))
    assert isinstance(o.registry, Known)
    four, five = roster(1, tuple(map(voter, "abcd"))), roster(2, tuple(map(voter, "abcde")))
    view = View(replace(o, registry=Known(replace(o.registry.value, rosters=(four, five)))))
    assert ["".join(v.name for v in voters) for voters in view.voter_sets] == ["abc", "abcd", "abcde"]


def test_the_roster_is_written_before_the_learner_is_promoted() -> None:
    """2. Nobody becomes a voter whom no record names."""
    stable = leading((Says.VOTER, Seat.VOTER), (Says.STRANGER, Seat.LEARNER))
    first = decided(observation(replace(stable, book=Book.DUE_CONFIRM)))
    assert first.because == "etcd's voters are those of roster 1"
    second = decided(observation(replace(stable, book=Book.DUE_REMOVE)))
    assert isinstance(second.step, WriteRoster)
    assert {v.member_id for v in second.step.voters} == {"ma", "mb", "lc"}
    third = decided(observation(replace(stable, book=Book.DUE_ADD)))
    assert third.step == Promote("lc", "c", "c has caught up (0 entries behind)")


def test_a_planned_change_that_nobody_wants_any_more_is_written_off() -> None:
    """7. Else a set that was never in force would be waited for, for ever."""
    decision = decided(observation(leading((Says.VOTER, Seat.VOTER), (Says.STRANGER, Seat.BEHIND), book=Book.DUE_ADD)))
    assert isinstance(decision.step, WriteRoster)
    assert {v.member_id for v in decision.step.voters} == {"ma", "mb"}


def test_nobody_is_promoted_while_a_voter_is_lost() -> None:
    """8. The replacement waits until the dead one is removed."""
    kinds = ((Says.VOTER, Seat.VOTER), (Says.WIPED, Seat.SILENT), (Says.STRANGER, Seat.LEARNER))
    o = observation(leading(*kinds, book=Book.DUE_ADD))
    assert isinstance(decided(o).step, WriteRoster)
    refusal = vet(Promote("ld", "d", ""), View(o), Memory(), POLICY)
    assert refusal == "I5: never promote while a voter is lost"


def test_a_pending_promotion_is_superseded_when_a_voter_is_lost() -> None:
    """24. "Finish first" and "never promote" do not block each other."""
    kinds = ((Says.VOTER, Seat.VOTER), (Says.WIPED, Seat.SILENT), (Says.STRANGER, Seat.LEARNER))
    step = decided(observation(leading(*kinds, book=Book.DUE_ADD))).step
    assert isinstance(step, WriteRoster)
    assert ({v.member_id for v in step.voters}, step.seq) == ({"ma", "mb"}, 3)


# ---------------------------------------------------------------- 3, 14, 15, 16, 22: birth


@pytest.mark.parametrize("book", [Book.FOREIGN, Book.BEATEN])
def test_staging_on_the_store_of_production_founds_nothing(book: Book) -> None:
    """3. Another owner, or the beat of a leader, is enough."""
    decision = settled(observation(empty(Says.EMPTY, Says.EMPTY, book=book)))
    assert isinstance(decision.step, Hold)
    assert "other" in decision.because or "has lived" in decision.because


@pytest.mark.parametrize(
    "said", [Says.NOTHING, Says.HOLDING, Says.VOTER, Says.LATE, Says.DAMAGED, Says.OCCUPIED, Says.UNPROBED]
)
def test_two_new_nodes_of_an_old_cluster_never_found_an_empty_one(said: Says) -> None:
    """14. An instance refresh replaced two; the third is old, silent, or has something on its ports."""
    decision = settled(observation(empty(Says.EMPTY, said)))
    assert decision.situation is Situation.NEWBORN
    assert isinstance(decision.step, Hold)
    assert "c" in decision.because


def test_all_empty_nodes_are_born_together() -> None:
    """14, the other way round: the first by name founds, the others wait for it."""
    step = decided(observation(empty(Says.EMPTY, Says.EMPTY))).step
    assert isinstance(step, Found)
    assert [v.name for v in step.founders] == ["a", "b", "c"]
    other = World(Lies.FRESH, Runs.STOPPED, Book.EMPTY, peers(Says.EMPTY, Says.EMPTY), me="d")
    assert decided(observation(other)).because == "b, first by name, founds the cluster with b, c and d"


@pytest.mark.parametrize("book", [Book.UNSHARED, Book.UNGREETED])
def test_a_store_that_is_not_shared_is_found_out_before_founding_and_before_starting(book: Book) -> None:
    """15. Each founder's nonce has to be there when read through the registry."""
    decision = settled(observation(empty(Says.EMPTY, Says.EMPTY, book=book)))
    assert decision.because == "the registry I see lacks the nonce of c: is the store really shared by all nodes?"


def test_a_founder_starts_by_what_the_charter_says_and_not_by_what_its_create_returned() -> None:
    """16. The charter is read back; whoever wrote it, it names my incarnation."""
    decision = decided(observation(empty(Says.EMPTY, Says.EMPTY, book=Book.FRESH)))
    assert isinstance(decision.step, Start)
    assert decision.step.charter is not None


def test_two_wiped_founders_and_a_late_one_are_not_born_again() -> None:
    """22. The late one may hold everything."""
    wiped = World(Lies.WIPED, Runs.STOPPED, Book.FRESH, peers(Says.WIPED, Says.LATE))
    decision = settled(observation(wiped))
    assert decision.situation is Situation.RESEEDING
    assert isinstance(decision.step, Hold)


def test_a_generation_that_died_at_once_is_followed_by_another() -> None:
    """22, the other way round: every founder is wiped and says so."""
    step = settled(observation(World(Lies.WIPED, Runs.STOPPED, Book.FRESH, peers(Says.WIPED, Says.WIPED)))).step
    assert isinstance(step, Found)
    assert step.number == 2
    lived = settled(observation(World(Lies.WIPED, Runs.STOPPED, Book.LIVED, peers(Says.WIPED, Says.WIPED))))
    assert lived.situation is Situation.BEREFT


# ---------------------------------------------------------------- 4, 12, 13: disks


def test_an_empty_directory_on_another_volume_is_late_and_neither_joins_nor_founds() -> None:
    """4. The old volume may still come."""
    decision = decided(observation(World(Lies.LATE, Runs.STOPPED, Book.CONFIRMED, peers(Says.HOLDING, Says.HOLDING))))
    assert decision.situation is Situation.BLIND
    assert "volume other" in decision.because


def test_a_late_voter_is_not_taken_for_a_wiped_one() -> None:
    """4. Its entry stays."""
    late = settled(observation(leading((Says.VOTER, Seat.VOTER), (Says.LATE, Seat.SILENT))))
    assert isinstance(late.step, Hold)
    wiped = decided(observation(leading((Says.VOTER, Seat.VOTER), (Says.WIPED, Seat.SILENT))))
    assert isinstance(wiped.step, WriteRoster)


def test_a_last_survivor_starts_its_etcd_although_it_will_answer_nobody() -> None:
    """12. Its data are read offline and its etcd is started: quorum is not ours to judge here."""
    alone = World(Lies.MINE, Runs.STOPPED, Book.CONFIRMED, peers((Where.GONE, Seat.NONE), (Where.GONE, Seat.NONE)))
    decision = decided(observation(alone))
    assert decision.situation is Situation.DORMANT
    assert isinstance(decision.step, Start)


def test_a_missing_member_directory_is_never_started_under_its_old_id() -> None:
    """13. The stamp says `started`: that data set is lost, another one begins."""
    o = observation(World(Lies.LOST, Runs.STOPPED, Book.CONFIRMED, peers(Says.VOTER, Says.VOTER)))
    assert isinstance(decided(o).step, SetAside)
    assert vet(Start("again"), View(o), Memory(), POLICY).startswith("I1")


def test_only_a_learner_that_never_started_is_adopted() -> None:
    """13. A voter entry of mine may already have voted: it is removed, by the leader's agent."""
    joining = World(Lies.WIPED, Runs.STOPPED, Book.CONFIRMED, peers((Says.VOTER, Seat.VOTER)), theirs=Theirs.GHOST)
    step = decided(observation(joining)).step
    assert isinstance(step, AddSelf)
    assert step.ghost == "ga"
    still = decided(observation(replace(joining, theirs=Theirs.VOTER)))
    assert still.because == "awaiting the leader's agent: my earlier entry ma is still a voter"


def test_an_etcd_whose_data_were_deleted_is_not_restarted_on_nothing() -> None:
    """13. A restart would begin the same member with an empty log."""
    others = peers((Says.VOTER, Seat.VOTER), (Says.VOTER, Seat.VOTER))
    deleted = World(Lies.LOST, Runs.RUNNING, Book.CONFIRMED, others, theirs=Theirs.VOTER)
    assert settled(observation(deleted)).step == Stop(
        "the cluster serves, and my member takes no part, and its data is not in my data directory any more: stop it"
    )


# ---------------------------------------------------------------- 17, 18: stops, stale plans


def test_of_two_that_want_to_stop_one_goes_first() -> None:
    """17. The leader's agent lets one go, and the next when quorum can spare it."""
    both = observation(leading((Says.STOPPING, Seat.VOTER), (Says.STOPPING, Seat.VOTER)))
    first = decided(both)
    assert first.memory.ticket == "b"
    gone = observation(leading((Says.HOLDING, Seat.SILENT), (Says.STOPPING, Seat.VOTER)))
    assert tick(first.memory, gone, POLICY).memory.ticket == ""
    back = observation(leading((Says.VOTER, Seat.VOTER), (Says.STOPPING, Seat.VOTER)))
    assert tick(first.memory, back, POLICY).memory.ticket == "c"


def test_a_leader_whose_turn_it_was_lets_the_others_go_first_once_all_stop() -> None:
    """17. Else each would wait for the other."""
    world = replace(leading((Says.STOPPING, Seat.VOTER), (Says.STOPPING, Seat.VOTER)), asks=Asks.STOP)
    assert tick(Memory(ticket="a"), observation(world), POLICY).memory.ticket == "b"


@pytest.mark.parametrize(("said", "stops"), [(Says.LETS_GO, True), (Says.VOTER, False)])
def test_a_follower_stops_when_the_leaders_agent_lets_it(said: Says, *, stops: bool) -> None:
    """17."""
    world = leading((said, Seat.VOTER), (Says.VOTER, Seat.VOTER))
    step = decided(observation(replace(world, mine=Mine.FOLLOWER, asks=Asks.STOP))).step
    assert isinstance(step, Stop) is stops


def test_a_leader_hands_over_to_one_that_stays_before_it_stops() -> None:
    """17. Etcd's own choice may be the next to stop."""
    world = leading((Says.STOPPING, Seat.VOTER), (Says.VOTER, Seat.VOTER), (Says.VOTER, Seat.VOTER))
    o = observation(replace(world, asks=Asks.STOP))
    freed = tick(Memory(ticket="a"), o, POLICY)
    assert isinstance(freed.step, MoveLeader)
    assert freed.step.name != "b"


def test_a_plan_made_before_a_pause_is_another_one_at_the_new_look() -> None:
    """18. The member is healthy again: the step is not chosen, and would be refused."""
    before = settled(observation(leading((Says.VOTER, Seat.VOTER), (Says.WIPED, Seat.SILENT), book=Book.DUE_REMOVE)))
    assert isinstance(before.step, RemoveMember)
    after = replace(
        observation(leading((Says.VOTER, Seat.VOTER), (Says.VOTER, Seat.VOTER), book=Book.DUE_REMOVE)), now=NOW + 600
    )
    assert not isinstance(tick(before.memory, after, POLICY).step, RemoveMember)
    assert vet(before.step, View(after), before.memory, POLICY).startswith("I5")


# ---------------------------------------------------------------- easily got wrong


@pytest.mark.parametrize("mine", [Mine.LEADERLESS, Mine.UNREADABLE])
def test_an_ordinary_election_changes_nothing(mine: Mine) -> None:
    world = replace(leading((Says.VOTER, Seat.VOTER), (Says.VOTER, Seat.VOTER)), mine=mine)
    assert isinstance(decided(observation(world)).step, Hold)


def test_a_learner_in_the_middle_of_a_big_snapshot_is_not_removed() -> None:
    """Its applied index stands still; what its agent counts does not."""
    o = observation(leading((Says.VOTER, Seat.VOTER), (Says.STRANGER, Seat.BEHIND)))
    memory = Memory()
    for second in range(0, 200, 10):
        report = replace(report_of(o, "c"), progress=second)
        decision = tick(memory, replace(saying(o, "c", report), now=NOW + second), POLICY)
        memory = decision.memory
        assert isinstance(decision.step, Hold), decision.step
    stuck = tick(memory, replace(saying(o, "c", report), now=NOW + 230), POLICY)
    assert isinstance(stuck.step, RemoveMember)


def test_a_learner_that_has_caught_up_is_not_removed_for_one_unanswered_look() -> None:
    """In an idle cluster nothing grows: it has nowhere to go."""
    world = leading((Says.VOTER, Seat.VOTER), (Says.STRANGER, Seat.LEARNER), book=Book.UNKNOWN)
    o = observation(world)
    assert isinstance(o.mine, Known)
    memory = settled(o).memory
    lost = {**o.mine.value.statuses, "lc": Unknown("no answer in time")}
    missed = replace(o, mine=Known(replace(o.mine.value, statuses=lost)), now=NOW + 1)
    assert isinstance(tick(memory, missed, POLICY).step, Hold)


def test_a_voter_updates_its_own_address_and_a_learner_never_does() -> None:
    world = World(Lies.MINE, Runs.RUNNING, Book.CONFIRMED, peers((Says.VOTER, Seat.VOTER)), theirs=Theirs.VOTER)
    moved = replace(observation(world), peer_url="http://10.9.9.9:2380")
    step = decided(moved).step
    assert step == UpdatePeerUrl(
        "ma", "http://10.9.9.9:2380", "my peer URL is http://10.9.9.9:2380, the member list says http://10.0.0.a:2380"
    )
    learner = observation(replace(world, lies=Lies.LEARNER, theirs=Theirs.LEARNER))
    still = settled(replace(learner, peer_url="http://10.9.9.9:2380"))
    assert not isinstance(still.step, UpdatePeerUrl)


def test_a_voter_whose_old_address_was_given_to_a_newcomer_is_not_taken_for_it() -> None:
    """Addresses are used again: d got c's, c came back elsewhere with its data."""
    o = observation(leading((Says.VOTER, Seat.VOTER), (Says.HOLDING, Seat.SILENT), Says.EMPTY))
    assert isinstance(o.group, Known)
    at = {"c": "10.0.0.z", "d": "10.0.0.c"}
    instances = tuple(replace(i, address=at.get(i.name, i.address)) for i in o.group.value.instances)
    decision = decided(replace(o, group=Known(replace(o.group.value, instances=instances))))
    assert isinstance(decision.step, Hold)


def test_members_of_a_plain_cluster_under_names_of_their_own_are_not_removed_by_a_written_list() -> None:
    """The list names instances; etcd's names are another's business until an agent has vouched."""
    world = leading((Says.NOTHING, Seat.VOTER), (Where.TAKEN_OFF, Seat.SILENT), book=Book.ADOPTED)
    o = observation(world)
    assert isinstance(o.mine, Known)
    members = tuple(replace(m, name=f"etcd-{m.id}") for m in o.mine.value.members)
    assert isinstance(o.group, Known)
    group = replace(o.group.value, gone=())
    plain = replace(o, mine=Known(replace(o.mine.value, members=members)), group=Known(group))
    step = settled(plain).step
    assert isinstance(step, WriteRoster)
    assert {v.member_id for v in step.voters} == {"ma", "mb", "mc"}


def test_a_report_that_cannot_read_its_own_disk_blanks_nothing_in_the_roster() -> None:
    """Else its volume would be forgotten, and its next empty directory be late for ever."""
    o = observation(leading((Says.VOTER, Seat.VOTER)))
    blank = replace(report_of(o, "b"), incarnation="", volume="")
    assert isinstance(decided(saying(o, "b", blank)).step, Hold)


def test_a_provider_that_calls_a_living_voter_gone_is_not_believed_for_one_unanswered_look() -> None:
    o = observation(leading((Says.VOTER, Seat.VOTER), (Where.GONE, Seat.VOTER)))
    healthy = settled(o)
    assert isinstance(healthy.step, Hold)
    assert healthy.alarms == ("the provider says that c is gone, but it is alive",)
    missed = observation(leading((Says.VOTER, Seat.VOTER), (Where.GONE, Seat.SILENT)))
    assert isinstance(tick(healthy.memory, missed, POLICY).step, Hold)
    later = replace(missed, now=NOW + 15)
    assert isinstance(tick(tick(healthy.memory, missed, POLICY).memory, later, POLICY).step, WriteRoster)


def test_an_accepted_join_is_no_empty_disk() -> None:
    """A cluster lives, or lived, that accepted it."""
    assert View(observation(World(Lies.JOINING, Runs.STOPPED, Book.EMPTY, ()))).holding is Holding.LATE


def test_a_failed_start_is_tried_again_only_after_its_back_off() -> None:
    o = observation(World(Lies.MINE, Runs.BACKOFF, Book.CONFIRMED, peers(Says.HOLDING)))
    assert isinstance(decided(o).step, Hold)
    assert isinstance(o.process, Stopped)
    assert isinstance(decided(replace(o, now=o.process.not_before)).step, Start)


@pytest.mark.parametrize(("second", "situation"), [(Seat.VOTER, Situation.DAMAGED), (Seat.NONE, Situation.DORMANT)])
def test_a_flag_that_is_wrong_everywhere_costs_one_voter_and_not_one_after_the_other(
    second: Seat, situation: Situation
) -> None:
    """An etcd that fails again and again is given up in a whole cluster, and tried on in one that lacks a voter."""
    kinds = peers((Says.VOTER, Seat.VOTER), (Says.VOTER if second is Seat.VOTER else Says.NOTHING, second))
    world = World(Lies.MINE, Runs.HOPELESS, Book.CONFIRMED, kinds, theirs=Theirs.VOTER)
    assert settled(observation(world)).situation is situation
