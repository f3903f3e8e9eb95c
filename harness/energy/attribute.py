"""Attribute energy to phases of a mixed run by least squares (docs/method.md, section 4).

Between two ticks of a counter the energy is the sum over phases of power times time, and a residual. Phases
whose shares of time never change cannot be told apart: the condition number says so, and there is no number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.energy.estimate import Span
from harness.energy.ticks import Tick

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

MOST_CONDITION = 30.0
"""Of the table of phase times, each column scaled to length 1. Above it errors grow too much to attribute."""


@dataclass(frozen=True, slots=True)
class Attribution:
    """What each phase took, by name; empty with a reason where the phases cannot be told apart."""

    joules: dict[str, float]
    u_joules: dict[str, float]
    """Standard uncertainty, from the residual."""
    watts: dict[str, float]
    residual_joules: float
    """What the phases leave of the energy between the first and the last tick."""
    condition: float
    flags: tuple[str, ...] = ()
    reason: str | None = None


def attribute(
    ticks: Sequence[Tick], phases: Mapping[str, Sequence[Span]], *, lag_s: float = 0.0
) -> Attribution:
    """Solve for the power of each phase over the intervals between ticks.

    Args:
        ticks: Of one counter that looks all the time, in order.
        phases: For each phase its spans in ns; what no phase covers is a phase of its own, `other`.
        lag_s: The counter's lag.
    """
    import numpy as np

    edges = np.array([t.at_ns for t in ticks]) - lag_s * 1e9
    joules = np.diff([t.joules for t in ticks])
    columns = {name: _seconds_within(edges, spans) for name, spans in phases.items()}
    other = np.diff(edges) * 1e-9 - np.sum(list(columns.values()), axis=0)
    if other.max() > 1e-6 * np.diff(edges).max() * 1e-9:
        columns["other"] = np.maximum(other, 0.0)
    names = [name for name, seconds in columns.items() if seconds.any()]
    table = np.stack([columns[name] for name in names], axis=1)
    length = np.linalg.norm(table, axis=0)
    condition = float(np.linalg.cond(table / length))
    total = float(joules.sum())
    if len(joules) <= len(names) or not condition <= MOST_CONDITION:
        reason = f"the phases cannot be told apart (condition {condition:.3g}, {len(joules)} intervals)"
        return Attribution({}, {}, {}, total, condition, ("ill_conditioned",), reason)
    watts, *_ = np.linalg.lstsq(table, joules, rcond=None)
    left = joules - table @ watts
    variance = float(left @ left) / (len(joules) - len(names))
    u_watts = np.sqrt(np.diag(np.linalg.inv(table.T @ table)) * variance)
    seconds = table.sum(axis=0)
    return Attribution(
        joules=dict(zip(names, (watts * seconds).tolist(), strict=True)),
        u_joules=dict(zip(names, (u_watts * seconds).tolist(), strict=True)),
        watts=dict(zip(names, watts.tolist(), strict=True)),
        residual_joules=total - float((watts * seconds).sum()),
        condition=condition,
        flags=("negative_power",) if (watts < 0).any() else (),
    )


def _seconds_within(edges: Floats, spans: Sequence[Span]) -> Floats:
    """Return how many seconds of the spans lie in each interval, shape (intervals,)."""
    import numpy as np

    starts, ends = (np.array([span[i] for span in spans], dtype=float) for i in (0, 1))

    before: Floats = np.array([np.clip(edge - starts, 0.0, ends - starts).sum() for edge in edges])
    return np.diff(before) * 1e-9
