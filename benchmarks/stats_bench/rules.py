"""Rules of measuring and comparing: the harness's own, and re-statements of common ones."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats as scipy_stats

from benchmarks.stats_bench.process import SETTINGS, fast
from benchmarks.stats_bench.warming import soak
from benchmarks.stats_bench.world import Floats, Series, Session
from harness.stats import (
    Comparison,
    compare,
    finished,
    interval,
    next_look,
    plan_replicas,
    within_run_interval,
)
from harness.timing import TimingSettings

D = math.log(1.01)
WARMUP = 3
"""Iterations that the common rules throw away."""
ITERATIONS = 100
"""Iterations of one process that the common rules keep."""
PROCESSES = 5
"""Processes that the pooled rules run."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An estimate in seconds per iteration, its interval, and the simulated time it took."""

    estimate: float
    low: float
    high: float
    took_s: float
    met: bool = True
    """The interval's half-width reached the target."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A comparison's verdict and the simulated time it took."""

    label: str
    took_s: float
    pairs: int = 1


def replica(session: Session, effect: float = 0.0, settings: TimingSettings = SETTINGS) -> float:
    """Run one process by the harness's rule and let the session's time pass; return its mean in seconds."""
    run = fast(session.process(effect), settings)
    session.now_s += run.took_s
    return run.mean_s


def two_stage(session: Session, *, pilot: int = 6, seconds: float = 5.0, soaked: bool = True) -> Answer:
    """The harness's `default` (and, with 8 processes of 10 s, `rigorous`): soak, pilot, and what it asks for.

    The time that a sweep's other configurations take between replicas is not this one's.
    """
    began_s, waited_s = session.now_s, 0.0
    if soaked:
        soak(session)
    settings = replace(SETTINGS, seconds=seconds)
    means: list[float] = []
    wanted = pilot
    while len(means) < wanted:
        means.append(replica(session, settings=settings))
        session.now_s += session.scenario.gap_s
        waited_s += session.scenario.gap_s
        if len(means) == pilot:
            wanted = plan_replicas(means, D)
    found = interval(means, pilot=pilot)
    assert found.low is not None
    assert found.high is not None
    met = math.log(found.high / found.estimate) <= D * (1 + 1e-12)
    return Answer(found.estimate, found.low, found.high, session.now_s - began_s - waited_s, met)


def one_process(session: Session) -> Answer:
    """The harness's `quick`: one process, ten batch means, labelled `within-run only`."""
    began_s = session.now_s
    series = session.process()
    run = fast(series)
    session.now_s += run.took_s
    measured = series.durations_ns[run.warmup_iterations :][: run.iterations] / 1e9
    found = within_run_interval(measured)
    assert found.low is not None
    assert found.high is not None
    return Answer(found.estimate, found.low, found.high, session.now_s - began_s)


def fixed_mean(session: Session) -> Answer:
    """Mean of a fixed number of iterations of one process, with Student's interval."""
    began_s = session.now_s
    return _t_answer(_iterations(session), session.now_s - began_s)


def minimum(session: Session) -> Answer:
    """The fastest of a fixed number of iterations; it has no interval."""
    began_s = session.now_s
    least = float(_iterations(session).min())
    return Answer(least, least, least, session.now_s - began_s)


def pooled_mean(session: Session) -> Answer:
    """Mean of the iterations of several processes, as if they were independent."""
    began_s = session.now_s
    pooled = np.concatenate([_iterations(session) for _ in range(PROCESSES)])
    return _t_answer(pooled, session.now_s - began_s)


def paired(session: Session, effect: float, *, balanced: bool = True) -> Verdict:
    """The harness's `ab`, as a verdict and the time it took."""
    began_s = session.now_s
    found = pairs(session, effect, balanced=balanced)
    return Verdict(found.label, session.now_s - began_s, found.pairs)


def pairs(session: Session, effect: float, *, balanced: bool = True) -> Comparison:
    """The harness's `ab`: pairs of processes, looks after 6, 10, 16 and 24.

    Which of a pair comes first is random; `balanced`: and the other one in the second of each two pairs.
    """
    base: list[float] = []
    head: list[float] = []
    base_first = False
    found = None
    while not (found and finished(found)):
        look = next_look(len(base))
        assert look is not None
        while len(base) < look:
            again = balanced and len(base) % 2 == 1
            base_first = not base_first if again else bool(session.rng.random() < 0.5)
            if base_first:
                base.append(replica(session))
                head.append(replica(session, effect))
            else:
                head.append(replica(session, effect))
                base.append(replica(session))
        found = compare(base, head)
    return found


def threshold(session: Session, effect: float, percent: float = 5.0) -> Verdict:
    """Means of one process each; a difference of more than a fixed percentage counts."""
    began_s = session.now_s
    base, head = float(_iterations(session).mean()), float(_iterations(session, effect).mean())
    return _verdict(head / base - 1, abs(head / base - 1) > percent / 100, session.now_s - began_s)


def least_of_each(session: Session, effect: float, percent: float = 1.0) -> Verdict:
    """The fastest iteration of one process each; more than one percent counts."""
    began_s = session.now_s
    base, head = float(_iterations(session).min()), float(_iterations(session, effect).min())
    return _verdict(head / base - 1, abs(head / base - 1) > percent / 100, session.now_s - began_s)


def u_test(session: Session, effect: float) -> Verdict:
    """Mann and Whitney's test on the iterations of one process each, at 5 %."""
    began_s = session.now_s
    base, head = _iterations(session), _iterations(session, effect)
    p = float(scipy_stats.mannwhitneyu(base, head, method="asymptotic").pvalue)
    return _verdict(float(np.median(head) - np.median(base)), p < 0.05, session.now_s - began_s)


def fixed_t_test(session: Session, effect: float) -> Verdict:
    """Welch's test on a fixed number of iterations of one process each, at 5 %."""
    began_s = session.now_s
    return _welch(_iterations(session), _iterations(session, effect), session, began_s)


def pooled_t_test(session: Session, effect: float) -> Verdict:
    """Welch's test on the pooled iterations of several processes each, at 5 %."""
    began_s = session.now_s
    base = np.concatenate([_iterations(session) for _ in range(PROCESSES)])
    head = np.concatenate([_iterations(session, effect) for _ in range(PROCESSES)])
    return _welch(base, head, session, began_s)


def _iterations(session: Session, effect: float = 0.0) -> Floats:
    """Return the iterations that a common rule keeps of a new process, in seconds."""
    series: Series = session.process(effect)
    series.extend()
    kept: Floats = series.durations_ns[WARMUP : WARMUP + ITERATIONS] / 1e9
    session.now_s += float(series.durations_ns[: WARMUP + ITERATIONS].sum()) / 1e9
    return kept


def _t_answer(values: Floats, took_s: float) -> Answer:
    mean = float(values.mean())
    half = float(scipy_stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values)))
    return Answer(mean, mean - half, mean + half, took_s)


def _welch(base: Floats, head: Floats, session: Session, began_s: float) -> Verdict:
    p = float(scipy_stats.ttest_ind(base, head, equal_var=False).pvalue)
    return _verdict(float(head.mean() - base.mean()), p < 0.05, session.now_s - began_s)


def _verdict(difference: float, claimed: bool, took_s: float) -> Verdict:
    label = ("worse" if difference > 0 else "better") if claimed else "no difference"
    return Verdict(label, took_s)
