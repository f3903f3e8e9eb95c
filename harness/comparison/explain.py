"""Why A is faster than B: factors that multiply to the measured ratio, each from evidence in the records.

Time per item is split into parts of the profile (operators that both have, operators that only one has,
copies, communication, waiting). Their contributions have logarithmic-mean weights (LMDI-I: Ang, Energy Policy
33, 2005), so that nothing is counted twice and the product is exact. What no evidence explains is a factor of
its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.comparison.explain_energy import EnergyExplanation, explain_energy
from harness.comparison.factors import UNEXPLAINED, Factor, Factors, intervals, log_mean
from harness.comparison.side_evidence import (
    Side,
    clock_mhz,
    differences,
    logarithm,
    missing,
    number,
    side_of,
    slowed,
    stolen,
)
from harness.records.headline import HEADLINES
from harness.records.results import TrialResult
from harness.stats import compare_unpaired
from harness.system.errors import UsageError

LEAST = 1e-12
"""Of the time: a part that is smaller has no logarithm worth taking."""
KEPT = 15
"""Operators from which on a record's list is taken to be cut off; it keeps 20, by name and module."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """A ratio and the factors that multiply to it, the largest first and the unexplained rest last."""

    metric: str
    ratio: float
    """Throughput of A over that of B."""
    low: float | None
    high: float | None
    factors: tuple[Factor, ...]
    differences: tuple[str, ...]
    """What else differs on record, without a measure of what it did."""
    missing: tuple[str, ...]
    """Evidence that would explain more."""
    energy: EnergyExplanation | None
    """None where either side has no energy of the same items."""

    @property
    def first(self) -> Factor:
        """The largest of the named causes; the rest where there is none."""
        return self.factors[0]


def explain(a: TrialResult, b: TrialResult) -> Explanation:
    """Explain the ratio of two trials' throughputs.

    Raises:
        ValueError: they count no common items.
    """
    metric = next((m for m in HEADLINES if a.values(m) and b.values(m)), None)
    if metric is None:
        raise UsageError(f"{a.label} and {b.label} have no throughput of the same items")
    one, other = side_of(a), side_of(b)
    found = _factors(metric, one, other)
    interval = intervals(lambda x, y: _factors(metric, x, y), one, other)
    comparison = compare_unpaired(b.values(metric), a.values(metric), direction="higher")
    low, high = (None if end is None else 1 + end for end in (comparison.low, comparison.high))
    made = [Factor(name, value, *interval(name), text) for name, (value, text) in found.items()]
    named = sorted((f for f in made if f.name != UNEXPLAINED), key=lambda f: -abs(math.log(f.value)))
    rest = [f for f in made if f.name == UNEXPLAINED]
    return Explanation(
        metric,
        _ratio(metric, one, other),
        low,
        high,
        (*named, *rest),
        differences(one, other),
        missing(one, other),
        explain_energy(a, b),
    )


def _factors(metric: str, a: Side, b: Side) -> Factors:
    """Return every factor with its evidence; their product is the ratio."""
    ratio = _ratio(metric, a, b)
    found: Factors = {}
    busy = _busy_host(a, b)
    if busy is not None:
        found["busy host"] = busy
    if a.profile and b.profile:
        # A item took A one unit of time, and B the ratio, less what the host took away.
        times = (1.0, ratio / (busy[0] if busy else 1.0))
        found |= _of_parts(_parts((a.profile, b.profile), times), a, b)
    else:
        found |= _clock_and_ceiling(1.0, a, b)
    named = math.fsum(math.log(value) for value, _ in found.values())
    found[UNEXPLAINED] = (math.exp(math.log(ratio) - named), "no evidence in the records names it")
    return found


def _of_parts(parts: Mapping[str, tuple[float, float, str]], a: Side, b: Side) -> Factors:
    """Turn parts of the time of A and of B into factors by logarithmic-mean weights."""
    whole = log_mean(math.fsum(x for x, _, _ in parts.values()), math.fsum(y for _, y, _ in parts.values()))
    found: Factors = {}
    for name, (x, y, text) in parts.items():
        # The weight L(x, y) / L(X, Y) times ln(y / x): a part that one side lacks is no special case.
        effect = (y - x) / whole
        if name == "same kernels":
            causes = _clock_and_ceiling(log_mean(x, y) / whole, a, b)
            found |= causes
            effect -= math.fsum(math.log(value) for value, _ in causes.values())
            found["speed of the same kernels"] = (math.exp(effect), text)
        elif abs(effect) > LEAST:
            found[name] = (math.exp(effect), text)
    return found


