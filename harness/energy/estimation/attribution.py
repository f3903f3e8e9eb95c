"""Attribute energy to phases of a mixed run by least squares (docs/method.md, section 4).

Between two ticks of a counter the energy is the sum over phases of power times time, and a residual. Phases
whose shares of time never change cannot be distinguished: the condition number says so, and there is no
number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from harness.energy.estimation.counter import counted
from harness.energy.estimation.estimate import Span
from harness.energy.sampling.ticks import Tick
from harness.energy.sampling.trace import Samples
from harness.energy.sensors.base import SensorInfo

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

MOST_CONDITION = 30.0
"""Of the table of phase times, each column scaled to length 1. Above it errors grow too much to attribute."""


@dataclass(frozen=True, slots=True)
class Attribution:
    """What each phase took, by name; empty with a reason where the phases cannot be distinguished."""

    joules: dict[str, float]
    """Between the first tick and the last."""
    watts: dict[str, float]
    u_watts: dict[str, float]
    """Standard uncertainty, from the residual."""
    residual_joules: float | None
    """What the phases leave of the energy between the first and the last tick."""
    condition: float | None
    intervals: int
    """Between ticks, from which the powers were solved."""
    flags: tuple[str, ...] = ()
    reason: str | None = None


def ticks_of(samples: Samples, period_s: float | None) -> list[Tick]:
    """Return a counter's ticks as a trace shows them, since the read before or for one period."""
    back_ns = math.inf if period_s is None else period_s * 1e9
    return [
        Tick(round(max(a.mid_ns, b.mid_ns - back_ns)), b)
        for a, b in pairwise(samples.readings())
        if a.energy_j != b.energy_j
    ]


def attribute(info: SensorInfo, ticks: Sequence[Tick], phases: Mapping[str, Sequence[Span]]) -> Attribution:
    """Solve for the power of each phase over the intervals between ticks.

    Args:
        info: The counter. One whose lag is unknown, or that samples only part of each update period, shows no
            phase at its place: nothing is attributed then.
        ticks: Of it, in order; those outside all phases are left out.
        phases: For each phase its spans in ns; what no phase covers is a phase of its own, `other`.
    """
    import numpy as np

    if info.lag_s is None:
        return _refused("the counter's lag was never probed with a load: `joulemark qualify` does it")
    if info.aliases:
        return _refused("the counter samples only part of each update period")
    first_ns, last_ns = min(s[0][0] for s in phases.values()), max(s[-1][1] for s in phases.values())
    lag_ns = info.lag_s * 1e9
    ticks = [t for t in ticks if first_ns <= t.at_ns - lag_ns <= last_ns]
    steps = [counted(info, [a.reading, b.reading])[0] for a, b in pairwise(ticks)]
    known = [joules for joules in steps if joules is not None]
    if len(known) < len(steps):
        return _refused("the energy counter was set back")
    if len(known) <= len(phases):
        return _refused(f"the counter ticked {len(ticks)} times within the phases")
    edges, joules = np.array([t.at_ns for t in ticks]) - lag_ns, np.array(known)
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
        reason = f"the phases cannot be distinguished (condition {condition:.3g}, {len(joules)} intervals)"
        return Attribution({}, {}, {}, total, condition, len(joules), ("ill_conditioned",), reason)
    watts, *_ = np.linalg.lstsq(table, joules, rcond=None)
    left = joules - table @ watts
    variance = float(left @ left) / (len(joules) - len(names))
    u_watts = np.sqrt(np.diag(np.linalg.inv(table.T @ table)) * variance)
    seconds = table.sum(axis=0)
    return Attribution(
        joules=dict(zip(names, (watts * seconds).tolist(), strict=True)),
        watts=dict(zip(names, watts.tolist(), strict=True)),
        u_watts=dict(zip(names, u_watts.tolist(), strict=True)),
        residual_joules=total - float((watts * seconds).sum()),
        condition=condition,
        intervals=len(joules),
        flags=("negative_power",) if (watts < 0).any() else (),
    )


def _refused(reason: str) -> Attribution:
    return Attribution({}, {}, {}, None, None, 0, reason=reason)


def _seconds_within(edges: Floats, spans: Sequence[Span]) -> Floats:
    """Return how many seconds of the spans lie in each interval, shape (intervals,)."""
    import numpy as np

    starts, ends = (np.array([span[i] for span in spans], dtype=float) for i in (0, 1))

    before: Floats = np.array([np.clip(edge - starts, 0.0, ends - starts).sum() for edge in edges])
    return np.diff(before) * 1e-9
