"""The raw numbers of one span against each other: its durations, marks, edges and totals are of one clock."""

from __future__ import annotations

from harness.bundles.finding import Told, is_number
from harness.records.schema import Record
from harness.timing import Measurement
from harness.trial.audit import Replay

_OUTSIDE_NS, _OUTSIDE_SHARE = 50_000_000, 0.05
"""What a span on the host's clock may have before its first iteration and behind its last."""
_LATE_S = 1.0
_ENOUGH = 64
"""Durations from which a clock's tick shows."""


def check_loop(record: Record, made: Replay) -> Told:
    """Yield what cannot be of one measured span.

    Args:
        record: a good attempt.
        made: from what it kept.
    """
    evidence, m, told = record.evidence, made.slowest, made.timing
    for key in ("iterations", "span_ns", "host_ns"):
        if evidence.get(key) != told[key]:
            yield "raw times", f"{key} is {evidence.get(key)}, and {told[key]} was kept"
    if evidence.get("warmup_iterations") != m.warmup_iterations or m.first_index != m.warmup_iterations + 1:
        yield "raw times", "the span does not begin behind its warm-up"
    durations_ns = m.durations_ns
    if (durations_ns < 0).any():
        yield "raw times", "an iteration ended before it began"
    yield from _tick(record, m)
    for name, marks in m.marks.items():
        if len(marks) != m.iterations or (marks > durations_ns).any() or (marks < -1).any():
            yield "raw times", f"the mark {name[:80]} lies outside its iterations"
    if evidence.get("clock") == "host":
        total_ns = told["durations_ns"]
        if not total_ns <= m.span_ns <= total_ns * (1 + _OUTSIDE_SHARE) + _OUTSIDE_NS:
            yield "raw times", "the durations do not fill the span"
    yield from _edges(record, m)
    busy_s = (m.warmup_ns + m.span_ns) / 1e9 + sum(
        metric.value or 0.0
        for name in ("time.build", "time.first_iteration")
        if (metric := record.metric(name)) is not None
    )
    if busy_s > record.wall_s + _LATE_S and len(made.ranks) == 1:
        yield "time", f"build, warm-up and span of {busy_s:.3g} s do not fit in its {record.wall_s:g} s"
    if "ranks" in evidence:
        yield from _ranks(record, made)


def _tick(record: Record, m: Measurement) -> Told:
    """Hold the clock's tick to the durations: all are multiples of the true one, or of a part of it."""
    import numpy as np

    tick_ns, steps_ns = record.evidence.get("tick_ns"), m.durations_ns
    if not is_number(tick_ns) or np.count_nonzero(steps_ns) < _ENOUGH:
        return
    # By chance, so many numbers share a divisor but once in 2^64 times.
    if (common_ns := int(np.gcd.reduce(steps_ns))) > max(tick_ns, 1):
        yield "raw times", f"every duration is a multiple of {common_ns} ns, and tick_ns is {tick_ns}"


def _edges(record: Record, m: Measurement) -> Told:
    """Hold the host's clocks at the edges of stretches to the durations between them."""
    import numpy as np

    if m.stretches is None:
        return
    ran, wall_ns = m.stretches.iterations, m.stretches.wall_ns
    columns = (ran, wall_ns, m.stretches.cpu_ns, m.stretches.involuntary, m.stretches.waited_ns)
    known = [column for column in columns if column is not None]
    if len({len(column) for column in known}) != 1 or any((np.diff(one) < 0).any() for one in known):
        yield "raw times", "a clock went back between two stretches"
        return
    ends_ns = np.concatenate([[0], np.cumsum(m.durations_ns)])
    if ran[0] != 0 or ran[-1] != m.iterations or (ran % m.group).any():
        yield "raw times", "the stretches do not hold the span's iterations"
    elif (wall_ns - wall_ns[0] != ends_ns[ran // m.group]).any():
        yield "raw times", "the durations do not add up to the stretches' times"
    elif m.host_ns != ends_ns[-1]:
        yield "raw times", "the durations do not add up to the loop's time"
    switches = record.evidence.get("involuntary_switches")
    if is_number(switches) and switches < int(m.stretches.involuntary[-1] - m.stretches.involuntary[0]):
        yield "flag", "involuntary_switches are fewer than the stretches show"
    contention = record.evidence.get("contention")
    threads = contention.get("threads") if isinstance(contention, dict) else None
    team = m.stretches.waited_ns is not None and isinstance(threads, int) and threads > 1
    if record.evidence.get("clean_share") != m.stretches.clean_share(team=team):
        yield "flag", "clean_share is not what the stretches show"


def _ranks(record: Record, made: Replay) -> Told:
    """Hold what a record says of each rank to what was kept of it."""
    told = record.evidence["ranks"]
    spans = [rank.measurement.span_ns for rank in made.ranks]
    if not isinstance(told, list) or [one.get("span_ns") for one in told if isinstance(one, dict)] != spans:
        yield "raw times", "the ranks' spans are not those that were kept"
    if record.evidence.get("rank_skew") != (max(spans) - min(spans)) / max(spans):
        yield "flag", "rank_skew is not what the ranks' spans show"
