"""What Prometheus reads. docs/metrics.md explains every name.

Counting happens in plain values at each tick; the client library is imported and used only when
somebody asks, so that a start of etcd never waits for it. What is unknown is not exported as a
number: a count that could not be fetched has no sample, and `eco_fact_unknown` says so. Labels
are closed sets: situations, steps, roles, facts.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING, get_args

from eco.core.decision import Situation
from eco.core.model import Running
from eco.core.sight import Known
from eco.core.steps import Step
from eco.status.page import unknown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

    from eco.core.decision import Decision
    from eco.core.model import Cluster, Observation

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds, in seconds, of the time to look and decide."""

FACTS = ("provider", "disk", "registry", "etcd", "cluster", "peers", "ports")


class _Histogram:
    """Observations counted by bucket."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BUCKETS) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        self._counts[bisect_left(BUCKETS, seconds)] += 1
        self.sum += seconds

    def cumulative(self) -> list[tuple[str, float]]:
        """(Upper bound, observations at or below it), the last bound infinite."""
        bounds = (*map(str, BUCKETS), "+Inf")
        return [(bound, sum(self._counts[: n + 1])) for n, bound in enumerate(bounds)]


class Metrics:
    """The numbers of one agent; `eco` is its version, `etcd` that of the binary it runs."""

    def __init__(self, *, eco: str, etcd: str = "") -> None:
        self._eco = eco
        self._etcd = etcd
        self._tick: tuple[Observation, Decision] | None = None
        self._steps: Counter[str] = Counter({kind.__name__: 0 for kind in get_args(Step)})
        self._refusals = 0
        self._restarts = 0
        self._pid: int | None = None
        self._turns = _Histogram()
        self._registry: CollectorRegistry | None = None

    def record(self, o: Observation, d: Decision, seconds: float) -> None:
        """Count one tick: to look and decide took `seconds`."""
        self._tick = (o, d)
        self._steps[type(d.step).__name__] += 1
        self._refusals += len(d.refused)
        self._turns.observe(seconds)
        if isinstance(o.process, Running):
            self._restarts += self._pid not in {None, o.process.pid}
            self._pid = o.process.pid

    def render(self) -> bytes:
        """All of it in Prometheus' text format."""
        from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest  # noqa: PLC0415

        if self._registry is None:
            self._registry = CollectorRegistry(auto_describe=False)
            self._registry.register(self)
            ProcessCollector(registry=self._registry)
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Every family, as `prometheus_client.registry.Collector` asks."""
        yield from self._of_the_agent()
        if self._tick is not None:
            yield from self._of_the_decision(*self._tick)
            yield from self._of_etcd(self._tick[0])

    def _of_the_agent(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily  # noqa: PLC0415

        yield _gauge("eco_build_info", "Versions; always 1.", {(self._eco, self._etcd): 1}, ("version", "etcd"))
        decisions = CounterMetricFamily("eco_decisions", "Ticks, by the step that was decided.", labels=("step",))
        for step, count in self._steps.items():
            decisions.add_metric((step,), count)
        yield decisions
        yield CounterMetricFamily("eco_refusals", "Sentences with which the vetting refused.", value=self._refusals)
        yield CounterMetricFamily("eco_etcd_restarts", "Times etcd was started again.", value=self._restarts)
        yield HistogramMetricFamily(
            "eco_loop_seconds", "Time to look and decide.", buckets=self._turns.cumulative(), sum_value=self._turns.sum
        )

    def _of_the_decision(self, o: Observation, d: Decision) -> Iterator[Metric]:
        situations: dict[tuple[str, ...], float] = {(s.value,): float(s is d.situation) for s in Situation}
        yield _gauge("eco_situation", "1 for the situation the node is in.", situations, ("situation",))
        yield _gauge("eco_situation_seconds", "Time in this situation.", {(): max(0.0, o.now - d.memory.since)})
        yield _gauge("eco_alarms", "What a human should know.", {(): len(d.alarms)})
        missing = {_fact(name) for name in unknown(o)}
        facts: dict[tuple[str, ...], float] = {(fact,): float(fact in missing) for fact in FACTS}
        yield _gauge("eco_fact_unknown", "1 for a fact the last look did not get.", facts, ("fact",))
        if isinstance(o.group, Known):
            yield _gauge("eco_members_desired", "Size the provider asks for.", {(): o.group.value.desired})

    def _of_etcd(self, o: Observation) -> Iterator[Metric]:
        running = isinstance(o.process, Running)
        mine: Cluster | None = o.mine.value if running and isinstance(o.mine, Known) else None
        claims = (
            ("eco_etcd_up", "1 while etcd runs.", running),
            ("eco_serving", "1 when a linearizable read succeeded.", mine is not None and mine.readable),
            ("eco_has_leader", "1 when this member knows a leader.", mine is not None and mine.mine.leader != ""),
            ("eco_is_leader", "1 on the leader.", mine is not None and mine.mine.leader == mine.mine.member_id),
        )
        for name, help_, claim in claims:
            yield _gauge(name, help_, {(): float(claim)})
        if mine is not None:
            learners = sum(member.is_learner for member in mine.members)
            roles: dict[tuple[str, ...], float] = {("voter",): len(mine.members) - learners, ("learner",): learners}
            yield _gauge("eco_members", "Members of the cluster.", roles, ("role",))


def _fact(name: str) -> str:
    """Map a fact's name on the page to one of `FACTS`."""
    if name.startswith("peer "):
        return "peers"
    return "ports" if name.startswith("ports of ") else name


def _gauge(name: str, help_: str, samples: Mapping[tuple[str, ...], float], labels: tuple[str, ...] = ()) -> Metric:
    from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415

    family = GaugeMetricFamily(name, help_, labels=labels)
    for values, number in samples.items():
        family.add_metric(values, number)
    return family
