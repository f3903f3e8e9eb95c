"""When requests arrive at an open loop: evenly, at random, in bursts, or as a trace tells.

A closed loop has no arrivals: each of its users asks again when the answer is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from harness.system.errors import InputError

Process = Literal["constant", "poisson", "gamma"]
PROCESSES: tuple[Process, ...] = ("constant", "poisson", "gamma")


def arrivals_s(
    process: Process, rate_per_s: float, count: int, *, seed: int, burstiness: float = 1.0
) -> tuple[float, ...]:
    """Return the times of `count` arrivals since the start, s, ascending.

    Args:
        process: Of the gaps: all equal, exponential (Poisson arrivals), or gamma distributed.
        rate_per_s: Mean rate; the mean gap is its reciprocal.
        count: Of requests.
        seed: Of the gaps: equal seeds give equal arrivals at any rate, but for their scale.
        burstiness: Squared coefficient of variation of gamma gaps, which is one over the gamma's shape:
            1 is Poisson, above 1 comes in bursts, below 1 is more even. Others take no such word.

    Raises:
        ValueError: a rate or burstiness that is not positive, or an unknown process.
    """
    if process not in PROCESSES:
        raise InputError(f"arrivals {process!r} are none of {', '.join(PROCESSES)}")
    for name, value in (("rate_per_s", rate_per_s), ("burstiness", burstiness)):
        if not (np.isfinite(value) and value > 0):
            raise InputError(f"{name} must be a positive number, not {value}")
    if burstiness != 1.0 and process != "gamma":
        raise InputError(f"burstiness is a property of gamma arrivals; {process} arrivals have none")
    random = np.random.default_rng(seed)
    gaps = np.ones(count)
    if process == "poisson":
        gaps = random.exponential(size=count)
    elif process == "gamma":
        gaps = random.gamma(1 / burstiness, burstiness, size=count)
    return tuple((np.cumsum(gaps) / rate_per_s).tolist())


def rescaled_s(times_s: Sequence[float], rate_per_s: float) -> tuple[float, ...]:
    """Return a trace's arrivals, moved to start at 0, at another mean rate and with the same pattern.

    The mean rate of n arrivals is (n - 1) / (last - first).

    Raises:
        ValueError: fewer than two distinct times, or a rate that is not positive.
    """
    if not (np.isfinite(rate_per_s) and rate_per_s > 0):
        raise InputError(f"rate_per_s must be a positive number, not {rate_per_s}")
    first, last = min(times_s, default=0.0), max(times_s, default=0.0)
    if last <= first:
        raise InputError("a trace needs arrivals at two times at least to have a rate")
    own = (len(times_s) - 1) / (last - first)
    return tuple((at - first) * own / rate_per_s for at in sorted(times_s))
