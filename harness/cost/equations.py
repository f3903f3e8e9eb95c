"""What a second of use costs and emits, term by term: pure arithmetic (docs/cost.md).

Values are numbers or arrays of them, by the name of their input; a term whose inputs are absent is absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

HOUR_S = 3600.0
YEAR_S = 8760 * HOUR_S
MONTH_S = YEAR_S / 12
J_PER_KWH = 3.6e6

Number: TypeAlias = float | npt.NDArray[np.float64]
Values: TypeAlias = Mapping[str, Number]
Terms: TypeAlias = dict[str, Number]


def annuity(interest: Number, years: Number) -> Number:
    """Return the yearly payment for one unit of money: `r / (1 - (1 + r)**-n)`, `1/n` without interest."""
    r = np.asarray(interest, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where(r == 0, 1 / np.asarray(years), r / -np.expm1(-np.asarray(years) * np.log1p(r)))
    return float(found) if found.ndim == 0 else found


def watts(values: Values) -> Number:
    """Return the power that a second of use answers for: its own, the host's, and its share of idle time's.

    Where the power at rest is not known, that of idle time is left out, and whoever asks is to say so.
    """
    idle = values.get("idle_w", 0.0) * (1 / values.get("utilisation", 1.0) - 1)
    host = values.get("host_w", 0.0) / values.get("utilisation", 1.0)
    return values["power_w"] + host + idle


def money_terms(values: Values) -> Terms:
    """Return the money of one second of use, from depreciation to energy.

    With a = annuity(r, n), capital costs ((owned - resale)·a + resale·r) a year, spread over the hours in
    use; depreciation is its straight-line part, interest the rest.
    """
    terms: Terms = {}
    if "capex" in values:
        paid_s = YEAR_S * values["utilisation"]
        owned = sum((values[k] for k in ("host", "network", "rack") if k in values), values["capex"])
        lost = owned - values["resale"]
        terms["depreciation"] = lost / values["years"] / paid_s
        yearly = lost * annuity(values["interest"], values["years"]) + values["resale"] * values["interest"]
        terms["interest"] = yearly / paid_s - terms["depreciation"]
        if "support_per_year" in values:
            terms["support"] = values["support_per_year"] / paid_s
    if "rent_per_used_hour" in values:
        terms["rent"] = values["rent_per_used_hour"] / HOUR_S
    if "rent_per_hour" in values:
        terms["rent"] = values["rent_per_hour"] / HOUR_S / values["utilisation"]
    if "opex_per_hour" in values:
        terms["operation"] = values["opex_per_hour"] / HOUR_S
    if "facility_per_kw_month" in values:
        kilowatts = (values["power_w"] + values.get("host_w", 0.0)) / 1000
        terms["facility"] = values["facility_per_kw_month"] * kilowatts / MONTH_S / values["utilisation"]
    if "per_kwh" in values:
        terms["energy"] = watts(values) * values["pue"] * values["per_kwh"] / J_PER_KWH
    return terms


def carbon_terms(values: Values) -> Terms:
    """Return the emissions of one second of use, in kgCO2e: of its power, and of making the hardware."""
    terms: Terms = {}
    if "kgco2e_per_kwh" in values:
        terms["energy"] = watts(values) * values["pue"] * values["kgco2e_per_kwh"] / J_PER_KWH
    if "embodied_kgco2e" in values:
        terms["hardware"] = values["embodied_kgco2e"] / (values["years"] * YEAR_S * values["utilisation"])
    return terms


def total(terms: Terms) -> Number:
    """Return the sum of the terms."""
    return sum(terms.values(), 0.0)
