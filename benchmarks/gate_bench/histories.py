"""Simulated years of nights with a known truth: what the gate calls, misses and blames wrongly.

Run by `make bench-gate`. A night's value is ln-normal around its level; pairs are measured in one session, so
that the environment cancels in them and only the processes' own scatter is left.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from harness.gate.series import Judgement, Night, judge_night, last_good
from harness.stats import Comparison, compare, finished

NIGHTS = 365
LOOKS = (6, 10, 16, 24)
DELTA = 0.01
REMEMBERED = 90
"""Nights that a judgement looks back on; the screen itself uses the last 30."""


@dataclass
class World:
    """The truth of one series: ln of the code's and of the environment's effect, night by night."""

    noise: float
    code: np.ndarray
    environment: np.ndarray
    outliers: np.ndarray
    judged: list[Judgement] = field(default_factory=list)


def world(rng: np.random.Generator, noise: float, kind: str, size: float = 0.0) -> World:
    """Make a series.

    Args:
        rng: of this series.
        noise: standard deviation of ln value, from night to night and from process to process.
        kind: `quiet`, `outliers` (2 % of nights slower by 3 to 15 %), `steps` (four a year, 1 to 5 % up or
            down), `drift` (3 % over the year) or `regression` (by `size`, on a night in the second half).
        size: of the regression.
    """
    code, environment, outliers = np.zeros(NIGHTS), np.zeros(NIGHTS), np.zeros(NIGHTS)
    if kind == "outliers":
        hit = rng.random(NIGHTS) < 0.02
        outliers[hit] = np.log1p(rng.uniform(0.03, 0.15, hit.sum()))
    elif kind == "steps":
        for at in rng.choice(np.arange(40, NIGHTS), 4, replace=False):
            environment[at:] += rng.choice([-1, 1]) * math.log1p(rng.uniform(0.01, 0.05))
    elif kind == "drift":
        environment += np.linspace(0, rng.choice([-1, 1]) * math.log1p(0.03), NIGHTS)
    elif kind == "regression":
        code[rng.integers(NIGHTS // 2, NIGHTS - 20) :] += math.log1p(size)
    return World(noise, code, environment, outliers)


def pairs(rng: np.random.Generator, noise: float, effect: float) -> Comparison:
    """Measure pairs until a planned look has a verdict; `effect` is the true ln ratio."""
    base = np.exp(rng.normal(0, noise, LOOKS[-1]))
    head = np.exp(effect + rng.normal(0, noise, LOOKS[-1]))
    for look in LOOKS:
        found = compare(base[:look], head[:look], DELTA)
        if finished(found):
            break
    return found


def live(rng: np.random.Generator, truth: World) -> None:
    """Let the gate judge the year night by night."""
    nights: list[Night] = []
    for i in range(NIGHTS):
        level = truth.code[i] + truth.environment[i] + truth.outliers[i]
        value = math.exp(level + rng.normal(0, truth.noise))
        good = last_good(nights)
        effect = truth.code[i] - truth.code[int(good.name) if good else 0]
        found = judge_night(
            nights[-REMEMBERED:],
            value,
            lambda effect=effect: pairs(rng, truth.noise, effect),
            delta=DELTA,
            floor=truth.noise / 2,
            direction="lower",
        )
        truth.judged.append(found)
        nights.append(Night(str(i), value, found.label, found.event))


def false_alarms(truth: World) -> int:
    """Count spells of nights that were called a regression although the code had not changed."""
    called = [j.label == "regression" for j in truth.judged]
    return sum(now and not before for before, now in zip([False, *called], called, strict=False))


def found_within(truth: World, nights: int) -> bool:
    """Tell whether the regression was called within so many nights of its first."""
    at = int(np.flatnonzero(truth.code)[0])
    return any(j.label == "regression" for j in truth.judged[at : at + nights])


def confirmations(truth: World) -> int:
    """Count the nights on which pairs were measured."""
    return sum(j.comparison is not None for j in truth.judged)


def measure(years: int, seed: int, noises: Sequence[float] = (0.003, 0.01)) -> list[dict[str, object]]:
    """Return a row a kind of history and noise, each of `years` series-years."""
    rows: list[dict[str, object]] = []
    kinds = [(k, 0.0) for k in ("quiet", "outliers", "steps", "drift")]
    kinds += [("regression", size) for size in (0.01, 0.02, 0.05)]
    for noise in noises:
        for kind, size in kinds:
            truths = []
            for year in range(years):
                rng = np.random.default_rng([seed, year, round(noise * 1e6), round(size * 1e6), len(kind)])
                truths.append(world(rng, noise, kind, size))
                live(rng, truths[-1])
            row: dict[str, object] = {"noise": noise, "kind": kind, "size": size, "series_years": years}
            row["confirmations_a_year"] = sum(map(confirmations, truths)) / years
            if kind == "regression":
                row["found_within_14_nights"] = sum(found_within(t, 14) for t in truths) / years
            else:
                row["false_alarms_a_year"] = sum(map(false_alarms, truths)) / years
            if kind == "steps":
                row["steps_blamed_on_code"] = sum(map(false_alarms, truths)) / (4 * years)
            rows.append(row)
    return rows


def main() -> int:
    """Print the rows and whether they keep the bounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--years", type=int, default=100, help="series-years of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = measure(options.years, options.seed)
    print(json.dumps(rows, indent=1) if options.json else "\n".join(map(str, rows)))
    return 0 if kept(rows) else 1


def kept(rows: Sequence[dict[str, object]]) -> bool:
    """Tell whether the rows keep the bounds, allowing for how many series-years were simulated."""
    least = {0.003: 0.98, 0.01: 0.93}
    good = True
    for row in rows:
        if row.get("false_alarms_a_year", 0) > 0.05:  # type: ignore[operator]
            good = False
        if row.get("steps_blamed_on_code", 0) > 0.02:  # type: ignore[operator]
            good = False
        if row["kind"] == "regression" and row["size"] == 0.02:
            good &= row["found_within_14_nights"] >= least[row["noise"]]  # type: ignore[operator,index]
    return good


if __name__ == "__main__":
    sys.exit(main())
