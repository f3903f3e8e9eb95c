"""How often intervals hold the truth, how wide they are, and how long they take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from benchmarks.stats_bench import rules
from benchmarks.stats_bench.process import fast, measured
from benchmarks.stats_bench.rules import Answer
from benchmarks.stats_bench.table import Bound, Table, seconds, share, shown
from benchmarks.stats_bench.warming import soak, soaked
from benchmarks.stats_bench.world import (
    DRIFT,
    LONG_BURSTS,
    STEADY,
    THERMAL,
    WANDER,
    WARMING,
    Scenario,
    Session,
)

Rule = Callable[[Session], Answer]
DEFAULT = "**default**"
RULES: dict[str, Rule] = {
    DEFAULT: rules.two_stage,
    "**rigorous**": partial(rules.two_stage, pilot=8, seconds=10.0),
    "**quick**": rules.one_process,
    "fixed-N mean": rules.fixed_mean,
    "pooled t": rules.pooled_mean,
    "fixed-N min": rules.minimum,
}
LIMIT_S = {"quiet": 180, "spiky": 450}
"""Within which the default preset reaches ±1 %."""
SLOW_THERMAL = replace(
    THERMAL, name="slow thermal", says="1.5 % slower when warm, with a time constant of 100 s", heat_s=100.0
)


def scenarios() -> Table:
    """Say what every scenario stands for."""
    rows = [[s.name, s.says] for s in (*STEADY, LONG_BURSTS, *WARMING, SLOW_THERMAL, DRIFT)]
    return Table("Scenarios", "What disturbs the machine.", ["scenario", "what it is"], rows)


def intervals(repetitions: int) -> Table:
    """Every rule of estimation in every steady scenario."""
    table = Table(
        "Intervals of 95 %",
        "Coverage of the truth; half-width; share of estimates within ±1 % where the rule said that it "
        "met its target, and how often it said so; simulated time, mean and 95th percentile. Rules in "
        "bold are the harness's presets, soak included; `quick` is one process, labelled `within-run "
        "only`. A minimum has no interval. `long bursts` is no bound: it lies beyond six processes of 5 "
        "s, and shows what longer ones do about it.",
        ["scenario", "rule", "coverage", "half-width", "within ±1 %", "met", "time", "p95"],
    )
    coverage, within = [], []
    for scenario in (*STEADY, LONG_BURSTS):
        for name, rule in RULES.items():
            bound = name == DEFAULT and scenario is not LONG_BURSTS
            answers = _answers(rule, scenario, repetitions if bound else shown(repetitions))
            met = [a for a in answers if a.met]
            covered = _covered(answers, scenario)
            near = float(np.mean([abs(a.estimate / scenario.truth - 1) <= 0.01 for a in met]))
            times_s = [a.took_s for a in answers]
            p95_s = float(np.quantile(times_s, 0.95))
            table.rows.append(
                [
                    scenario.name,
                    name,
                    share(covered),
                    share(_half_width(answers), 2),
                    share(near),
                    share(len(met) / len(answers)),
                    seconds(float(np.mean(times_s))),
                    seconds(p95_s),
                ]
            )
            if bound:
                coverage.append(covered)
                within.append(near)
            if bound and scenario.name in LIMIT_S:
                says = f"time to ±1 %, {scenario.name}, 95th percentile"
                table.bounds.append(Bound(says, p95_s, LIMIT_S[scenario.name], at_least=False, show=seconds))
    table.bounds += [
        Bound("coverage of the 95 % interval, worst steady scenario", min(coverage), 0.93, at_least=True),
        Bound(
            "within ±1 % where the target was met, worst steady scenario", min(within), 0.95, at_least=True
        ),
    ]
    return table


def rounds(repetitions: int) -> Table:
    """What it is worth to spread replicas over the session."""
    table = Table(
        "Replicas in rounds or back to back",
        f"A machine whose speed drifts slowly by {share(WANDER.wander)}, by the default preset without soak; "
        "in rounds the sweep's other configurations run between replicas.",
        ["drift lasts", "between replicas", "coverage", "half-width"],
    )
    for drift_s in (30.0, 120.0, 600.0):
        for gap_s in (0.0, 120.0, 1200.0):
            scenario = replace(WANDER, wander_s=drift_s, gap_s=gap_s)
            answers = _answers(partial(rules.two_stage, soaked=False), scenario, shown(repetitions))
            figures = share(_covered(answers, scenario)), share(_half_width(answers), 2)
            table.rows.append([seconds(drift_s), seconds(gap_s), *figures])
    return table


def warm_up(repetitions: int) -> Table:
    """What is left of the first minutes in an estimate."""
    table = Table(
        "Bias from warming up",
        "Mean estimate / truth - 1, after the session's soak by windows of 15 s, and how long that took; "
        "a thermometer adds the condition on the temperature. A fixed-N mean takes 100 iterations after "
        "3. `slow thermal` is no bound: without a thermometer, windows of 15 s cannot see it.",
        ["scenario", "soak", "for", "soak with thermometer", "for", "no soak", "fixed-N mean"],
    )
    worst = 0.0
    for scenario in (*WARMING, SLOW_THERMAL):
        bias, soak_s = _after_soak(scenario, repetitions, thermometer=False)
        with_it, with_it_s = _after_soak(scenario, shown(repetitions), thermometer=True)
        others = (partial(rules.two_stage, soaked=False), rules.fixed_mean)
        biases = [_bias(_answers(rule, scenario, shown(repetitions)), scenario) for rule in others]
        table.rows.append(
            [
                scenario.name,
                share(bias, 3),
                seconds(soak_s),
                share(with_it, 3),
                seconds(with_it_s),
                *(share(one, 3) for one in biases),
            ]
        )
        if scenario is not SLOW_THERMAL:
            worst = max(worst, abs(bias))
    says = "warm-up bias after the soak, worst warming scenario"
    table.bounds.append(Bound(says, worst, 0.001, at_least=False))
    return table


def differing(processes: int) -> int:
    """Run a soak and processes of every scenario by the harness's loops and by the fast paths.

    Returns how many differ.
    """
    count = 0
    for scenario in (*STEADY, LONG_BURSTS, *WARMING):
        sessions = Session(scenario, 7), Session(scenario, 7)
        steady = soaked(sessions[0], thermometer=True), soak(sessions[1], thermometer=True)
        count += steady[0] != steady[1] or sessions[0].now_s != sessions[1].now_s
        for _ in range(processes):
            real, quick = measured(sessions[0].process()), fast(sessions[1].process())
            count += real != quick
            for session in sessions:
                session.now_s += real.took_s
    return count


def _answers(rule: Rule, scenario: Scenario, repetitions: int) -> list[Answer]:
    return [rule(Session(scenario, [1, n])) for n in range(repetitions)]


def _after_soak(scenario: Scenario, repetitions: int, *, thermometer: bool) -> tuple[float, float]:
    """Return the bias of the default preset and the mean length of the soak in seconds."""
    sessions = [Session(scenario, [1, n]) for n in range(repetitions)]
    for session in sessions:
        soak(session, thermometer=thermometer)
    soak_s = float(np.mean([session.now_s for session in sessions]))
    return _bias([rules.two_stage(session, soaked=False) for session in sessions], scenario), soak_s


def _covered(answers: list[Answer], scenario: Scenario) -> float:
    return float(np.mean([a.low <= scenario.truth <= a.high for a in answers]))


def _half_width(answers: list[Answer]) -> float:
    return float(np.mean([(a.high - a.low) / 2 / a.estimate for a in answers]))


def _bias(answers: list[Answer], scenario: Scenario) -> float:
    return float(np.mean([a.estimate / scenario.truth - 1 for a in answers]))
