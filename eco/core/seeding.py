"""Birth: founding the first generation, and only when nothing can have lived before (docs/design.md 8.1).

Every desired instance must be present and report `empty` on the volume that is expected of it;
nothing may answer on any of their etcd ports; the registry must be readable, without a charter
and without a snapshot; and every founder's nonce must be readable *through the registry*, which
shows that all of them see the same one. Whatever is missing is named, and waited for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eco.core.model import Holding, Instance, Origin, Presence, Report, Verdict, Voter
from eco.core.sight import Known, Unknown
from eco.core.steps import Found, Hold, Start, Step
from eco.core.view import LOST, Evidence, View

if TYPE_CHECKING:
    from eco.core.decision import Memory
    from eco.core.policy import Policy


def birth(view: View, memory: Memory, policy: Policy) -> Step:
    """The next step of a node without data in a cluster without a living generation."""
    obstacle = obstacle_to_birth(view, memory, policy)
    if obstacle:
        return Hold(obstacle)
    founders = present(view)
    first = founders[0].name
    if first != view.o.me:
        return Hold(f"{first}, first by name, founds the cluster with {names(founders)}")
    number = 1 + max((c.number for c in view.registry.charters), default=0) if view.registry else 1
    voters = tuple(_founder(view, instance) for instance in founders)
    what = "the cluster" if number == 1 else f"generation {number}, as every founder of the earlier one was wiped"
    return Found(number, voters, f"{names(founders)} are all empty and see the same registry: found {what}")


def obstacle_to_birth(view: View, memory: Memory, policy: Policy) -> str:
    """The sentence that says what keeps a birth from happening; "" when nothing does."""
    group, registry = view.group, view.registry
    if group is None or registry is None:
        return "birth needs the provider's list and the registry"
    if view.foreign:
        return f"the registry belongs to {registry.owner}, this is {group.identity}"
    if registry.snapshots:
        return "the store holds snapshots of an earlier cluster, which an empty one would hide: restore, or use another"
    missing = group.desired - len(present(view))
    if missing > 0:
        return (
            f"awaiting {missing} more of the {group.desired} desired instances; only {names(present(view))} are listed"
        )
    return (
        _earlier_life(view, memory, policy)
        or next(filter(None, (_obstacle(view, instance) for instance in present(view))), "")
        or _unseen_greeting(view)
    )


def present(view: View) -> tuple[Instance, ...]:
    """The instances that are to found: listed and not on their way out, sorted by name."""
    instances = view.group.instances if view.group else ()
    return tuple(sorted((i for i in instances if i.presence is Presence.PRESENT), key=lambda i: i.name))


def names(instances: tuple[Instance, ...]) -> str:
    """`a, b and c`."""
    return listed([instance.name for instance in instances])


def listed(words: list[str]) -> str:
    """`a, b and c`; `nobody` for an empty list."""
    if len(words) <= 1:
        return words[0] if words else "nobody"
    return f"{', '.join(words[:-1])} and {words[-1]}"


def _earlier_life(view: View, memory: Memory, policy: Policy) -> str:
    """Why an earlier charter forbids a birth. It does not when that generation died at once:
    it never served (its leader would have beaten `alive`), never changed its voters, and every
    founder is proven wiped or gone."""
    charter, registry = view.charter, view.registry
    if charter is None or registry is None:
        beaten = registry is not None and registry.alive is not None
        return "a cluster has lived under this registry, which has lost its charter" if beaten else ""
    if charter.origin is not Origin.NOTHING or view.rosters or registry.alive is not None:
        return f"generation {charter.number} has lived; it can be recovered, never be born again"
    standing = [v.name for v in charter.founders if view.evidence(v) not in LOST]
    if standing:
        return f"generation {charter.number} was founded, and {listed(standing)} may hold its data"
    if all(view.evidence(v) is Evidence.WIPED for v in charter.founders):
        return ""
    watched = view.o.now - memory.leaderless_since if memory.leaderless_since is not None else 0.0
    if watched < policy.alive_watch:
        left = policy.alive_watch - watched
        return f"every founder is wiped or gone; watching the registry for a sign of life, {left:.0f} s more"
    return ""


def _obstacle(view: View, instance: Instance) -> str:
    probe = view.o.probes.get(instance.name, Unknown("it was not probed"))
    if isinstance(probe, Known) and probe.value:
        return f"something already answers on an etcd port of {instance.name} ({instance.address})"
    if instance.name == view.o.me:
        if isinstance(probe, Unknown):
            return f"cannot tell whether an etcd runs beside me: {probe.because}"
        return "" if view.holding is Holding.EMPTY else "my own data directory is not known to be empty"
    sight = view.o.peers.get(instance.name, Unknown("it was not asked"))
    if isinstance(sight, Unknown):
        return f"awaiting {instance.name}, which does not report: {sight.because}"
    if isinstance(probe, Unknown):
        return f"cannot tell whether an etcd runs on {instance.name}: {probe.because}"
    return _objection(sight.value)


def _objection(report: Report) -> str:
    if report.holding is not Holding.EMPTY:
        return f"{report.name} does not report an empty disk but {report.holding.value}: {report.because}"
    if report.leaving or report.stopping or report.paused:
        return f"{report.name} is {'leaving' if report.leaving else 'stopping' if report.stopping else 'paused'}"
    return ""


def _unseen_greeting(view: View) -> str:
    """The nonces as read back through the registry: one that is missing means that its writer
    looks at another store than I do (a directory that is not shared, another bucket)."""
    greetings = view.registry.greetings if view.registry else {}
    for instance in present(view):
        incarnation, nonce = _identity(view, instance.name)
        if greetings.get(incarnation) != nonce:
            return f"the registry I see lacks the nonce of {instance.name}: is the store really shared by all nodes?"
    return ""


def _identity(view: View, name: str) -> tuple[str, str]:
    if name == view.o.me and view.disk is not None:
        return view.disk.stamp.incarnation, view.disk.stamp.nonce
    report = view.reports.get(name)
    return (report.incarnation, report.nonce) if report else ("", "")


def _founder(view: View, instance: Instance) -> Voter:
    incarnation, _ = _identity(view, instance.name)
    mine = instance.name == view.o.me
    volume = view.my_volume if mine else view.reports[instance.name].volume
    return Voter(
        name=instance.name,
        member_id="",
        peer_urls=(),
        incarnation=incarnation,
        instance=instance.name,
        volume=volume,
        medium=view.group.medium if view.group else Voter.medium,
        account=view.group.identity if view.group else "",
    )


def chartered(view: View) -> Step:
    """The step of a founder that the newest charter names and that has not started yet."""
    charter, registry = view.charter, view.registry
    if charter is None or registry is None or charter.verdict is not Verdict.FOUNDS:
        return Hold("no charter names me")
    for voter in charter.founders:
        written = registry.greetings.get(voter.incarnation)
        said = next((r.nonce for r in view.reports.values() if r.incarnation == voter.incarnation), written)
        if written is None or said != written:
            return Hold(f"the registry I see lacks the nonce of {voter.name}: is the store really shared by all nodes?")
    others = [v.name for v in charter.founders if v.name != view.o.me]
    together = f" together with {listed(others)}" if others else ""
    return Start(f"charter {charter.number} names me as a founder: start{together}", charter=charter)
