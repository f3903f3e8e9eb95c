"""Why A takes less energy than B: power and time, whose factors multiply to the ratio of energy per item.

Energy per item is mean power times time per item. Where the idle power of both was measured, power is split
into what the device draws idle and what it draws above that, by logarithmic-mean weights (LMDI-I: Ang, Energy
Policy 33, 2005). What the records' own energy does not share with power times time is the unexplained rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.comparison.factors import UNEXPLAINED, Factor, Factors, intervals, log_mean
from harness.comparison.side_evidence import Side, logarithm, side_of
from harness.records.results import TrialResult
from harness.stats import StatsError, compare_unpaired

ITEMS = {
    "energy.token": "throughput.tokens",
    "energy.sample": "throughput.samples",
    "energy.request": "throughput.requests",
    "energy.byte": "throughput.bytes",
}
"""Energy per item, and the throughput in the same items."""


@dataclass(frozen=True, slots=True)
class EnergyExplanation:
    """A ratio of energies and the factors that multiply to it; above 1 A is the thriftier."""

    metric: str
    ratio: float
    """Energy per item of B over that of A."""
    low: float | None
    high: float | None
    factors: tuple[Factor, ...]
    """Power (or its idle and its other part) and time, the largest first, and the unexplained rest last."""
    power_share: float | None
    """Share of the ratio's logarithm that is power; None where power and time work against each other."""


def explain_energy(a: TrialResult, b: TrialResult) -> EnergyExplanation | None:
    """Explain the ratio of two trials' energies per item; None where either has no valid one of the same."""
    metric = next((m for m in ITEMS if _valid(a, m) and _valid(b, m)), None)
    if metric is None:
        return None
    one, other = side_of(a), side_of(b)
    try:
        comparison = compare_unpaired(a.values(metric), b.values(metric))
    except StatsError:  # values that no ratio can be made of
        return None
    found = _factors(metric, one, other)
    interval = intervals(lambda x, y: _factors(metric, x, y), one, other)
    made = [Factor(name, value, *interval(name), text) for name, (value, text) in found.items()]
    named = sorted((f for f in made if f.name != UNEXPLAINED), key=lambda f: -abs(math.log(f.value)))
    low, high = (None if end is None else 1 + end for end in (comparison.low, comparison.high))
    return EnergyExplanation(
        metric,
        _ratio(metric, one, other),
        low,
        high,
        (*named, *(f for f in made if f.name == UNEXPLAINED)),
        _power_share(found),
    )


def _valid(result: TrialResult, metric: str) -> bool:
    e = result.estimates.get(metric)
    return e is not None and bool(e.value) and e.validity != "invalid" and min(result.values(metric)) > 0


def _factors(metric: str, a: Side, b: Side) -> Factors:
    """Return every factor with its evidence; their product is the ratio."""
    found = _power(a, b)
    item = metric.removeprefix("energy.")
    slower = _ratio(ITEMS[metric], b, a)
    if slower != 1.0:
        found["time"] = (slower, f"B takes {slower:.4g} times as long for a {item}")
    named = math.fsum(math.log(value) for value, _ in found.values())
    rest = math.exp(math.log(_ratio(metric, a, b)) - named)
    found[UNEXPLAINED] = (rest, "energy on record beyond mean power times time")
    return found


def _power(a: Side, b: Side) -> Factors:
    mine, its = (side.mean(logarithm("power.mean")) for side in (a, b))
    if mine is None or its is None:
        return {}
    draws = math.exp(mine), math.exp(its)
    still = [side.mean(logarithm("power.idle")) for side in (a, b)]
    idle = [math.exp(log) for log in still if log is not None]
    if len(idle) < 2 or any(low >= drawn for low, drawn in zip(idle, draws, strict=True)):
        return {"power": (draws[1] / draws[0], f"{draws[0]:.4g} W on A and {draws[1]:.4g} W on B")}
    whole = log_mean(*draws)
    above = draws[0] - idle[0], draws[1] - idle[1]
    return {
        "idle power": (
            math.exp((idle[1] - idle[0]) / whole),
            f"{idle[0]:.4g} W on A and {idle[1]:.4g} W on B are drawn idle",
        ),
        "power above idle": (
            math.exp((above[1] - above[0]) / whole),
            f"{above[0]:.4g} W on A and {above[1]:.4g} W on B are drawn for the work",
        ),
    }


def _power_share(found: Factors) -> float | None:
    logs = {name: math.log(value) for name, (value, _) in found.items() if name != UNEXPLAINED}
    time = logs.pop("time", 0.0)
    power = math.fsum(logs.values())
    return power / (power + time) if logs and power * time > 0 else None


def _ratio(metric: str, a: Side, b: Side) -> float:
    """Return B's value over A's, of the means of logarithms."""
    return math.exp((b.mean(logarithm(metric)) or 0.0) - (a.mean(logarithm(metric)) or 0.0))