def _parts(
    profiles: tuple[Mapping[str, Any], Mapping[str, Any]], times: tuple[float, float]
) -> dict[str, tuple[float, float, str]]:
    """Split the time of each side by its profile; a part is (of A, of B, evidence)."""
    shares = [_shares(p) for p in profiles]
    operators = [_operators(p) for p in profiles]
    common = _common(*operators)
    parts: dict[str, tuple[float, float, str]] = {}
    own: list[list[float]] = [[], []]
    for i, (share, held) in enumerate(zip(shares, operators, strict=True)):
        listed = math.fsum(held.values())
        both = math.fsum(v for name, v in held.items() if name in common)
        rest = max(1.0 - listed, 0.0)  # operators beyond those that a record keeps count as common
        total = listed + rest or 1.0
        own[i] = [share["compute"] * (both + rest) / total, share["compute"] * (listed - both) / total]
    names = [sorted(held.keys() - common, key=lambda n: -held[n])[:2] for held in operators]
    same, other = ([own[i][k] * times[i] for i in (0, 1)] for k in (0, 1))
    runs = [", ".join(each) or "none of its own" for each in names]
    text = f"A runs {runs[0]}; B runs {runs[1]}"
    parts["other kernels"] = (other[0], other[1], text)
    parts["same kernels"] = (same[0], same[1], "their time beyond what clock and ceilings explain")
    for key, name in (("copy", "copies"), ("communication", "communication"), ("input", "input data")):
        mine, its = (shares[i][key] * times[i] for i in (0, 1))
        parts[name] = (mine, its, f"{shares[0][key]:.1%} of A's time and {shares[1][key]:.1%} of B's")
    idle = [shares[i]["idle"] * times[i] for i in (0, 1)]
    gaps = [number(p.get("gap_median_ns")) for p in profiles]
    known = [f"{gap / 1e3:.3g}" for gap in gaps if gap is not None]
    waits = f"; the median wait is {' and '.join(known)} us" if len(known) == len(gaps) else ""
    text = f"the device waits {shares[0]['idle']:.1%} of A's time and {shares[1]['idle']:.1%} of B's{waits}"
    parts["launch gaps"] = (idle[0], idle[1], text)
    return parts


def _common(a: Mapping[str, float], b: Mapping[str, float]) -> set[str]:
    """Operators that both run; a record keeps the longest, so what is shorter counts as common."""
    found = a.keys() & b.keys()
    for mine, its in ((a, b), (b, a)):
        if len(its) >= KEPT:
            found |= {name for name, share in mine.items() if share <= min(its.values())}
    return found


def _shares(profile: Mapping[str, Any]) -> dict[str, float]:
    """Shares of the time that add up to one: what is not busy is idle, the rest of what is busy computes."""
    idle, copy = (number(profile.get(k)) or 0.0 for k in ("idle_share", "copy_share"))
    communication = number(profile.get("exposed_communication_share")) or 0.0
    waiting = min(number(profile.get("input_share")) or 0.0, idle)
    busy = max(1.0 - idle, 0.0)
    copy, communication = min(copy, busy), min(communication, max(busy - copy, 0.0))
    found = {"idle": idle - waiting, "input": waiting, "copy": copy, "communication": communication}
    return found | {"compute": max(busy - copy - communication, 0.0)}


def _operators(profile: Mapping[str, Any]) -> dict[str, float]:
    """Share of the work by operator, what computes alone."""
    found: dict[str, float] = {}
    listed = profile.get("operators")
    for each in listed if isinstance(listed, list | tuple) else ():
        share = number(each.get("share")) if isinstance(each, Mapping) else None
        if share is not None and each.get("kind", "compute") == "compute":
            name = str(each.get("name"))[:80]
            found[name] = found.get(name, 0.0) + share
    whole = math.fsum(found.values())
    return {name: share / max(whole, 1.0) for name, share in found.items()}


def _clock_and_ceiling(weight: float, a: Side, b: Side) -> Factors:
    """Causes of the speed of the same kernels, each to the power of their weight in the time."""
    if a.roofline and b.roofline and a.bound == b.bound:
        memory = a.bound == "memory"
        key, name = ("bandwidth_b_s", "bandwidth") if memory else ("flop_s", "arithmetic ceiling")
        mine, its = float(a.roofline[key]), float(b.roofline[key])
        if mine != its:  # a ceiling holds the clock that it was measured at
            return {name: ((mine / its) ** weight, f"measured {mine:.4g} on A and {its:.4g} on B")}
        if memory:  # the core's clock does not feed memory
            return {}
    clocks = a.mean(clock_mhz), b.mean(clock_mhz)
    if clocks[0] and clocks[1] and clocks[0] != clocks[1]:
        text = f"{clocks[0]:.0f} MHz on A and {clocks[1]:.0f} MHz on B"
        return {"clock": ((clocks[0] / clocks[1]) ** weight, text)}
    return {}


def _busy_host(a: Side, b: Side) -> tuple[float, str] | None:
    """What others on the host took: undisturbed against all iterations, else the share of stolen time."""
    mine, its = a.mean(slowed), b.mean(slowed)
    if mine and its:
        text = f"disturbed iterations cost {mine - 1:.1%} on A and {its - 1:.1%} on B"
        return (its / mine, text) if mine != its else None
    mine, its = a.mean(stolen), b.mean(stolen)
    if mine is None or its is None or mine == its or max(mine, its) >= 1:
        return None
    return (1 - mine) / (1 - its), f"other machines took {mine:.1%} of A's CPU time and {its:.1%} of B's"


def _ratio(metric: str, a: Side, b: Side) -> float:
    """Throughput of A over that of B, of the means of logarithms."""
    return math.exp((a.mean(logarithm(metric)) or 0.0) - (b.mean(logarithm(metric)) or 0.0))
