"""The uncertainty of an iteration's energy, from its window's terms and from how repetitions differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import stdev


def iteration_u(
    window_terms_j: Sequence[float],
    iterations: int,
    gain_j: float,
    repeats_j: Sequence[float] = (),
) -> tuple[float, float]:
    """Return the standard uncertainty of an iteration's energy: repeatability, and with the gain, in joules.

    docs/method.md, section 4: `u^2 = [sigma_edge^2 + (2G*u(P_idle))^2 + q^2/6]/N^2 + s^2/R + (u_gain*e)^2`.
    The window's terms are not divided by R: it may start at the same place of the counter's period each time.

    Args:
        window_terms_j: What one window leaves open, in joules over the window: edges, idle power, quantum.
        iterations: N, in one window.
        gain_j: `u_gain*e`, in joules of one iteration.
        repeats_j: One iteration's energy from each of R windows; fewer than two show no spread.

    Raises:
        ValueError: there was no iteration.
    """
    if iterations < 1:
        raise ValueError(f"energy of an iteration needs at least one of them, not {iterations}")
    spread_j = stdev(repeats_j) / math.sqrt(len(repeats_j)) if len(repeats_j) > 1 else 0.0
    u_joules = math.hypot(math.hypot(*window_terms_j) / iterations, spread_j)
    return u_joules, math.hypot(u_joules, gain_j)
