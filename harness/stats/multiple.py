"""Many comparisons at once: how often any of them may raise a false alarm (docs/method.md, section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from harness.stats.compare import LOOKS, Comparison
from harness.stats.errors import StatsError, finite, in_unit


def benjamini_hochberg(p_values: npt.ArrayLike, q: float = 0.05) -> list[bool]:
    """Tell which hypotheses to reject so that a share of at most `q` of the rejected ones is expected true.

    The k smallest are rejected, k being the largest with p_(k) ≤ k·q/m (Benjamini and Hochberg, 1995).

    Raises:
        StatsError: no p-value, NaN, or one outside 0 to 1; `q` not between 0 and 1.
    """
    in_unit("q", q)
    p = finite(p_values)
    if p.min() < 0 or p.max() > 1:
        raise StatsError("a p-value lies outside 0 to 1")
    order = np.argsort(p, kind="stable")
    passed = np.flatnonzero(p[order] <= q * np.arange(1, len(p) + 1) / len(p))
    rejected = np.zeros(len(p), bool)
    if len(passed):
        rejected[order[: passed[-1] + 1]] = True
    return [bool(one) for one in rejected]


def across_sweep(
    comparisons: Sequence[Comparison], *, q: float = 0.05, least_effect: float = 0.01, looks: int = len(LOOKS)
) -> list[Comparison]:
    """Return the comparisons of a sweep, `better` and `worse` kept only where the whole sweep bears them.

    A p-value at a look is multiplied by the number of looks, which bounds the chance that any look is that
    small. What then fails Benjamini-Hochberg at `q`, or shows less than `least_effect`, is `inconclusive`.
    Comparisons without spread have no p-value: their ratio is no matter of chance, and only its size counts.

    Args:
        comparisons: One for each configuration, of one metric.
        q: Expected share of false ones among the verdicts that are kept.
        least_effect: The smallest |effect| worth a verdict.
        looks: Looks that each comparison could take; 1 for comparisons of finished records.
    """
    p_values = [min(1.0, looks * one.p_value) for one in comparisons if one.p_value is not None]
    rejected = iter(benjamini_hochberg(p_values, q) if p_values else [])
    borne = [one.p_value is None or next(rejected) for one in comparisons]
    return [
        one
        if one.label not in {"better", "worse"} or (kept and abs(one.effect) >= least_effect)
        else replace(one, label="inconclusive")
        for one, kept in zip(comparisons, borne, strict=True)
    ]
