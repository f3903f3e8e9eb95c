"""The equations against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from harness.cost.equations import annuity, carbon_terms, money_terms, total, watts

HOUR = 3600
YEAR = 8760 * 3600
VALUES = {
    "capex": 30_000, "resale": 6_000, "interest": 0.05, "years": 4, "utilisation": 0.5,
    "opex_per_hour": 0.36, "pue": 1.25, "per_kwh": 0.10, "kgco2e_per_kwh": 0.4, "embodied_kgco2e": 200,
    "power_w": 700, "idle_w": 100,
}  # fmt: skip


def test_the_annuity_pays_back_what_was_lent():
    """At 5 % over 4 years each unit takes 0.2820118 a year; without interest a quarter; arrays as well."""
    assert annuity(0.05, 4) == pytest.approx(0.2820118, rel=1e-6)
    assert annuity(0.0, 4) == 0.25
    assert sum(annuity(0.05, 4) / 1.05**k for k in (1, 2, 3, 4)) == pytest.approx(1)
    assert annuity(np.array([0.0, 0.05]), 4) == pytest.approx([0.25, 0.2820118], rel=1e-6)


def test_used_time_answers_for_the_idle_time():
    """In use half the time: every second of use carries a second of idling, and the host's two."""
    assert watts(VALUES) == 800
    assert watts({**VALUES, "utilisation": 1.0}) == 700
    assert watts({**VALUES, "host_w": 50}) == 900


def test_a_second_of_use_costs_capital_operation_and_power():
    """(24,000·a + 300) a year over half its hours, 0.36 an hour, and 800 W·1.25 at 0.10 a kWh."""
    terms = money_terms(VALUES)
    capital = (24_000 * 0.2820118326 + 6_000 * 0.05) / (YEAR * 0.5)
    assert terms["depreciation"] == pytest.approx(6_000 / (YEAR * 0.5))
    assert terms["depreciation"] + terms["interest"] == pytest.approx(capital, rel=1e-8)
    assert terms["operation"] == pytest.approx(1e-4)
    assert terms["energy"] == pytest.approx(0.1 / HOUR)  # one kilowatt
    assert total(terms) == pytest.approx(capital + 1e-4 + 0.1 / HOUR, rel=1e-8)


def test_host_network_rack_and_support_are_of_the_owned():
    """4,000 more are lost over 4 years, 1,000 a year; 500 of support a year; over half the hours."""
    plain = money_terms({**VALUES, "interest": 0.0})
    more = {**VALUES, "interest": 0.0, "host": 2_000, "network": 1_500, "rack": 500, "support_per_year": 500}
    terms = money_terms(more)
    assert terms["depreciation"] - plain["depreciation"] == pytest.approx(1_000 / (YEAR * 0.5))
    assert terms["support"] == pytest.approx(500 / (YEAR * 0.5))


def test_rent_is_paid_while_used_or_always():
    """2 per hour: of use, or of all hours when half of them are used."""
    assert money_terms({"rent_per_used_hour": 2.0}) == {"rent": pytest.approx(2 / HOUR)}
    assert money_terms({"rent_per_hour": 2.0, "utilisation": 0.5})["rent"] == pytest.approx(4 / HOUR)


def test_the_facility_rents_kilowatts_by_the_month():
    """0.7 kW at 150 a month, in use half of it."""
    found = money_terms({**VALUES, "facility_per_kw_month": 150})["facility"]
    assert found == pytest.approx(0.7 * 150 / (YEAR / 12) / 0.5)


def test_a_second_of_use_emits_what_its_power_and_its_making_do():
    """1 kW at 0.4 kg a kWh, and 200 kg over 2 years of use."""
    terms = carbon_terms(VALUES)
    assert terms["energy"] == pytest.approx(0.4 / HOUR)
    assert terms["hardware"] * HOUR * 8760 * 2 == pytest.approx(200)
