"""A one-sided decision against a threshold at stated risks of buyer and seller, in two stages."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from harness.stats.errors import Direction, StatsError, in_unit, known, positive

Decision = Literal["accepted", "rejected", "not enough data"]


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What the replicas allow to decide."""

    decision: Decision
    needed: int
    """Replicas in all that the decision takes; as many more as are not there yet."""
    estimate: float
    """Geometric mean of the replicas that count."""
    bound: float | None
    """One-sided bound at the buyer's risk, which the threshold is held against; None before the decision."""


def accept(
    values: npt.ArrayLike,
    threshold: float,
    *,
    direction: Direction,
    margin: float,
    buyer_risk: float = 0.05,
    seller_risk: float = 0.05,
    pilot: int = 6,
) -> Acceptance:
    """Decide whether the mean keeps a threshold, by Stein's two-stage test on logarithms.

    The spread s0 of the first `pilot` replicas plans N = ceil(((t_buyer + t_seller) s0 / ln(1 + margin))^2);
    the first N decide, with the pilot's spread and its degrees of freedom (Stein, Ann. Math. Stat. 16, 1945).
    Both risks then hold whatever the spread is: a device at the threshold is accepted with at most the
    buyer's risk, one that is better by the margin is rejected with at most the seller's. Replicas beyond N
    change nothing, so that going on until it fits does not help.

    Args:
        values: One positive value for each replica, in the order in which they were taken.
        threshold: The value that is to be kept.
        direction: Which values are better.
        margin: How much better than the threshold (relative) the seller is safe at.
        buyer_risk: Of accepting what only just fails.
        seller_risk: Of rejecting what is better by the margin.
        pilot: Replicas that plan the others.

    Raises:
        StatsError: a value or the threshold is not positive, a risk is not between 0 and 0.5, or the margin
            is not positive.
    """
    from scipy.special import stdtrit

    in_unit("buyer_risk", buyer_risk)
    in_unit("seller_risk", seller_risk)
    known(direction)
    if not (threshold > 0 and margin > 0 and pilot >= 2 and max(buyer_risk, seller_risk) < 0.5):
        raise StatsError("threshold and margin are above 0, risks below 0.5, and a pilot has two or more")
    logs = np.log(positive(values)) if len(np.atleast_1d(np.asarray(values))) else np.empty(0)
    centre = math.exp(float(logs.mean())) if len(logs) else math.nan
    if len(logs) < pilot:
        return Acceptance("not enough data", pilot, centre, None)
    s0 = float(logs[:pilot].std(ddof=1))
    buyer, seller = (float(stdtrit(pilot - 1, 1 - risk)) for risk in (buyer_risk, seller_risk))
    needed = max(pilot, math.ceil(((buyer + seller) * s0 / math.log1p(margin)) ** 2))
    if len(logs) < needed:
        return Acceptance("not enough data", needed, centre, None)
    mean = float(logs[:needed].mean())
    sign = 1.0 if direction == "higher" else -1.0
    bound = mean - sign * buyer * s0 / math.sqrt(needed)
    kept = sign * (bound - math.log(threshold)) >= 0
    return Acceptance("accepted" if kept else "rejected", needed, math.exp(mean), math.exp(bound))
