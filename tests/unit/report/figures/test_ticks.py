"""Ticks: few, round and inside the axis."""

from __future__ import annotations

import pytest

from harness.report.figures.ticks import MOST_TICKS, linear_ticks, log_ticks


@pytest.mark.parametrize("exponent", range(-9, 15, 3))
@pytest.mark.parametrize("factor", [1.01, 1.5, 7.0, 30.0])
def test_linear_ticks_are_few_and_inside(exponent, factor):
    """Every linear axis has two to `MOST_TICKS` ticks within its limits."""
    for binary in (False, True):
        start, stop = 1.7 * 10.0**exponent, 1.7 * 10.0**exponent * factor
        ticks = linear_ticks(start, stop, binary=binary)
        assert 2 <= len(ticks) <= MOST_TICKS
        assert min(ticks) >= start * (1 - 1e-9)
        assert max(ticks) <= stop * (1 + 1e-9)


@pytest.mark.parametrize("factor", [31.0, 100.0, 1e4, 1e9, 1e15])
def test_log_ticks_are_few_and_inside(factor):
    """Every logarithmic axis has two to `MOST_TICKS` ticks within its limits."""
    for binary in (False, True):
        ticks = log_ticks(0.3, 0.3 * factor, binary=binary)
        assert 2 <= len(ticks) <= MOST_TICKS
        assert ticks == sorted(ticks)
        assert ticks[0] >= 0.3
        assert ticks[-1] <= 0.3 * factor
