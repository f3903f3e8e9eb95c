"""The named inputs of a trial's costs: prices with their sources, and what was measured."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from harness.config.prices import DevicePrice, Figure, Prices, UnknownPrice
from harness.records.evidence import metered_devices
from harness.records.results import Estimate, TrialResult

Origin = Literal["site", "device", "measured"]

ITEMS = {
    "throughput.tokens": ("token", 1e6),
    "throughput.samples": ("sample", 1e6),
    "throughput.requests": ("request", 1e3),
}
"""For each throughput its item, and how many of them a figure is for."""

CHEAPER_WHEN_HIGHER = frozenset({"resale", "utilisation", "years", "throughput"})
"""Inputs whose rise lowers the cost; that of every other raises it."""

PARTIAL = "partial: power of the device alone, not of the node"
IDLE_UNKNOWN = "partial: power at rest is not known, so that of idle hours is left out"
IN_RENT = "power is in the rent"


@dataclass(frozen=True, slots=True)
class Input:
    """One number that a figure came from."""

    name: str
    unit: str
    low: float
    mid: float
    high: float
    source: str
    origin: Origin
    key: str
    """Whose it is: inputs of one name and key are one and the same quantity, and move together."""
    date: dt.date | None = None

    def at(self, case: str) -> float:
        """Return the value in the case `low`, `mid` or `high`."""
        return float(getattr(self, case))


@dataclass(frozen=True, slots=True)
class Basis:
    """What a trial's money and carbon are worked out from."""

    item: str
    many: float
    """Items that a figure is for: a million tokens, a thousand requests."""
    currency: str
    money: Mapping[str, Input]
    """Every input of the money, by name, `throughput` among them."""
    carbon: Mapping[str, Input]
    """Every input of the emissions; empty where `carbon_missing` says why."""
    carbon_missing: str = ""
    notes: tuple[str, ...] = ()
    """What a reader must know: what is partial, what is left out and why."""
    stale: tuple[str, ...] = ()
    """Figures that are old, each with the file to renew it in."""


def basis_of(
    result: TrialResult,
    prices: Prices,
    *,
    devices: int,
    rent: bool | None = None,
    as_of: dt.date | None = None,
) -> Basis | None:
    """Return the inputs of a trial's costs; None where it has no throughput of items.

    Money of power is among them where power was measured; capital and rent need no sensor.

    Args:
        result: A trial with a result.
        prices: Of the site.
        devices: How many of the device the trial used.
        rent: Rent instead of buying; None buys where there is a purchase price.
        as_of: The day that prices must not be stale on; None does not ask.

    Raises:
        UnknownPrice: a figure that this needs is in no file; the message has the line to add.
    """
    throughput = next((e for i in ITEMS if (e := _usable(result, i)) is not None), None)
    if throughput is None:
        return None
    item, many = ITEMS[throughput.metric_id]
    name, machine = device_name(result), machine_name(result)
    price = prices.device(name, machine)
    whole = machine in prices.machines
    made = _Inputs(prices, machine if whole and machine else name, 1 if whole else devices)
    made.measured("throughput", throughput, trial_key(result))
    rented = price.capex is None if rent is None else rent
    made.capital(price, rent=rented)
    made.power(price, result, rented=rented)
    carbon, missing = made.emissions(price)
    held = [*made.found.values(), *carbon.values()]
    return Basis(
        item,
        many,
        prices.currency,
        made.found,
        carbon,
        missing,
        tuple(made.notes),
        stale(held, prices, as_of) if as_of else (),
    )


def device_name(result: TrialResult) -> str:
    """Return the name of the device that the trial ran on, as its driver tells it."""
    for record in result.records:
        facts: Mapping[str, Any] = record.evidence.get("device") or {}
        if isinstance(facts.get("name"), str):
            return str(facts["name"])
    return "unknown device"


def trial_key(result: TrialResult) -> str:
    """Return whose a measured number is: one trial on one machine."""
    return f"{result.label} ({result.trial_id[:6]} on {machine_name(result) or result.machine_id[:6]})"


def machine_name(result: TrialResult) -> str | None:
    """Return the name that the user gave the machine, by its last record."""
    run = result.config.get("run")
    name = run.get("machine_name") if isinstance(run, dict) else None
    return name if isinstance(name, str) else None


def stale(inputs: list[Input], prices: Prices, as_of: dt.date) -> tuple[str, ...]:
    """Return a line for each figure that is older on this day than the site allows."""
    old = {
        f"{prices.path}: {i.name} of {i.key} is of {i.date}, {(as_of - i.date).days} days old: renew it"
        for i in inputs
        if i.date is not None and (as_of - i.date).days > prices.stale_days
    }
    return tuple(sorted(old))


