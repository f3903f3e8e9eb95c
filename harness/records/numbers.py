"""The one place where a number becomes text: prefix, unit, and the digits that its uncertainty allows."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache

NBSP, EN_DASH, MINUS = "\u00a0", "\u2013", "\u2212"
PREFIXES = {-4: "p", -3: "n", -2: "µ", -1: "m", 0: "", 1: "k", 2: "M", 3: "G", 4: "T", 5: "P", 6: "E"}
BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi")
DIGITS_WITHOUT_INTERVAL = 3
LEAST_DIGITS, MOST_DIGITS = 2, 6
WIDE = 20.0
"""An interval whose ends are further apart has each end in its own two digits."""
FAR = 1e9
"""A number is written with its exponent where no prefix brings it within this factor of one."""
_MONEY = re.compile(r"[A-Z]{3}(/.*)?")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number as text, and its interval in the same unit and scale (empty when there is none)."""

    text: str
    interval: str = ""

    @property
    def whole(self) -> str:
        """Number and interval in one text."""
        return f"{self.text} ({self.interval})" if self.interval else self.text


@lru_cache(maxsize=1 << 14)
def quantity(value: float, unit: str, low: float | None = None, high: float | None = None) -> Quantity:
    """Format a value, with its interval where it has one.

    The last digit shown is the one that the interval's half-width reaches (one more when that half-width
    starts with 1 or 2), and never fewer than two; without an interval three digits are shown. The interval is
    in the value's own prefix.

    Args:
        value: In the unit's base, e.g. seconds.
        unit: `B` takes binary prefixes, `1` is a pure number, `%` and money below one take none, any other SI
            prefixes; kilograms of CO2e become grams with a prefix.
        low: Lower bound, or None.
        high: Upper bound, or None.
    """
    if unit == "kgCO2e":
        low, high = (None if end is None else 1e3 * end for end in (low, high))
        return quantity(1e3 * value, "gCO2e", low, high)
    half = (high - low) / 2 if low is not None and high is not None else 0.0
    step, power = _step(unit), _power(value, unit)
    scale = step**power
    decimals = _decimals(value / scale, half / scale)
    if abs(round(value / scale, decimals)) >= step and power < _highest(unit):
        power += 1
        scale = step**power
        decimals = _decimals(value / scale, half / scale)

    def digits(x: float) -> str:
        text = f"{x / scale:.{decimals}f}" if decimals >= 0 else f"{round(x / scale, decimals):.0f}"
        return text.replace("-", MINUS) if text.startswith("-") else text

    if value and not 1 / FAR < abs(value / scale) < FAR:
        far = f"{value:.2e}{_suffix(unit, 0)}".replace("-", MINUS)
        return Quantity(
            far, "" if low is None or high is None else f"{low:.2e} to {high:.2e}".replace("-", MINUS)
        )
    interval = ""
    if low is not None and high is not None and high > low:
        wide = 0 < WIDE * low < high
        ends = [_two_digits(end / scale) if wide else digits(end) for end in (low, high)]
        interval = (EN_DASH if low >= 0 else " to ").join(ends)
    return Quantity(digits(value) + _suffix(unit, power), interval)


def _two_digits(x: float) -> str:
    """Return a number in two digits, written out, thousands apart."""
    places = LEAST_DIGITS - 1 - math.floor(math.log10(abs(x)))
    return f"{round(x, places):,.{max(places, 0)}f}".replace("-", MINUS)


def tick(value: float, unit: str) -> str:
    """Format a number on an axis: as short as it can be without losing its prefix."""
    if unit == "kgCO2e":
        return tick(1e3 * value, "gCO2e")
    power = _power(value, unit)
    scaled = value / _step(unit) ** power
    suffix = _suffix(unit, power)
    if len(unit) > 2:  # the axis title names a long unit; the tick keeps the prefix alone
        suffix = suffix.removesuffix(unit).rstrip(NBSP)
    return f"{scaled:.4g}{suffix}".replace("-", MINUS)


def _step(unit: str) -> float:
    return 1024.0 if unit == "B" else 1000.0


@lru_cache(maxsize=256)
def _is_money(unit: str) -> bool:
    return _MONEY.fullmatch(unit) is not None


@lru_cache(maxsize=256)
def _is_word(unit: str) -> bool:
    """Say whether a prefix stands apart from the unit, and below one there is none."""
    return (len(unit) > 2 and unit[0].islower() and unit != "gCO2e") or _is_money(unit)


def _highest(unit: str) -> int:
    return 0 if unit == "%" else len(BINARY) - 1 if unit == "B" else max(PREFIXES)


def _power(value: float, unit: str) -> int:
    if value == 0 or unit == "%":
        return 0
    if unit == "B":
        return min(max(int(math.log2(abs(value)) // 10), 0), len(BINARY) - 1)
    power = math.floor(math.log10(abs(value)) / 3 + 1e-12)
    if unit == "1" and (power < 0 or abs(value) < 1e4):
        return 0
    if _is_money(unit) and (power < 0 or abs(value) < 1e4):
        return 0
    if power == -1 and _is_word(unit):  # 0.5 samples/s, where people say no milli-samples
        return 0
    return min(max(power, min(PREFIXES)), max(PREFIXES))


def _decimals(value: float, half: float) -> int:
    # Of the rounded value: 999.9 is written as 1000.
    magnitude = math.floor(math.log10(float(f"{abs(value):.2e}"))) if value else 0
    if half > 0:
        exponent = math.floor(math.log10(half))
        wanted = -exponent + (half / 10.0**exponent < 3.0)
        least = LEAST_DIGITS - 1 - magnitude if value else wanted
    else:
        wanted = max(DIGITS_WITHOUT_INTERVAL - 1 - magnitude, 0) if value else 0
        least = wanted
    return min(max(wanted, least), MOST_DIGITS - 1 - magnitude)


@lru_cache(maxsize=1024)
def _suffix(unit: str, power: int) -> str:
    prefix = BINARY[power] if unit == "B" else PREFIXES[power]
    if unit == "1":
        return NBSP + prefix if prefix else ""
    if _is_word(unit):  # `12.3 k tokens/s`: a prefix does not melt into a word
        return f"{NBSP}{prefix}{NBSP}{unit}" if prefix else NBSP + unit
    return NBSP + prefix + unit
