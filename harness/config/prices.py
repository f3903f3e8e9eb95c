"""What a site pays and emits: every figure with its source and its date, none with a default."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, PositiveInt, model_validator

from harness.system.errors import InputError

STALE_DAYS = 365


class UnknownPrice(InputError):  # noqa: N818 - bad input, named as the user sees it
    """What no price file says; the message names the user's file and the line to add."""


class Closed(BaseModel):
    """Frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Figure(Closed):
    """A number with its range, and where and when it was found. Without a range all three are equal."""

    mid: FiniteFloat = Field(ge=0)
    low: FiniteFloat | None = Field(default=None, ge=0)
    high: FiniteFloat | None = Field(default=None, ge=0)
    source: str = Field(min_length=4)
    date: dt.date
    """Of the figure, not of its entry here."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.at("low") <= self.mid <= self.at("high"):
            raise ValueError("low, mid and high must be in this order")
        return self

    def at(self, case: str) -> float:
        """Return the figure in the case `low`, `mid` or `high`."""
        value = getattr(self, case)
        return self.mid if value is None else float(value)

    def times(self, rate: Figure) -> Figure:
        """Return the product with a rate; its date is the older one's."""
        return Figure(
            low=self.at("low") * rate.at("low"),
            mid=self.mid * rate.mid,
            high=self.at("high") * rate.at("high"),
            source=f"{self.source}; {rate.source}",
            date=min(self.date, rate.date),
        )


class DevicePrice(Closed):
    """What one device, or one whole machine, costs to buy or to rent, and what making it emitted."""

    currency: str | None = None
    """Of every figure here; None is the site's."""
    capex: Figure | None = None
    resale: Figure | None = None
    """What it is worth after the site's `years`."""
    host: Figure | None = None
    """Its share of the server around it, bought with it and worth nothing afterwards; so the next two."""
    network: Figure | None = None
    rack: Figure | None = None
    support_per_year: Figure | None = None
    hourly: Figure | None = None
    """Rent of one hour."""
    hourly_paid: Literal["used", "always"] = "used"
    """`always`: a reservation, paid in idle hours too."""
    hourly_includes_power: bool = True
    embodied_kgco2e: Figure | None = None
    host_w: Figure | None = None
    """Power of its share of the server, where the sensor sees the device alone."""
    idle_w: Figure | None = None
    """Power at rest, where no sensor saw the device at rest."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.capex is None and self.hourly is None:
            raise ValueError("capex (to buy) or hourly (to rent) is needed")
        if self.capex is not None:
            if self.resale is None:
                raise ValueError(
                    "resale is needed with capex; where nothing is left say mid: 0 and whose view that is"
                )
            if self.resale.at("high") > self.capex.at("low"):
                raise ValueError("resale: at most the purchase price")
        return self


MONEY = ("capex", "resale", "host", "network", "rack", "support_per_year", "hourly")
"""Figures of a device that are amounts of money."""


class Region(Closed):
    """A grid."""

    kgco2e_per_kwh: Figure


class SiteFigures(Closed):
    """What a price file may say. Only what a figure needs is asked for, when it is asked for."""

    currency: str | None = None
    region: str | None = None
    per_kwh: Figure | None = None
    pue: Figure | None = None
    utilisation: Figure | None = None
    interest: Figure | None = None
    years: Figure | None = None
    opex_per_hour: Figure | None = None
    """Of the whole trial, an hour of use: staff, licences."""
    facility_per_kw_month: Figure | None = None
    """Space and cooling plant: rent of a kilowatt, paid in idle hours too."""
    devices: dict[str, DevicePrice] = Field(default_factory=dict)
    """By the name that the driver gives; they stand before those of the shared table."""
    machines: dict[str, DevicePrice] = Field(default_factory=dict)
    """Whole machines, by `run.machine_name`; they stand before devices."""
    rates: dict[str, Figure] = Field(default_factory=dict)
    """Exchange rates, e.g. `EURUSD`: dollars for one euro."""
    regions: dict[str, Region] = Field(default_factory=dict)
    stale_days: PositiveInt = STALE_DAYS
    """A figure that is older is flagged."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        u = self.utilisation
        if u is not None and not (u.at("low") > 0 and u.at("high") <= 1):
            raise ValueError("utilisation: above 0 and at most 1")
        if self.pue is not None and self.pue.at("low") < 1:
            raise ValueError("pue: a site draws at least what its machines draw, so at least 1")
        if self.years is not None and self.years.at("low") <= 0:
            raise ValueError("years: above 0")
        return self


class Prices(SiteFigures):
    """One site: what power costs there, how it is used, and for how long."""

    name: str
    currency: str
    path: Path = Field(exclude=True)
    """The user's file, which messages name."""
    shared_devices: dict[str, DevicePrice] = Field(default_factory=dict, exclude=True)
    """Of the tables beside the shipped files; so the next two."""
    shared_regions: dict[str, Region] = Field(default_factory=dict, exclude=True)
    shared_rates: dict[str, Figure] = Field(default_factory=dict, exclude=True)

    def figure(self, key: str, why: str) -> Figure:
        """Return one of the site's own figures.

        Raises:
            UnknownPrice: the file does not say it; `why` names what needs it.
        """
        found = getattr(self, key)
        if not isinstance(found, Figure):
            raise UnknownPrice(f"{self.path}: {why} needs {key}: add `{key}: {_LINE}`")
        return found

    def device(self, name: str, machine: str | None = None) -> DevicePrice:
        """Return the price of a machine or of a device, in this site's currency.

        Raises:
            UnknownPrice: it is in no file, or in a currency without an exchange rate here.
        """
        found = self.machines.get(machine or "") or self.devices.get(name) or self.shared_devices.get(name)
        if found is None:
            raise UnknownPrice(
                f"no price of the device {name!r}: add to {self.path} under devices: "
                f"`{name!r}: {{capex: {_LINE}, resale: {_LINE}}}` or `{name!r}: {{hourly: {_LINE}}}`"
            )
        if found.currency in {None, self.currency}:
            return found
        pair = f"{found.currency}{self.currency}"
        rate = self.rates.get(pair) or self.shared_rates.get(pair)
        if rate is None:
            raise UnknownPrice(f"no exchange rate {pair}: add to {self.path} under rates: `{pair}: {_LINE}`")
        money = {key: getattr(found, key) for key in MONEY}
        changed = {key: figure.times(rate) for key, figure in money.items() if figure is not None}
        return found.model_copy(update={**changed, "currency": self.currency})

    def grid(self) -> Region:
        """Return the site's grid.

        Raises:
            UnknownPrice: no region is named, or it is in no file.
        """
        if self.region is None:
            raise UnknownPrice(f"{self.path}: emissions need region: add `region: NAME`")
        found = self.regions.get(self.region) or self.shared_regions.get(self.region)
        if found is None:
            raise UnknownPrice(
                f"no grid intensity of the region {self.region!r}: add to {self.path} under regions: "
                f"`{self.region}: {{kgco2e_per_kwh: {_LINE}}}`"
            )
        return found


_LINE = "{mid: NUMBER, source: WHERE IT IS FROM, date: YYYY-MM-DD}"
