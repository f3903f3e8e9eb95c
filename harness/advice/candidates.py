"""Configurations as candidates: what was measured of each, and what the truth may be, by draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from harness.cost.inputs import Basis
from harness.records.results import TrialResult

Floats = npt.NDArray[np.float64]
DRAWS = 4000
LEAST_REPLICAS = 2
_FARTHEST = 30.0
"""Two or three replicas have tails beyond all numbers; a draw is cut at e to this power."""
_FIXED = frozenset({"max", "same", "once"})


@dataclass(frozen=True, slots=True)
class Candidate:
    """One measured configuration on one machine."""

    name: str
    machine: str
    result: TrialResult
    devices: int
    """Devices of one unit of it; a fleet has whole units."""
    values: Mapping[str, float]
    """Measured metrics in base units, point estimates."""
    draws: Mapping[str, Floats] = field(repr=False)
    """For each metric what its truth may be, shape (draws,); one draw of all metrics belongs together."""
    basis: Basis | None = None
    price_missing: str = ""
    replicated: bool = True
    """False: one replica tells no spread, and no probability can be stated."""
    flagged: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Configuration and machine in one line."""
        return f"{self.name} on {self.machine}" if self.machine else self.name


def draw(
    result: TrialResult, metrics: Sequence[str], rng: np.random.Generator, draws: int = DRAWS
) -> tuple[dict[str, Floats], bool]:
    """Return draws of the metrics' truth from the replicas, and whether there are replicas to draw from.

    A wild bootstrap over replicas on the scale of logs, with Student's spread: each replica's distance from
    the centre is weighed by a standard normal number, the sum is divided by sqrt(n (n - 1)) and multiplied
    by sqrt((n - 1) / chi2(n - 1)). One draw weighs a replica alike in all its metrics, so that what they
    share is kept; each metric alone has the t distribution of its mean.

    Args:
        result: A trial with a result.
        metrics: Ids that it has a value of.
        rng: Source of the draws.
        draws: How many.
    """
    good = list({r.replica: r for r in result.records if r.status == "ok"}.values())
    n = len(good)
    weights = rng.standard_normal((draws, n))
    spread = np.sqrt((n - 1) / rng.chisquare(n - 1, draws)) if n >= LEAST_REPLICAS else np.zeros(draws)
    found: dict[str, Floats] = {}
    varied = False
    for metric in metrics:
        point = float(result.estimates[metric].value or 0.0)
        values = [m.value if (m := r.metric(metric)) is not None else None for r in good]
        if n < LEAST_REPLICAS or any(v is None or v <= 0 for v in values) or metric in _constant():
            found[metric] = np.full(draws, point)
            continue
        logs = np.log(np.array(values, np.float64))
        away = weights @ (logs - logs.mean()) / np.sqrt(n * (n - 1)) * spread
        found[metric] = point * np.exp(np.clip(away, -_FARTHEST, _FARTHEST))
        varied = True
    return found, varied


def _constant() -> frozenset[str]:
    from harness.records.metrics import METRICS

    return frozenset(m.id for m in METRICS.values() if m.scale in _FIXED)
