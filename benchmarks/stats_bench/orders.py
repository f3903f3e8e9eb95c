"""Rankings of many configurations, and nights in a row."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from benchmarks.stats_bench import rules
from benchmarks.stats_bench.rules import replica
from benchmarks.stats_bench.table import Bound, Table, share, shown
from benchmarks.stats_bench.world import QUIET, SPREAD, Floats, Scenario, Session
from harness.stats import Comparison, interval, night_label, rank, screen

Flags = npt.NDArray[np.bool_]
CONFIGURATIONS, GROUPS, REPLICAS = 12, 4, 6
NIGHT_SD = 0.003
"""What a machine differs by from night to night, in logs."""


def rankings(repetitions: int) -> Table:
    """Rank 12 configurations of which three each are truly equal."""
    table = Table(
        "Rankings",
        f"{CONFIGURATIONS} configurations in {GROUPS} truly equal groups, {REPLICAS} processes each, "
        "measured in rounds in random order. Share of rankings with at least one false strict order, and "
        "share of the true orders that were found. `mixed` is no bound: every other configuration there "
        "spreads five times as much as its neighbour, which a pooled variance does not know.",
        ["scenario", "groups apart", "rule", "false strict order", "true orders found"],
    )
    worst = 0.0
    for scenario, gap, wider in ((QUIET, 0.01, 1), (SPREAD, 0.01, 1), (SPREAD, 0.05, 1), (QUIET, 0.01, 5)):
        name = scenario.name if wider == 1 else "mixed"
        count = repetitions if wider == 1 else shown(repetitions)
        samples = [_sweep(scenario, gap, n, wider) for n in range(count)]
        for rule, below in RANKINGS.items():
            judged = [_judge(below(means)) for means in samples]
            false = float(np.mean([wrong for wrong, _ in judged]))
            found = float(np.mean([right for _, right in judged]))
            table.rows.append([name, share(gap, 0), rule, share(false), share(found)])
            if rule == TUKEY and wider == 1:
                worst = max(worst, false)
    table.bounds.append(Bound("rankings with a false strict order, worst", worst, 0.03, at_least=False))
    return table


def nights(repetitions: int) -> Table:
    """Screen a night after 30 good ones, and confirm a suspect one by pairs."""
    count = shown(repetitions)
    table = Table(
        "A night after thirty",
        f"Nights differ by {share(NIGHT_SD)} (sd); the screen takes the median and MAD of 30, and at least "
        "0.2 %. A suspect night is confirmed by pairs of last-good and head; the environment moves every "
        "value of the night and no pair. The last columns are fixed thresholds on tonight against the "
        "night before.",
        ["what happened", "suspect", "regression", "environment_shift", "inconclusive", "> 2 %", "> 5 %"],
    )
    cases = {
        "nothing": (0.0, 0.0),
        "environment +3 %": (0.0, 0.03),
        "slower by 1 %": (0.01, 0.0),
        "slower by 2 %": (0.02, 0.0),
        "slower by 5 %": (0.05, 0.0),
    }
    for name, (effect, shift) in cases.items():
        labels, suspects, over = [], 0, np.zeros(2)
        for n in range(count):
            history, tonight = _nights(n, math.log1p(effect) + math.log1p(shift))
            screened = screen(history, tonight, floor=0.002)
            suspects += screened.suspect
            confirmation = _confirm(n, effect) if screened.suspect else None
            labels.append(night_label(screened, confirmation))
            over += tonight / history[-1] - 1 > np.array([0.02, 0.05])
        parts = [labels.count(x) / count for x in ("regression", "environment_shift", "inconclusive")]
        table.rows.append(
            [name, share(suspects / count), *map(share, parts), *(share(x / count) for x in over)]
        )
    return table


def _sweep(scenario: Scenario, gap: float, n: int, wider: float) -> Floats:
    """Return process means of a sweep, shape (configurations, replicas); neighbours in threes are equal."""
    session = Session(scenario, [3, n])
    means = np.zeros((CONFIGURATIONS, REPLICAS))
    for r in range(REPLICAS):
        for c in session.rng.permutation(CONFIGURATIONS):
            session.scenario = replace(scenario, between=scenario.between * (wider if c % 2 else 1))
            means[c, r] = replica(session, (1 + gap) ** (c // (CONFIGURATIONS // GROUPS)) - 1)
    return means


def _judge(below: Flags) -> tuple[bool, float]:
    """Tell whether any order is false, of equals or the wrong way round, and the share of true ones found."""
    group = np.arange(CONFIGURATIONS) // (CONFIGURATIONS // GROUPS)
    truly = group[:, None] < group
    return bool((below & ~truly).any()), float(below[truly].mean())


def _tukey(means: Floats) -> Flags:
    """Tell which are below which and share no letter with it."""
    ranked = rank(list(means))
    apart = np.array([[not set(a.letters) & set(b.letters) for b in ranked] for a in ranked])
    return apart & _less([r.estimate for r in ranked], [r.estimate for r in ranked])


def _apart(means: Floats) -> Flags:
    """Tell which intervals of 95 % lie wholly below which."""
    found = [interval(group) for group in means]
    high, low = (np.array([getattr(i, side) for i in found], np.float64) for side in ("high", "low"))
    return _less(high, low)


def _sorted(means: Floats) -> Flags:
    return _less(means.mean(axis=1), means.mean(axis=1))


def _less(a: npt.ArrayLike, b: npt.ArrayLike) -> Flags:
    less: Flags = np.asarray(a, np.float64)[:, None] < np.asarray(b, np.float64)
    return less


TUKEY = "**Tukey's letters**"
RANKINGS: dict[str, Callable[[Floats], Flags]] = {
    TUKEY: _tukey,
    "intervals apart": _apart,
    "sorted means": _sorted,
}


def _nights(n: int, shift: float) -> tuple[Floats, float]:
    """Return the values of 30 nights, each the mean of six processes, and tonight's."""
    rng = np.random.default_rng([4, n])
    logs = rng.normal(0, math.hypot(NIGHT_SD, QUIET.between / math.sqrt(REPLICAS)), 31)
    return np.exp(logs[:-1]), math.exp(logs[-1] + shift)


def _confirm(n: int, effect: float) -> Comparison:
    return rules.pairs(Session(QUIET, [5, n]), effect)
