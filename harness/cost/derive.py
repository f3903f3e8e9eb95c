"""Money and carbon of one trial's results, each with its range and its inputs, derived when asked for."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from harness.config.models import Config
from harness.config.placement import device_names
from harness.config.prices import Prices, UnknownPrice
from harness.cost.equations import Terms, Values, carbon_terms, money_terms, total
from harness.cost.inputs import CHEAPER_WHEN_HIGHER, Basis, Input, basis_of
from harness.records.results import TrialResult

_CASES = ("low", "mid", "high")
_OTHER = {"low": "high", "mid": "mid", "high": "low"}


@dataclass(frozen=True, slots=True)
class CostFigure:
    """One figure with its range over all inputs, or the reason why there is none."""

    id: str
    title: str
    unit: str
    low: float | None = None
    mid: float | None = None
    high: float | None = None
    terms: Mapping[str, float] | None = None
    """Parts that add up to `mid`."""
    inputs: tuple[Input, ...] = ()
    """Every number that it came from."""
    notes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    """Of the prices behind it, each with its date."""
    stale: tuple[str, ...] = ()
    reason: str | None = None


def costs(
    result: TrialResult,
    prices: Prices,
    *,
    devices: int | None = None,
    rent: bool | None = None,
    as_of: dt.date | None = None,
) -> tuple[CostFigure, ...]:
    """Return what a million items (a thousand requests) of a trial cost and emit.

    The range takes every input at its cheap, then at its dear end. Capital and rent are there without a
    power sensor; power is added where it was measured. Nothing is figured from a power that was not.

    Args:
        result: A trial with at least one replica that is ok.
        prices: Of the site.
        devices: How many of the device the trial used; None counts them from its configuration.
        rent: Rent instead of buying; None buys where there is a purchase price.
        as_of: The day that prices must not be stale on; None does not ask.

    Raises:
        UnknownPrice: a price that this needs is in no file.
    """
    basis = basis_of(result, prices, devices=devices or devices_of(result), rent=rent, as_of=as_of)
    if basis is None:
        return ()
    named = f"{'a million' if basis.many == 1e6 else 'a thousand'} {basis.item}s"
    money = _figure(basis, f"cost.{basis.item}", f"Cost of {named}", basis.currency, money_terms, basis.money)
    title = f"Emissions of {named}"
    if basis.carbon_missing:
        return money, CostFigure(f"carbon.{basis.item}", title, "kgCO2e", reason=basis.carbon_missing)
    return money, _figure(basis, f"carbon.{basis.item}", title, "kgCO2e", carbon_terms, basis.carbon)


def costs_or_reason(result: TrialResult, prices: Prices, **how: dt.date | None) -> tuple[CostFigure, ...]:
    """Return `costs`, or where a price is missing one figure that says so: other trials keep theirs."""
    try:
        return costs(result, prices, **how)  # type: ignore[arg-type]
    except UnknownPrice as error:
        return (CostFigure("cost", "Cost", prices.currency, reason=str(error)),)


def devices_of(result: TrialResult) -> int:
    """Count the devices that a trial used, by its configuration; one where that is of another version."""
    parts = {k: v for k, v in result.config.items() if k in {"workload", "device", "parallel"}}
    try:
        config = Config.model_validate(parts)
        return len(device_names(config)) * config.parallel.nodes
    except ValidationError:
        return 1


def extreme(inputs: Mapping[str, Input], case: str) -> dict[str, float]:
    """Return every input at its cheap (`low`), middle or dear (`high`) end."""
    return {n: i.at(_OTHER[case] if n in CHEAPER_WHEN_HIGHER else case) for n, i in inputs.items()}


def per_item(terms: Callable[[Values], Terms], values: Values) -> Terms:
    """Return the terms of one item: those of a second of use over the items of a second."""
    return {name: term / values["throughput"] for name, term in terms(values).items()}


def _figure(
    basis: Basis,
    figure_id: str,
    title: str,
    unit: str,
    terms: Callable[[Values], Terms],
    inputs: Mapping[str, Input],
) -> CostFigure:
    made = {case: per_item(terms, extreme(inputs, case)) for case in _CASES}
    low, mid, high = (basis.many * float(total(made[case])) for case in _CASES)
    dated = [f"{i.source} ({i.date})" for i in inputs.values() if i.date is not None]
    return CostFigure(
        figure_id,
        title,
        unit,
        low,
        mid,
        high,
        {name: basis.many * float(term) for name, term in made["mid"].items()},
        tuple(inputs.values()),
        basis.notes,
        tuple(dict.fromkeys(dated)),
        basis.stale,
    )
