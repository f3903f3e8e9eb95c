"""The equations against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest

from harness.cost.equations import Case, annuity, kgco2e_per_s, money_per_s, watts

CASE = Case(
    capex=30_000, resale=6_000, interest=0.05, years=4, utilisation=0.5, opex_per_s=0.36 / 3600, pue=1.25,
    per_kwh=0.10, kgco2e_per_kwh=0.4, embodied_kgco2e=200,
)  # fmt: skip


def test_the_annuity_pays_back_what_was_lent():
    """At 5 % over 4 years each unit takes 0.2820118 a year; without interest a quarter."""
    assert annuity(0.05, 4) == pytest.approx(0.2820118, rel=1e-6)
    assert annuity(0.0, 4) == 0.25
    assert sum(annuity(0.05, 4) / 1.05**k for k in (1, 2, 3, 4)) == pytest.approx(1)


def test_used_time_answers_for_the_idle_time():
    """In use half the time: every second of use carries a second of idling."""
    assert watts(700, 100, 0.5) == 800
    assert watts(700, 100, 1.0) == 700


def test_a_second_of_use_costs_capital_operation_and_power():
    """(24,000·a + 300) a year over half its hours, 0.36 an hour, and 800 W·1.25 at 0.10 a kWh."""
    capital = (24_000 * 0.28201183 + 6_000 * 0.05) / (8760 * 3600 * 0.5)
    power = 800 * 1.25 * 0.10 / 3.6e6
    assert power == pytest.approx(0.1 / 3600)  # one kilowatt
    assert money_per_s(CASE, 700, 100) == pytest.approx(capital + 1e-4 + power, rel=1e-6)


def test_a_second_of_use_emits_what_its_power_and_its_making_do():
    """1 kW at 0.4 kg a kWh, and 200 kg over 2 years of use."""
    made = 200 / (4 * 8760 * 3600 * 0.5)
    assert kgco2e_per_s(CASE, 700, 100) == pytest.approx(0.4 / 3600 + made)
    assert math.isclose(made * 3600 * 8760 * 2, 200)