class _Inputs:
    """Gathers inputs by name."""

    def __init__(self, prices: Prices, device: str, devices: int) -> None:
        self._prices, self._device, self._devices = prices, device, devices
        self.found: dict[str, Input] = {}
        self.notes: list[str] = []
        self._power: dict[str, Input] = {}

    def capital(self, price: DevicePrice, *, rent: bool) -> None:
        """Take what buying or renting needs."""
        money = self._prices.currency
        if rent:
            if price.hourly is None:
                raise UnknownPrice(f"{self._prices.path}: {self._device}: no hourly price: add `hourly: …`")
            always = price.hourly_paid == "always"
            self._device_figure(
                "rent_per_hour" if always else "rent_per_used_hour", f"{money}/h", price.hourly
            )
            if always:
                self._site("utilisation", "1", "a reservation that is paid in idle hours")
        else:
            if price.capex is None:
                raise UnknownPrice(f"{self._prices.path}: {self._device}: no purchase price: add `capex: …`")
            for name in ("capex", "resale", "host", "network", "rack"):
                self._device_figure(name, money, getattr(price, name))
            self._device_figure("support_per_year", f"{money}/year", price.support_per_year)
            for name, unit in (("utilisation", "1"), ("interest", "1/year"), ("years", "years")):
                self._site(name, unit, f"the purchase price of {self._device}")
        if self._prices.opex_per_hour is not None:
            self._site("opex_per_hour", f"{money}/h", "operation")

    def power(self, price: DevicePrice, result: TrialResult, *, rented: bool) -> None:
        """Take measured power, and what it costs where it is not in the rent."""
        mean, idle = _usable(result, "power.mean"), _usable(result, "power.idle")
        if mean is None:
            self.notes.append(f"without power, which was not measured ({_why(result)})")
            return
        self.measured("power_w", mean, trial_key(result), into=self._power)
        if idle is not None:
            self.measured("idle_w", idle, trial_key(result), into=self._power)
        elif price.idle_w is not None:
            self._device_figure("idle_w", "W", price.idle_w, into=self._power)
        if not _whole_node(result):
            if price.host_w is None:
                self.notes.append(PARTIAL)
            else:
                self._device_figure("host_w", "W", price.host_w, into=self._power)
        if rented and price.hourly_includes_power:
            self.notes.append(IN_RENT)
            return
        self._site("per_kwh", f"{self._prices.currency}/kWh", "power")
        self._site("pue", "1", "power")
        self._used_share("power")
        if self._prices.facility_per_kw_month is not None:
            unit = f"{self._prices.currency}/kW/month"
            self._site("facility_per_kw_month", unit, "the facility")
        self.found |= self._power
        if "idle_w" not in self._power and self.found["utilisation"].low < 1:
            self.notes.append(IDLE_UNKNOWN)

    def emissions(self, price: DevicePrice) -> tuple[dict[str, Input], str]:
        """Return the inputs of the emissions, or why there are none."""
        if "power_w" not in self._power:
            return {}, "power.mean is not known; nothing is estimated"
        if price.embodied_kgco2e is None:
            return {}, f"{self._prices.path}: {self._device}: embodied_kgco2e is not given"
        try:
            grid = self._prices.grid().kgco2e_per_kwh
            into: dict[str, Input] = {"throughput": self.found["throughput"], **self._power}
            self._add("kgco2e_per_kwh", "kgCO2e/kWh", grid, "site", self._prices.name, 1, into)
            self._device_figure("embodied_kgco2e", "kgCO2e", price.embodied_kgco2e, into=into)
            for name, unit in (("pue", "1"), ("utilisation", "1"), ("years", "years")):
                self._site(name, unit, "emissions", into=into)
        except UnknownPrice as error:
            return {}, str(error)
        return into, ""

    def measured(
        self, name: str, estimate: Estimate, key: str, *, into: dict[str, Input] | None = None
    ) -> None:
        """Take a measured number, with its interval where it has one."""
        mid = float(estimate.value or 0.0)
        low, high = (mid if end is None else float(end) for end in (estimate.low, estimate.high))
        source = f"measured, {estimate.n} replicas"
        target = self.found if into is None else into
        target[name] = Input(name, estimate.unit, low, mid, high, source, "measured", key)

    def _used_share(self, why: str) -> None:
        if "utilisation" not in self.found:
            self._site("utilisation", "1", why)

    def _site(self, name: str, unit: str, why: str, into: dict[str, Input] | None = None) -> None:
        target = self.found if into is None else into
        self._add(name, unit, self._prices.figure(name, why), "site", self._prices.name, 1, target)

    def _device_figure(
        self, name: str, unit: str, figure: Figure | None, into: dict[str, Input] | None = None
    ) -> None:
        if figure is not None:
            target = self.found if into is None else into
            self._add(name, unit, figure, "device", self._device, self._devices, target)

    def _add(
        self,
        name: str,
        unit: str,
        figure: Figure,
        origin: Origin,
        key: str,
        times: int,
        into: dict[str, Input],
    ) -> None:
        low, mid, high = (figure.at(case) * times for case in ("low", "mid", "high"))
        source = figure.source if times == 1 else f"{times} times {figure.source}"
        into[name] = Input(name, unit, low, mid, high, source, origin, key, figure.date)


def _usable(result: TrialResult, metric_id: str) -> Estimate | None:
    e = result.estimates.get(metric_id)
    good = e is not None and e.value is not None and e.validity in {"valid", "flagged"}
    return e if good else None


def _why(result: TrialResult) -> str:
    for metric in ("power.mean", "energy.token", "energy.sample", "energy.request", "energy.iteration"):
        e = result.estimates.get(metric)
        if e is not None and e.reasons:
            return e.reasons[0]
    return "no sensor"


def _whole_node(result: TrialResult) -> bool:
    """Say whether the energy was that of the whole node."""
    scopes = [
        device.get("scope")
        for record in result.records
        for device in metered_devices(record.evidence)
        if device.get("in_total")
    ]
    return bool(scopes) and all(scope == "node" for scope in scopes)
