"""Prices, grid intensities and embodied carbon from `conf/price/`: each figure with its source and date."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

_LIMIT_BYTES = 1 << 20
TABLES = "tables"


class UnknownPrice(ValueError):  # noqa: N818 - bad input, named as the user sees it
    """A device, region or currency that no file of `conf/price/` knows; the message names the file."""


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Figure(_Closed):
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


class DevicePrice(_Closed):
    """What one device costs and embodies, its share of the node included."""

    capex: Figure
    currency: str
    resale: Figure
    embodied_kgco2e: Figure


class Region(_Closed):
    """A grid."""

    kgco2e_per_kwh: Figure


class Prices(_Closed):
    """One site: what power costs there, how it is used, and for how long."""

    name: str
    currency: str
    region: str
    per_kwh: Figure
    pue: Figure
    utilisation: Figure
    interest: Figure
    years: Figure
    opex_per_hour: Figure
    devices: dict[str, DevicePrice] = Field(default_factory=dict)
    """The site's own prices; they stand before those of the shared table."""
    folder: Path = Field(exclude=True)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not (self.utilisation.at("low") > 0 and self.utilisation.at("high") <= 1):
            raise ValueError("utilisation: above 0 and at most 1")
        if self.pue.at("low") < 1:
            raise ValueError("pue: a site draws at least what its machines draw, so at least 1")
        if self.years.at("low") <= 0:
            raise ValueError("years: above 0")
        return self

    def device(self, name: str) -> DevicePrice:
        """Return a device's price, in this site's currency.

        Raises:
            UnknownPrice: it is in no file, or in a currency without an exchange rate here.
        """
        path = self.folder / TABLES / "devices.yaml"
        found = self.devices.get(name) or _table(path, DevicePrice).get(name)
        if found is None:
            raise UnknownPrice(f"no price of the device {name!r}: add it to {path}")
        if found.currency == self.currency:
            return found
        rates = self.folder / TABLES / "currencies.yaml"
        rate = _table(rates, Figure).get(f"{found.currency}{self.currency}")
        if rate is None:
            raise UnknownPrice(f"no exchange rate {found.currency}{self.currency}: add it to {rates}")
        return found.model_copy(
            update={
                "capex": _times(found.capex, rate),
                "resale": _times(found.resale, rate),
                "currency": self.currency,
            }
        )

    def grid(self) -> Region:
        """Return the site's grid.

        Raises:
            UnknownPrice: the region is not in the table.
        """
        path = self.folder / TABLES / "regions.yaml"
        found = _table(path, Region).get(self.region)
        if found is None:
            raise UnknownPrice(f"no grid intensity of the region {self.region!r}: add it to {path}")
        return found


def load_prices(name: str, folder: Path) -> Prices:
    """Read the price file of a name in `folder`, or the user's own by its path; tables are in `folder`.

    Raises:
        UnknownPrice: there is no such file.
        ValueError: it is not a price file; the message names file and key.
    """
    path = Path(name) if name.endswith(".yaml") else folder / f"{name}.yaml"
    if not path.is_file():
        known = sorted(p.stem for p in folder.glob("*.yaml") if p.stem != "none")
        raise UnknownPrice(
            f"no price file {path}; there are: {', '.join(known) or 'none but what you write'}"
        )
    return _valid(Prices, {**_read(path), "folder": folder}, path)


_Model = TypeVar("_Model", bound=_Closed)


def _table(path: Path, model: type[_Model]) -> dict[str, _Model]:
    if not path.is_file():
        return {}
    return {key: _valid(model, value, path, key) for key, value in _read(path).items()}


def _valid(model: type[_Model], value: Any, path: Path, key: str = "") -> _Model:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in ([key] if key else []) + list(first["loc"]))
        raise ValueError(f"{path}: {where}: {first['msg']}") from error


def _read(path: Path) -> Mapping[str, Any]:
    import yaml

    with path.open("rb") as file:
        data = file.read(_LIMIT_BYTES + 1)
    if len(data) > _LIMIT_BYTES:
        raise ValueError(f"{path}: larger than {_LIMIT_BYTES} bytes")
    try:
        found = yaml.safe_load(data)
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())[:200]}") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ValueError(f"{path}: a mapping is needed")  # noqa: TRY004 - a file's contents
    return {str(key): value for key, value in found.items()}


def _times(figure: Figure, rate: Figure) -> Figure:
    return Figure(
        low=figure.at("low") * rate.at("low"),
        mid=figure.mid * rate.mid,
        high=figure.at("high") * rate.at("high"),
        source=f"{figure.source}; {rate.source}",
        date=min(figure.date, rate.date),
    )
