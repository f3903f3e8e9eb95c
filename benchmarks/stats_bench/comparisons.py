"""How often rules of comparing raise false alarms, and what they detect."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from benchmarks.stats_bench import rules
from benchmarks.stats_bench.rules import Verdict
from benchmarks.stats_bench.table import Bound, Table, seconds, share, shown
from benchmarks.stats_bench.world import DRIFT, LONG_BURSTS, QUIET, STEADY, WARMING, Scenario, Session

Rule = Callable[[Session, float], Verdict]
PAIRED = "**paired looks**"
RULES: dict[str, Rule] = {
    PAIRED: rules.paired,
    "threshold 5 %": rules.threshold,
    "min, 1 %": rules.least_of_each,
    "t, one process": rules.fixed_t_test,
    "U, one process": rules.u_test,
    "pooled t": rules.pooled_t_test,
}
POWER = {0.01: 0.95, 0.02: 1.0, 0.05: 1.0}
"""What share of planted slowdowns must be found, by size."""
POWER_LIMIT_S = 305


def false_alarms(repetitions: int) -> Table:
    """Compare identical code in every scenario."""
    table = Table(
        "A against A",
        "Share of comparisons of identical code that end in `better` or `worse`. Nothing is soaked, so "
        "the warming scenarios begin cold. The last columns are of the paired rule: its other verdicts "
        "and its mean simulated time.",
        ["scenario", *RULES, "equivalent", "inconclusive", "time"],
    )
    worst = 0.0
    for scenario in (*STEADY, LONG_BURSTS, *WARMING, DRIFT):
        ours = _verdicts(rules.paired, scenario, 0.0, repetitions)
        alarms = [_alarms(ours)]
        for name, rule in RULES.items():
            if name != PAIRED:
                alarms.append(_alarms(_verdicts(rule, scenario, 0.0, shown(repetitions))))
        table.rows.append(
            [
                scenario.name,
                *map(share, alarms),
                share(_share(ours, "equivalent")),
                share(_share(ours, "inconclusive")),
                seconds(float(np.mean([v.took_s for v in ours]))),
            ]
        )
        worst = max(worst, alarms[0])
    table.bounds.append(Bound("A/A verdicts better or worse, worst scenario", worst, 0.07, at_least=False))
    return table


def power(repetitions: int) -> Table:
    """Find planted slowdowns on a machine that is warm."""
    table = Table(
        "Planted slowdowns",
        "Share found (`worse`) on a machine that is warm. Time is simulated, mean and 95th percentile; "
        f"{POWER_LIMIT_S} s are 16 pairs. A common rule's power comes with its false alarms of the table "
        "above.",
        ["rule", "scenario", *("+" + share(effect, 0) for effect in POWER), "time at +1 %", "p95"],
    )
    cases = [(name, QUIET) for name in RULES]
    cases += [(PAIRED, scenario) for scenario in STEADY if scenario is not QUIET]
    for name, scenario in cases:
        bound = name == PAIRED and scenario is QUIET
        count = repetitions if bound else shown(repetitions)
        found = {effect: _verdicts(RULES[name], scenario, effect, count) for effect in POWER}
        times_s = [v.took_s for v in found[0.01]]
        table.rows.append(
            [
                name,
                scenario.name,
                *(share(_share(verdicts, "worse")) for verdicts in found.values()),
                seconds(float(np.mean(times_s))),
                seconds(float(np.quantile(times_s, 0.95))),
            ]
        )
        if bound:
            for effect, limit in POWER.items():
                in_time = [v for v in found[effect] if v.took_s <= POWER_LIMIT_S and v.label == "worse"]
                says = f"power at {share(effect, 0)} within {POWER_LIMIT_S} s"
                table.bounds.append(Bound(says, len(in_time) / count, limit, at_least=True))
    return table


def order_in_the_pair(repetitions: int) -> Table:
    """Toss a coin for each pair, or for each two pairs and turn the second one round."""
    table = Table(
        "Order within the pair",
        f"On a machine that nobody warmed up ({DRIFT.says}). By a coin for each pair, six pairs begin the "
        "same way once in 32 times, and the drift passes for a difference.",
        ["order", "A/A better or worse", "found at +1 %", "mean pairs at +1 %"],
    )
    for name, balanced in (("a coin for each pair", False), ("**opposite in each two pairs**", True)):
        rule = partial(rules.paired, balanced=balanced)
        same = _verdicts(rule, DRIFT, 0.0, shown(repetitions))
        slower = _verdicts(rule, DRIFT, 0.01, shown(repetitions))
        mean_pairs = float(np.mean([v.pairs for v in slower]))
        table.rows.append([name, share(_alarms(same)), share(_share(slower, "worse")), f"{mean_pairs:.1f}"])
    return table


def _verdicts(rule: Rule, scenario: Scenario, effect: float, repetitions: int) -> list[Verdict]:
    seeds = [[2 + round(100 * effect), n] for n in range(repetitions)]
    return [rule(Session(scenario, seed), effect) for seed in seeds]


def _share(verdicts: list[Verdict], label: str) -> float:
    return float(np.mean([v.label == label for v in verdicts]))


def _alarms(verdicts: list[Verdict]) -> float:
    return _share(verdicts, "better") + _share(verdicts, "worse")
