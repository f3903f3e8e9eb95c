"""From what the ranks measured to one replica's metrics: arithmetic alone (docs/method.md, section 1)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.devices.base import Peak
from harness.devices.timeline import UNMARKED
from harness.records.metrics import METRICS, make
from harness.records.schema import Metric
from harness.stats import least_effective_samples, quantiles
from harness.timing import Measurement
from workloads.base import Units

FIRST_TOKEN = "first_token"  # noqa: S105 - a mark in a step, not a secret
PERCENTILES = {"latency.p50": 0.5, "latency.p90": 0.9, "latency.p99": 0.99}
NO_CEILING = Peak(None, reason="no ceiling of this device was measured")
CLEAN_SHARE = 0.2
"""Share of short stretches that must be undisturbed before their mean stands for the work (docs/method.md,
section 2)."""


@dataclass(frozen=True, slots=True)
class RankRun:
    """What one rank did."""

    measurement: Measurement
    cycle: Sequence[Units]
    """What step i processed on this rank is `cycle[i % len(cycle)]`, all its micro-batches together."""
    memory: Mapping[str, int | None]
    """From `Device.memory()`, after the span."""
    device: str = "cpu"
    """As torch names it; ranks may share one."""
    devices: int = 1
    """How many devices the rank drives itself, from that one on."""
    counted: Units | None = None
    """What the span processed, where no step tells it beforehand."""

    @property
    def units(self) -> Units:
        """What this rank processed within its span."""
        if self.counted is not None:
            return self.counted
        return span_units(self.cycle, self.measurement.first_index, self.measurement.iterations)


@dataclass(frozen=True, slots=True)
class EnergyUse:
    """Energy of the span over all devices of the trial, or the reason why there is none."""

    joules: float | None
    u_joules: float | None = None
    """Standard uncertainty of `joules`."""
    peak_w: float | None = None
    idle_w: float | None = None
    reason: str | None = None
    """Why whatever is None above is missing."""
    mean_w: float | None = None
    """Over the sensor's own window, which holds the span; None divides by the span."""


def device_count(ranks: Sequence[RankRun]) -> int:
    """Return how many devices the ranks run on; some may share one."""
    return sum({rank.device: rank.devices for rank in ranks}.values())


def span_units(cycle: Sequence[Units], first_index: int, iterations: int) -> Units:
    """Add up what `iterations` steps from `first_index` on process, step i being `cycle[i % len(cycle)]`."""
    rounds, rest = divmod(iterations, len(cycle))
    total = Units(0)
    for offset, units in enumerate(cycle):
        # The place of this step's first turn at or after first_index.
        times = rounds + ((offset - first_index) % len(cycle) < rest)
        total += units.times(times)
    return total


def summarise(
    ranks: Sequence[RankRun],
    *,
    peak: Peak,
    energy: EnergyUse,
    ceiling: Peak = NO_CEILING,
    single_threaded: bool = False,
    output_tokens: int | None = None,
    losses: Sequence[float] = (),
    rank_metrics: Mapping[str, float] | None = None,
    served: Sequence[Metric] | None = None,
) -> list[Metric]:
    """Return a replica's metrics, in the order of the metric table; what is missing carries its reason.

    Items are added over ranks and divided by the slowest rank's span; times of iterations are the slowest
    rank's. What the work does not have (tokens, losses, a first token) is left out.

    Args:
        ranks: One or more ranks of one trial.
        peak: Dense peak of one rank's device.
        energy: Of the span, all devices.
        ceiling: What one rank's device was measured to reach at most, from its certificate.
        single_threaded: A step never used more than one CPU thread.
        output_tokens: Tokens that an iteration generates for each sequence, for `latency.tpot`.
        losses: Training losses, the first step's first.
        rank_metrics: Values that the trial knows already, by metric id, e.g. `memory.weights`, `time.build`.
        served: Metrics of the requests, where the trial served some: a step of an engine is no unit of work,
            so that they stand in the place of its times.

    Raises:
        ValueError: no rank, or a rank without an iteration.
        KeyError: `rank_metrics` names a metric that is not in the table.
    """
    if not ranks or not all(rank.measurement.iterations for rank in ranks):
        raise ValueError("a replica needs at least one rank, and every rank at least one iteration")
    slowest = max((rank.measurement for rank in ranks), key=lambda measurement: measurement.span_ns)
    total = sum((rank.units for rank in ranks), Units(0))
    metrics = [
        *_rates(total, slowest, peak, ceiling, ranks),
        *(_timed(slowest, output_tokens, single_threaded=single_threaded) if served is None else served),
        make("time.warmup", max(rank.measurement.warmup_ns for rank in ranks) / 1e9),
        make(
            "cpu.time",
            sum(rank.measurement.cpu_ns for rank in ranks) / 1e9 / slowest.iterations,
            n=slowest.iterations,
        ),
        *_memory(ranks),
        *_energy(energy, total, slowest),
        *_losses(losses),
        *(make(metric_id, value) for metric_id, value in (rank_metrics or {}).items()),
    ]
    order = {metric_id: place for place, metric_id in enumerate(METRICS)}
    return sorted(metrics, key=lambda metric: order[metric.id])


def _items(units: Units) -> dict[str, int]:
    """Return the kinds of items that the work has, with how many it processed."""
    counts = {
        "samples": units.samples, "tokens": units.tokens, "requests": units.requests, "bytes": units.bytes
    }  # fmt: skip
    return {kind: count for kind, count in counts.items() if count}


