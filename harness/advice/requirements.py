"""What a buyer needs: load, limits and objective, read from a file when the question is asked."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from harness.config.yaml_files import read_yaml, validated
from harness.records.metrics import METRICS
from harness.system.errors import InputError

DAY_S = 86400.0
EVERYTHING: Literal["as much as possible"] = "as much as possible"
MOST_LOAD = 1e18
OBJECTIVES = ("cost", "energy", "carbon", "throughput", "latency")
_UNITS = {
    "": 1.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "min": 60.0, "h": 3600.0,
    "W": 1.0, "kW": 1e3, "MW": 1e6, "J": 1.0, "mJ": 1e-3, "kJ": 1e3,
    "B": 1.0, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30, "TiB": 2.0**40,
    "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
    "kg": 1.0, "t": 1e3, "%": 0.01, "dB": 1.0, "k": 1e3, "M": 1e6, "G": 1e9,
}  # fmt: skip
_DIMENSIONS = {"s": "s ms us µs min h", "W": "W kW MW", "J": "J mJ kJ", "dB": "dB", "1": "%"}
_DIMENSIONS["B"] = "B KiB MiB GiB TiB kB MB GB TB"
_LOAD = re.compile(r"(tokens|samples|requests)_per_(second|day)")
_NUMBER = re.compile(r"([0-9.eE+-]{1,40}+)\s*([A-Za-zµ%]*)")


def amount(value: Any) -> Any:
    """Return `200 ms`, `40 GiB` or `1.5 M` in base units; a number stands for itself."""
    if isinstance(value, str) and (match := _NUMBER.fullmatch(value.strip())):
        number, unit = match.groups()
        if unit not in _UNITS:
            raise ValueError(f"no such unit {unit!r}; there are {', '.join(u for u in _UNITS if u)}")
        try:
            return float(number) * _UNITS[unit]
        except ValueError:
            return value
    return value


def money(value: Any) -> Any:
    """Return `250 k` or `1.5 M` as a plain number; a currency is the price file's to name."""
    match = _NUMBER.fullmatch(value.strip()) if isinstance(value, str) else None
    if match and match.group(2) not in {"", "k", "M", "G"}:
        raise ValueError(f"the price file names the currency; write {match.group(1)} alone, or with k or M")
    return amount(value)


def _load(value: Any) -> Any:
    """Refuse a load that is no number of items, before it is taken for a choice of words."""
    entries = value if isinstance(value, dict) else {}
    if not entries and value != EVERYTHING:
        raise ValueError(f"write {EVERYTHING}, or one entry, e.g. `{{tokens_per_second: 50 k}}`")
    for key, text in entries.items():
        number = amount(text)
        if isinstance(number, bool) or not isinstance(number, int | float) or not 0 < number <= MOST_LOAD:
            raise ValueError(
                f"{key}: {str(text)[:60]} is no amount above 0 and up to {MOST_LOAD:.0e}, e.g. `50 k`"
            )
    return value


def _named(value: Any) -> Any:
    if isinstance(value, str):
        raise ValueError("name it by its parts, e.g. `{workload: gpt, size: tiny, mode: decode}`")  # noqa: TRY004 - a file's contents
    return value


Amount = Annotated[PositiveFloat, BeforeValidator(amount)]


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Work(_Closed):
    """Which of the measured work is meant; what is not named may be anything."""

    workload: str | None = None
    size: str | None = None
    mode: str | None = None


class Fleet(_Closed):
    """Limits of everything that is bought together."""

    devices: PositiveInt | None = None
    budget: Annotated[PositiveFloat, BeforeValidator(money)] | None = None
    """Purchase money, in the price file's currency."""
    power: Amount | None = None
    """W of all of it, at the machines, the site's overhead aside."""
    rack_power: Amount | None = None
    """W of one rack."""
    racks: PositiveInt | None = None
    carbon_per_year: Amount | None = None
    """kgCO2e."""

    @model_validator(mode="after")
    def _racks_have_power(self) -> Self:
        if self.racks is not None and self.rack_power is None:
            raise ValueError("racks: say how much power one has, e.g. `rack_power: 15 kW`")
        return self


class Requirements(_Closed):
    """A question, as a buyer puts it."""

    question: str | None = Field(default=None, max_length=400)
    work: Annotated[Work, BeforeValidator(_named)] = Work()
    load: Annotated[Literal["as much as possible"] | dict[str, Amount], BeforeValidator(_load)] = EVERYTHING
    """One entry, e.g. `tokens_per_second: 50 k` or `requests_per_day: 2 M`."""
    objective: str = "throughput"
    limits: dict[str, Any] = Field(default_factory=dict)
    """By metric id: the most where less of it is better, the least where more is."""
    fleet: Fleet = Fleet()
    head_room: float = Field(default=0.2, ge=0, le=10)
    """Share of the load that is kept free on top of it."""
    price: str | None = None
    rent: bool | None = None
    """Rent instead of buying; null buys where there is a purchase price."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        for metric, limit in self.limits.items():
            _check_limit(metric, limit)
        if self.objective not in OBJECTIVES:
            definition = METRICS.get(self.objective)
            if definition is None or definition.direction == "none":
                raise ValueError(f"objective {self.objective}: choose {', '.join(OBJECTIVES)} or a metric id")
        if isinstance(self.load, dict) and not (
            len(self.load) == 1 and _LOAD.fullmatch(next(iter(self.load)))
        ):
            raise ValueError(
                "load: one entry, of tokens, samples or requests, _per_second or _per_day; "
                f"not {', '.join(self.load) or 'nothing'}"
            )
        return self

    @property
    def item(self) -> str | None:
        """What the load counts: tokens, samples or requests; None for as much as possible."""
        return next(iter(self.load)).split("_")[0] if isinstance(self.load, dict) else None

    @property
    def per_s(self) -> float | None:
        """The load in items per second."""
        if not isinstance(self.load, dict):
            return None
        key, value = next(iter(self.load.items()))
        return value / DAY_S if key.endswith("day") else value

    def limit(self, metric: str) -> float:
        """Return a metric's limit in its base unit."""
        return float(amount(self.limits[metric]))


def _check_limit(metric: str, limit: Any) -> None:
    definition = METRICS.get(metric)
    if definition is None:
        import difflib

        close = difflib.get_close_matches(metric, METRICS, n=1, cutoff=0.4)
        hint = f"did you mean {close[0]}?" if close else "see `joulemark list metrics`"
        raise InputError(f"limits: no such metric {metric}; {hint}")
    if definition.direction == "none":
        raise InputError(f"limits: neither more nor less of {metric} is better")
    if isinstance(limit, str) and (match := _NUMBER.fullmatch(limit.strip())):
        allowed = _DIMENSIONS.get(definition.unit, "").split()
        if (unit := match.group(2)) and unit not in allowed:
            raise InputError(f"limits: {metric} is in {definition.unit}, not in {unit}")
    value = amount(limit)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"limits: {metric}: {limit!r} is no amount, e.g. `200 ms` or 0.2")
    if not 0 < value < math.inf:
        raise InputError(f"limits: {metric}: a limit is above 0, not {limit}")


def load_requirements(path: Path) -> Requirements:
    """Read a requirements file.

    Raises:
        ValueError: it is none; one line that names file and key.
    """
    return validated(Requirements, read_yaml(path), path)
