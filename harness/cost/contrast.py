"""Two sides' costs against each other, and what moves them: shared inputs move both sides together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.cost.derive import per_item
from harness.cost.equations import Number, money_terms, total
from harness.cost.inputs import CHEAPER_WHEN_HIGHER, Basis, Input
from harness.system.errors import InputError

ASSUMED = 0.10
"""How far an input without a range of its own is moved, to show what it weighs."""
CURVED = frozenset({"interest", "years"})
"""Inputs in which a ratio of costs may turn between the ends: their middle is tried too."""
LINEAR_IN_INVERSE = frozenset({"utilisation", "throughput"})
MOST_CORNERS = 1 << 20


@dataclass(frozen=True, slots=True)
class Range:
    """A figure over all values of its inputs."""

    low: float
    mid: float
    high: float


@dataclass(frozen=True, slots=True)
class Swing:
    """What one input does to a figure between its low and its high end, the others at their middle."""

    name: str
    key: str
    unit: str
    input_low: float
    input_high: float
    at_low: float
    at_high: float
    assumed: bool
    """The input has no range of its own: it was moved by a tenth either way."""

    @property
    def size(self) -> float:
        """How far the figure moves."""
        return abs(self.at_high - self.at_low)


def cost(basis: Basis) -> float:
    """Return the money of `many` items, every input at its middle."""
    return float(_cost(basis, {}, "mid"))


def ratio(a: Basis, b: Basis) -> Range:
    """Return cost of A over cost of B, with its own range (see `contrast`)."""
    return contrast(a, b, difference=False)


def contrast(a: Basis, b: Basis, *, difference: bool) -> Range:
    """Return A - B or A / B of the costs of as many items.

    What both sides share (tariff, utilisation, the price of the same device) takes every combination of its
    ends, on both sides at once; what is one side's own takes the end that favours, then burdens, it.

    Raises:
        ValueError: they are in different currencies or of different items, or share more ranges than can be
            tried together.
    """
    _comparable(a, b)
    shared = _shared(a, b)
    levels = [_levels(name) for name in shared]
    if np.prod([len(each) for each in levels], dtype=float) > MOST_CORNERS:
        raise InputError(f"{len(shared)} shared inputs have a range: too many to be tried together")
    grid = np.meshgrid(*[np.arange(len(each)) for each in levels], indexing="ij") if shared else []
    corner = {
        name: np.array(each)[index.ravel()] for name, each, index in zip(shared, levels, grid, strict=True)
    }

    def effect(x: Number, y: Number) -> Number:
        return x - y if difference else x / y

    low = effect(_cost(a, corner, "low"), _cost(b, corner, "high"))
    high = effect(_cost(a, corner, "high"), _cost(b, corner, "low"))
    mid = effect(_cost(a, {}, "mid"), _cost(b, {}, "mid"))
    return Range(float(np.min(low)), float(mid), float(np.max(high)))


def tornado(a: Basis, b: Basis | None = None) -> list[Swing]:
    """Return what each input does to A's cost, or to A's cost less B's, what moves it most first."""
    if b is not None:
        _comparable(a, b)
    swings = {}
    for side in (a, b):
        for i in side.money.values() if side else ():
            if (i.name, i.key) not in swings:
                swings[i.name, i.key] = _swing(a, b, i)
    return sorted((s for s in swings.values() if s.size > 0), key=lambda s: -s.size)


def turning(a: Basis, b: Basis, name: str, *, sides: str = "a") -> float | None:
    """Return the value of an input at which A and B cost the same, all else at its middle; None if none does.

    Exact: a cost is linear in every price, in the PUE, and in one over throughput and utilisation.

    Args:
        a: One side.
        b: The other.
        name: The input, e.g. `capex` of A.
        sides: Whose input is moved: `a`, `b` or `both`.

    Raises:
        ValueError: a side does not have the input, or cost is not linear in it.
    """
    _comparable(a, b)
    if name in CURVED:
        raise ValueError(f"the cost is not linear in {name}")
    moved = {"a": (True, False), "b": (False, True), "both": (True, True)}[sides]
    for basis, mine in zip((a, b), moved, strict=True):
        if mine and name not in basis.money:
            raise ValueError(f"{name} is no input here")

    def gap(x: float) -> float:
        value = 1 / x if name in LINEAR_IN_INVERSE else x
        one, other = (
            float(total(per_item(money_terms, {**_mid(side), name: value} if mine else _mid(side))))
            for side, mine in zip((a, b), moved, strict=True)
        )
        return one - other

    at_one, at_two = gap(1.0), gap(2.0)
    slope = at_two - at_one
    if slope == 0:
        return None
    x = 1.0 - at_one / slope
    if x < 0 or (name in LINEAR_IN_INVERSE and x <= 0):
        return None
    found = 1 / x if name in LINEAR_IN_INVERSE else x
    return None if name == "utilisation" and found > 1 else found


def break_even(buy: Basis, rent: Basis) -> float | None:
    """Return the utilisation above which buying costs less than renting by the hour; None if none does."""
    sides = "both" if "utilisation" in rent.money else "a"
    return turning(buy, rent, "utilisation", sides=sides)


def _comparable(a: Basis, b: Basis) -> None:
    if a.currency != b.currency:
        raise InputError(f"{a.currency} and {b.currency}: give a dated rate, and one site's prices")
    if a.item != b.item:
        raise ValueError(f"cost of {a.item}s against cost of {b.item}s")


def _shared(a: Basis, b: Basis) -> list[str]:
    """Names of what both sides share and what has a range."""
    return [
        n
        for n, i in a.money.items()
        if n in b.money and b.money[n].key == i.key and (i.low < i.high or b.money[n].low < b.money[n].high)
    ]


def _levels(name: str) -> tuple[int, ...]:
    return (0, 1, 2) if name in CURVED else (0, 2)


def _cost(basis: Basis, corner: Mapping[str, npt.NDArray[np.int64]], case: str) -> Number:
    """Cost of `many` items: shared inputs at the corner's levels, the others all cheap, middle or dear."""
    other = {"low": "high", "mid": "mid", "high": "low"}
    values: dict[str, Number] = {}
    for name, i in basis.money.items():
        if name in corner:
            values[name] = np.array([i.low, i.mid, i.high])[corner[name]]
        else:
            values[name] = i.at(other[case] if name in CHEAPER_WHEN_HIGHER else case)
    return basis.many * total(per_item(money_terms, values))


def _mid(basis: Basis) -> dict[str, float]:
    return {name: i.mid for name, i in basis.money.items()}


def _swing(a: Basis, b: Basis | None, moved: Input) -> Swing:
    assumed = moved.low == moved.high
    share = {"low": 1 - ASSUMED, "high": 1 + ASSUMED} if assumed else None

    def at(case: str) -> float:
        def side(basis: Basis) -> float:
            values = _mid(basis)
            mine = basis.money.get(moved.name)
            if mine is not None and mine.key == moved.key:
                values[moved.name] = mine.mid * share[case] if share else mine.at(case)
                if moved.name == "utilisation":
                    values[moved.name] = min(values[moved.name], 1.0)
            return basis.many * float(total(per_item(money_terms, values)))

        return side(a) - (side(b) if b else 0.0)

    ends = [moved.mid * share[c] if share else moved.at(c) for c in ("low", "high")]
    return Swing(moved.name, moved.key, moved.unit, ends[0], ends[1], at("low"), at("high"), assumed)
