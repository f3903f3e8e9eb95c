"""Numbers become text in one way."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.records.numbers import EN_DASH, MINUS, NBSP, quantity, tick


@pytest.mark.parametrize(
    ("value", "unit", "low", "high", "text", "interval"),
    [
        (12_345.0, "samples/s", 12_100.0, 12_600.0, "12.35 k samples/s", "12.10-12.60"),
        (12_345.0, "samples/s", 11_800.0, 12_900.0, "12.3 k samples/s", "11.8-12.9"),
        (0.001234, "s", None, None, "1.23 ms", ""),
        (0.0000035, "s", 0.0000034, 0.0000036, "3.50 µs", "3.40-3.60"),
        (8.178e9, "FLOP", None, None, "8.18 GFLOP", ""),
        (512 * 2**20, "B", None, None, "512 MiB", ""),
        (1023.9, "B", None, None, "1.00 KiB", ""),
        (25.6e6, "1", None, None, "25.6 M", ""),
        (4.214, "1", 4.19, 4.24, "4.214", "4.190-4.240"),
        (41.53, "%", None, None, "41.5 %", ""),
        (0.0, "s", None, None, "0 s", ""),
        (0.05, "1", -0.1, 0.2, "0.050", "~0.100 to 0.200"),
        (148e3, "tokens/s", 40e3, 640e3, "150 k tokens/s", "40-640"),
        (0.029, "EUR", 0.0265, 0.0315, "0.0290 EUR", "0.0265-0.0315"),
        (30_000.0, "EUR", None, None, "30.0 k EUR", ""),
        (0.0123, "kgCO2e", None, None, "12.3 gCO2e", ""),
        (999.96, "W", 999.9, 1000.02, "999.96 W", "999.90-1000.02"),
        (999.999, "W", None, None, "1.00 kW", ""),
        (212.0, "samples/s", 212.0, 212.0, "212 samples/s", ""),
        (0.98936, "updates", None, None, "0.989 updates", ""),
        (1e300, "tokens/s", None, None, "1.00e+300 tokens/s", ""),
        (2e-300, "s", 1e-300, 3e-300, f"2.00e{MINUS}300 s", "1.00e~300 to 3.00e~300"),
    ],
)
def test_known_numbers(value, unit, low, high, text, interval):
    """Prefix, unit and digits follow from the value, its unit and its interval."""
    found = quantity(value, unit, low, high)
    assert found.text.replace(NBSP, " ") == text
    assert found.interval.replace(EN_DASH, "-").replace(MINUS, "~") == interval


@given(st.floats(1e-11, 1e17), st.floats(1e-4, 0.9), st.sampled_from(["s", "J", "samples/s", "FLOP/s", "W"]))
def test_text_reads_back_within_the_uncertainty(value, half, unit):
    """What is printed differs from the value by less than its interval's half-width."""
    factors = {
        "p": 1e-12,
        "n": 1e-9,
        "µ": 1e-6,
        "m": 1e-3,
        "": 1,
        "k": 1e3,
        "M": 1e6,
        "G": 1e9,
        "T": 1e12,
        "P": 1e15,
    }
    found = quantity(value, unit, value * (1 - half), value * (1 + half))
    digits, _, suffix = found.text.partition(NBSP)
    prefix = suffix.removesuffix(unit).rstrip(NBSP)
    assert abs(float(digits) * factors[prefix] - value) <= value * half
    low, high = (float(b) * factors[prefix] for b in found.interval.split(EN_DASH))
    assert low < value < high


@given(st.floats(1e-12, 1e18))
def test_no_number_breaks_over_two_lines(value):
    """A number holds no space at which a line could break."""
    assert " " not in quantity(value, "tokens/s").text
    assert math.isfinite(value)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.002, "s", "2 ms"),
        (5e4, "samples/s", "50 k"),
        (2.0**28, "B", "256 MiB"),
        (0.0, "s", "0 s"),
        (20, "%", "20 %"),
    ],
)
def test_ticks_keep_their_prefix(value, unit, text):
    """A tick is short, yet tells milli from micro."""
    assert tick(value, unit).replace(NBSP, " ") == text


def test_both_ends_of_a_wide_interval_are_seen():
    """Each end of a wide interval has two digits in the value's own scale: no bound above 0 reads 0."""
    wide = quantity(4.4e3, "tokens/s", 37.31, 519_600.0).interval
    assert wide.replace(NBSP, " ").split(EN_DASH) == ["0.037", "520"]
    wide = quantity(19e-3, "s", 4.2e-6, 151_517.0).interval
    assert wide.replace(NBSP, " ").split(EN_DASH) == ["0.0042", "150,000,000"]
