"""Money and carbon of one trial's results, each with its range, derived each time they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.config.prices import Prices
from harness.cost.equations import HOUR_S, Case, kgco2e_per_s, money_per_s
from harness.records.results import Estimate, TrialResult

ITEMS = {
    "throughput.tokens": ("token", 1e6),
    "throughput.samples": ("sample", 1e6),
    "throughput.requests": ("request", 1e3),
}
"""For each throughput its item, and how many of them a figure is for."""
PARTIAL = "partial: power of the device alone, not of the node"
_CASES = ("low", "mid", "high")


@dataclass(frozen=True, slots=True)
class CostFigure:
    """One figure with its range over all assumptions, or the reason why there is none."""

    id: str
    title: str
    unit: str
    low: float | None = None
    mid: float | None = None
    high: float | None = None
    notes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    """Of the prices behind it, each with its date."""
    reason: str | None = None


def costs(result: TrialResult, prices: Prices, *, devices: int = 1) -> tuple[CostFigure, ...]:
    """Return what a million items (a thousand requests) of a trial cost and emit.

    The range takes every assumption at its low, then at its high end, and the throughput at the other end of
    its interval. Nothing is figured from a power that was not measured.

    Args:
        result: A trial with at least one replica that is ok.
        prices: Of the site.
        devices: How many of the device the trial used.

    Raises:
        UnknownPrice: the device or region is in no price file.
    """
    throughput = next((result.estimates[i] for i in ITEMS if _known(result.estimates, i)), None)
    if throughput is None:
        return ()
    item, many = ITEMS[throughput.metric_id]
    named = f"{'a million' if many == 1e6 else 'a thousand'} {item}s"
    figures = (
        CostFigure(f"cost.{item}", f"Cost of {named}", prices.currency),
        CostFigure(f"carbon.{item}", f"Emissions of {named}", "kgCO2e"),
    )
    power = [result.estimates.get(i) for i in ("power.mean", "power.idle")]
    missing = [
        i for i, e in zip(("power.mean", "power.idle"), power, strict=True) if e is None or not _usable(e)
    ]
    if missing:
        why = f"{missing[0]} is not known; nothing is estimated"
        return tuple(_without(figure, why) for figure in figures)
    mean, idle = (e.value for e in power if e is not None)
    assert mean is not None
    assert idle is not None
    device, grid = prices.device(device_name(result)), prices.grid()
    used = (
        prices.per_kwh, prices.pue, prices.utilisation, prices.interest, prices.years, prices.opex_per_hour,
        device.capex, device.resale, device.embodied_kgco2e, grid.kgco2e_per_kwh,
    )  # fmt: skip
    sources = tuple(dict.fromkeys(f"{figure.source} ({figure.date})" for figure in used))
    notes = () if _whole_node(result) else (PARTIAL,)
    made = []
    for figure, per_s in zip(figures, (money_per_s, kgco2e_per_s), strict=True):
        low, mid, high = (
            many * per_s(_case(prices, device, grid, case, devices), mean, idle) / rate
            for case, rate in zip(_CASES, _rates(throughput), strict=True)
        )
        made.append(CostFigure(figure.id, figure.title, figure.unit, low, mid, high, notes, sources))
    return tuple(made)


def device_name(result: TrialResult) -> str:
    """Return the name of the device that the trial ran on, as its driver tells it."""
    for record in result.records:
        facts: Mapping[str, Any] = record.evidence.get("device") or {}
        if isinstance(facts.get("name"), str):
            return str(facts["name"])
    return "unknown device"


def _case(prices: Prices, device: Any, grid: Any, case: str, devices: int) -> Case:
    other = {"low": "high", "mid": "mid", "high": "low"}[case]
    return Case(
        capex=device.capex.at(case) * devices,
        # What makes the result dear is a low resale, little use and a short life.
        resale=device.resale.at(other) * devices,
        interest=prices.interest.at(case),
        years=prices.years.at(other),
        utilisation=prices.utilisation.at(other),
        opex_per_s=prices.opex_per_hour.at(case) / HOUR_S,
        pue=prices.pue.at(case),
        per_kwh=prices.per_kwh.at(case),
        kgco2e_per_kwh=grid.kgco2e_per_kwh.at(case),
        embodied_kgco2e=device.embodied_kgco2e.at(case) * devices,
    )


def _rates(throughput: Estimate) -> tuple[float, float, float]:
    """Return the throughput in the low, middling and high case: what is fast is cheap."""
    assert throughput.value is not None
    return throughput.high or throughput.value, throughput.value, throughput.low or throughput.value


def _whole_node(result: TrialResult) -> bool:
    """Say whether the energy was that of the whole node."""
    scopes = {
        device.get("scope")
        for record in result.records
        for device in (record.evidence.get("energy") or {}).get("devices", ())
        if device.get("in_total")
    }
    return scopes == {"node"}


def _known(estimates: Mapping[str, Estimate], metric_id: str) -> bool:
    return metric_id in estimates and _usable(estimates[metric_id])


def _usable(estimate: Estimate) -> bool:
    return estimate.value is not None and estimate.validity in {"valid", "flagged"}


def _without(figure: CostFigure, reason: str) -> CostFigure:
    return CostFigure(figure.id, figure.title, figure.unit, reason=reason)