def _rates(
    total: Units, slowest: Measurement, peak: Peak, ceiling: Peak, ranks: Sequence[RankRun]
) -> Iterator[Metric]:
    span_s, n = slowest.span_ns / 1e9, slowest.iterations
    for kind, count in _items(total).items():
        yield make(f"throughput.{kind}", count / span_s, n=n)
    if not total.flops:
        reason = "the workload counts no model FLOPs"
        yield make("flops.rate", None, reason=reason)
        yield make("mfu", None, reason=reason)
        yield make("mfu.measured", None, reason=reason)
        return
    rate = total.flops / span_s
    yield make("flops.rate", rate, n=n)
    if all(rank.counted is None for rank in ranks):
        yield make("flops.step", sum(sum(u.flops for u in rank.cycle) / len(rank.cycle) for rank in ranks))
    for metric_id, limit in (("mfu", peak), ("mfu.measured", ceiling)):
        if limit.flop_s is None:
            yield make(metric_id, None, reason=limit.reason or "no dense peak is known for this device")
        else:
            yield make(metric_id, rate / (limit.flop_s * device_count(ranks)), n=n)


def _timed(slowest: Measurement, output_tokens: int | None, *, single_threaded: bool) -> list[Metric]:
    return [
        *_iterations(slowest, single_threaded=single_threaded),
        *_latencies(slowest, output_tokens),
    ]


def _iterations(slowest: Measurement, *, single_threaded: bool) -> Iterator[Metric]:
    n = slowest.iterations
    yield make("iteration.mean", slowest.period_ns / 1e9, n=n)
    if slowest.stretches is None:
        return  # a device's work is not disturbed by what happens to the host's thread
    metric_id = "iteration.mean.clean"
    if not single_threaded and slowest.stretches.waited_ns is None:
        yield make(metric_id, None, reason="the run-queue delay of the team's threads is unknown")
        return
    share = slowest.stretches.clean_share(team=not single_threaded)
    if share < CLEAN_SHARE:
        reason = f"{share:.0%} of iterations are undisturbed; {CLEAN_SHARE:.0%} needed"
        yield make(metric_id, None, reason=reason)
        return
    kept, wall_ns = slowest.stretches.clean_work(team=not single_threaded)
    yield make(metric_id, wall_ns / 1e9 / kept, n=kept)


def _latencies(slowest: Measurement, output_tokens: int | None) -> Iterator[Metric]:
    durations_s = slowest.durations_ns / 1e9
    if slowest.group > 1:
        reason = f"iterations are so short that {slowest.group} at a time were timed"
        yield from (make(metric_id, None, reason=reason) for metric_id in PERCENTILES)
    else:
        for metric_id, found in zip(
            PERCENTILES, quantiles(durations_s, tuple(PERCENTILES.values())), strict=True
        ):
            # The median of a few is still the middle one; the tail of a few is only their largest.
            if found.enough or found.q == 0.5:
                yield make(metric_id, found.value, n=len(durations_s))
            else:
                least = least_effective_samples(found.q)
                reason = f"{found.effective_samples:.0f} effective samples; {least} needed"
                yield make(metric_id, None, reason=reason)
    if FIRST_TOKEN in slowest.marks:
        first_s = slowest.marks[FIRST_TOKEN] / 1e9
        passed = slowest.marks[FIRST_TOKEN] != UNMARKED
        yield make("latency.ttft", float(first_s[passed].mean()), n=int(passed.sum()))
        if output_tokens is not None and output_tokens > 1:
            rest_s = float((durations_s - first_s)[passed].mean())
            yield make("latency.tpot", rest_s / (output_tokens - 1), n=int(passed.sum()))
        else:
            yield make("latency.tpot", None, reason="no token is generated after the first")


def _memory(ranks: Sequence[RankRun]) -> Iterator[Metric]:
    for name in ("peak_allocated", "peak_reserved", "peak_rss"):
        peaks = [rank.memory.get(name) for rank in ranks]
        known = [peak for peak in peaks if peak is not None]
        if len(known) == len(peaks):
            yield make(f"memory.{name}", max(known))
        else:
            yield make(f"memory.{name}", None, reason="the device's allocator keeps no such peak")


def _energy(energy: EnergyUse, total: Units, slowest: Measurement) -> Iterator[Metric]:
    reason, n = energy.reason or "the sensor does not tell it", slowest.iterations

    def of(metric_id: str, value: float | None, parts: float = 1) -> Metric:
        if value is None:
            return make(metric_id, None, reason=reason)
        return make(metric_id, value / parts, n=n)

    yield of("energy.iteration", energy.joules, n)
    yield of("energy.iteration.uncertainty", energy.u_joules, n)
    for kind, count in _items(total).items():
        yield of(f"energy.{kind.removesuffix('s')}", energy.joules, count)
        per_joule = count / energy.joules if energy.joules else None
        yield of(f"efficiency.{kind}", per_joule)
    if energy.mean_w is not None:
        yield of("power.mean", energy.mean_w)
    else:
        yield of("power.mean", energy.joules, slowest.span_ns / 1e9)
    yield of("power.peak", energy.peak_w)
    yield of("power.idle", energy.idle_w)


def _losses(losses: Sequence[float]) -> Iterator[Metric]:
    if not losses:
        return
    tenth = losses[-math.ceil(len(losses) / 10) :]
    for metric_id, part in (("loss.first", losses[:1]), ("loss.last", tenth)):
        if all(math.isfinite(loss) for loss in part):
            yield make(metric_id, math.fsum(part) / len(part), n=len(part))
        else:
            yield make(metric_id, None, reason="the loss is not finite")
