"""Does a counter that samples only part of each update period see all of an iteration?

The method is docs/method.md, section 4. Looks come every U seconds and last w; iterations come every T. Over
N looks, the h-th harmonic of the power within an iteration enters the energy with the weight

    |1/N * sum_n exp(2*pi*i*h*n*U/T)| * |sinc(h*w/T)|

which is 1 where looks fall on one place of the iteration again and again, and 0 where they spread over all.
Higher harmonics are weaker, in work that is switched on and off by 1/h, and are weighted so.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence

from harness.energy.sensors.base import SensorInfo

FLAG = "aliased"
LIMIT = 0.05
"""A harmonic of a larger weight may shift the energy by as large a share of its swing."""
ASSUMED_SHARE = 0.25
"""Part of each period that a counter looks at where nothing was probed (seen so on some GPUs)."""
HARMONICS = 32
_BLOCKS, _SHORT_BLOCKS, _SHORT_PERIOD_S = 16, 64, 0.05
"""Least number of blocks, and for counters renewed more often: what jitters in their starts averages out."""
_SHORT_LOOK = 0.05
"""Shifts are chosen such that even a look of this part of a period sees all of an iteration."""


def weight(iteration_s: float, period_s: float, window_s: float, offsets: Sequence[float]) -> float:
    """Return the largest weight with which a harmonic of the iteration enters.

    Args:
        iteration_s: T.
        period_s: U.
        window_s: w, at most U.
        offsets: When the looks come, in units of U, e.g. 0, 1, 2 … for a span that runs through.
    """
    largest = 0.0
    for h in range(1, HARMONICS + 1):
        turn = 2j * math.pi * h * period_s / iteration_s
        seen = abs(sum(cmath.exp(turn * offset) for offset in offsets)) / len(offsets)
        x = math.pi * h * window_s / iteration_s
        largest = max(largest, seen * abs(math.sin(x) / x if x else 1.0) / h)
    return largest


def is_aliased(info: SensorInfo, iteration_s: float, span_s: float) -> bool:
    """Say whether iterations that run through a span are in step with a counter that may be duty-cycled.

    A counter that was shown to look all the time cannot be aliased; one that was never probed may be.
    """
    period_s = info.update_period_s
    if info.kind != "counter" or period_s is None or info.aliases is False:
        return False
    looks = min(1000, max(1, round(span_s / period_s)))
    return weight(iteration_s, period_s, _look_s(info), range(looks)) > LIMIT


def _look_s(info: SensorInfo) -> float:
    """Return how long a counter looks in each period: as probed, else as assumed of an unknown one."""
    assert info.update_period_s is not None
    if info.aliases and info.averaging_window_s is not None:
        return info.averaging_window_s
    return ASSUMED_SHARE * info.update_period_s


def shifts(info: SensorInfo, iteration_s: float) -> int:
    """Return into how many blocks to cut the work, each shifted by an equal part of the update period.

    The number of which the looks of all blocks together spread best over an iteration.
    """
    assert info.update_period_s is not None
    period_s = info.update_period_s
    least = _BLOCKS if period_s >= _SHORT_PERIOD_S else _SHORT_BLOCKS
    looks = {k: [i / k for i in range(k)] for k in range(least, 2 * least)}
    return min(
        looks, key=lambda k: (weight(iteration_s, period_s, _SHORT_LOOK * period_s, looks[k]) > LIMIT, k)
    )


def left_by_shifts(info: SensorInfo, strays_s: Sequence[float]) -> float:
    """Return the relative standard uncertainty that remains after shifting by equal parts of the period.

    The start of each block is known to within its step, 1/blocks of the period; power that swings by its own
    mean over half a period then leaves `2/sqrt(12*blocks**3)`. A block that strays from its place by x is
    wrong by `5*x/period` of its energy, and by no more than about all of it. A counter that always looks
    leaves none.

    Args:
        info: The counter.
        strays_s: How far each block strayed from its place, by a late start or an uneven length.
    """
    if info.kind != "counter" or info.aliases is False:
        return 0.0
    assert info.update_period_s is not None
    blocks = len(strays_s)
    wrong = [min(1.0, 5 * x / info.update_period_s) for x in strays_s]
    return math.hypot(2 / math.sqrt(12 * blocks**3), math.hypot(*wrong) / blocks)
