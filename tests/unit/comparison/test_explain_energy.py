"""Planted powers and times: the share of each in the ratio of energies, and factors that multiply to it."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

from harness.comparison.explain_energy import explain_energy
from harness.comparison.factors import UNEXPLAINED

NOISE = (0.99, 1.0, 1 / 0.99, 1.0)


def trial(power_w, seconds, *, idle_w=None, lost=1.0, validity="valid"):
    """A trial that draws so much for so long on each token; `lost` is energy that power does not show."""

    def record(i):
        values = {
            "power.mean": power_w * NOISE[i],
            "throughput.tokens": NOISE[3 - i] / seconds,
            "energy.token": lost * power_w * NOISE[i] * seconds / NOISE[3 - i],
            "power.idle": idle_w,
        }
        metrics = {name: SimpleNamespace(value=value) for name, value in values.items() if value}
        return SimpleNamespace(status="ok", replica=i, metric=metrics.get, evidence={})

    records = tuple(record(i) for i in range(4))
    return SimpleNamespace(
        records=records,
        estimates={"energy.token": SimpleNamespace(value=power_w * seconds, validity=validity)},
        values=lambda m: tuple(r.metric(m).value for r in records if r.metric(m)),
    )


def factors(found):
    """By name."""
    return {f.name: f.value for f in found.factors}


def test_power_and_time_have_their_shares():
    """Twice the power and four times the time are a third and two thirds of eight times the energy."""
    found = explain_energy(trial(100.0, 1.0), trial(200.0, 4.0))
    assert found.ratio == pytest.approx(8.0)
    assert factors(found) == pytest.approx({"power": 2.0, "time": 4.0, UNEXPLAINED: 1.0})
    assert found.factors[0].name == "time"
    assert found.power_share == pytest.approx(1 / 3)
    assert all(f.low < f.value < f.high for f in found.factors[:2])


def test_idle_power_is_a_cause_of_its_own():
    """Of 100 W more 60 W are drawn idle: that is three fifths of the logarithm."""
    found = explain_energy(trial(100.0, 1.0, idle_w=40.0), trial(200.0, 1.0, idle_w=100.0))
    held = factors(found)
    assert math.log(held["idle power"]) == pytest.approx(0.6 * math.log(2), rel=1e-6)
    assert held["idle power"] * held["power above idle"] == pytest.approx(2.0, rel=1e-9)
    assert "time" not in held or held["time"] == pytest.approx(1.0)


def test_the_product_holds_also_where_the_energy_says_more_than_the_power():
    """The rest has a name; power against time has no share."""
    a, b = trial(100.0, 1.0, idle_w=30.0), trial(70.0, 1.7, idle_w=20.0, lost=1.1)
    for one, other in ((a, b), (b, a)):
        found = explain_energy(one, other)
        assert math.prod(f.value for f in found.factors) == pytest.approx(found.ratio, rel=1e-9)
        assert found.power_share is None
    assert factors(explain_energy(a, b))[UNEXPLAINED] == pytest.approx(1.1)


@pytest.mark.parametrize("validity", ["invalid", None])
def test_energy_that_is_void_or_missing_explains_nothing(validity):
    """Neither an invalid energy nor one side's alone."""
    a, b = trial(100.0, 1.0), trial(100.0, 1.0, validity=validity)
    if validity is None:
        b.estimates.clear()
    assert explain_energy(a, b) is None
    assert explain_energy(b, a) is None
