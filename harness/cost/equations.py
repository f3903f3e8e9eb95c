"""What an item costs, and what it emits: pure arithmetic (docs/method.md, section 4)."""

from __future__ import annotations

from dataclasses import dataclass

HOUR_S = 3600.0
YEAR_S = 8760 * HOUR_S
J_PER_KWH = 3.6e6


@dataclass(frozen=True, slots=True)
class Case:
    """One set of assumptions: all low, all middling, or all high."""

    capex: float
    """Price of what the trial ran on, all devices and their share of the node."""
    resale: float
    """What is left of it after its life."""
    interest: float
    """A year, e.g. 0.05."""
    years: float
    """Life."""
    utilisation: float
    """Share of time in use, above 0 and at most 1."""
    opex_per_s: float
    pue: float
    per_kwh: float
    kgco2e_per_kwh: float
    embodied_kgco2e: float


def annuity(interest: float, years: float) -> float:
    """Return the yearly payment for one unit of money: `r / (1 - (1 + r)**-n)`, `1/n` without interest."""
    return 1 / years if interest == 0 else interest / (1 - (1 + interest) ** -years)


def watts(power_w: float, idle_w: float, utilisation: float) -> float:
    """Return the power that a second of use answers for: its own, and its share of the idle time's."""
    return power_w + idle_w * (1 / utilisation - 1)


def money_per_s(case: Case, power_w: float, idle_w: float) -> float:
    """Return the money that a second of use costs: capital over the time in use, operation, and power."""
    a = annuity(case.interest, case.years)
    capital = ((case.capex - case.resale) * a + case.resale * case.interest) / (YEAR_S * case.utilisation)
    energy = watts(power_w, idle_w, case.utilisation) * case.pue * case.per_kwh / J_PER_KWH
    return capital + case.opex_per_s + energy


def kgco2e_per_s(case: Case, power_w: float, idle_w: float) -> float:
    """Return the emissions of a second of use: of its power, and its share of making the hardware."""
    power = watts(power_w, idle_w, case.utilisation) * case.pue * case.kgco2e_per_kwh / J_PER_KWH
    return power + case.embodied_kgco2e / (case.years * YEAR_S * case.utilisation)
