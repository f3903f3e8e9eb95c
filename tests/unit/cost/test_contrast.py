"""Two sides' costs against each other, against numbers worked out by hand."""

from __future__ import annotations

import pytest

from harness.cost import Basis, Input, break_even, contrast, cost, ratio, tornado, turning

YEAR_H = 8760


def made(name, mid, low=None, high=None, key="site"):
    """An input with its range."""
    return Input(name, "", mid if low is None else low, mid, mid if high is None else high, "", "site", key)


def basis(*inputs, item="token", currency="EUR"):
    """A side of these inputs."""
    return Basis(item, 1e6, currency, {i.name: i for i in inputs}, {})


def owner(name, capex, rate, power=0.0, **site):
    """Who buys at no interest for four years, uses half the hours and pays 0.2 a kWh."""
    shared = {"utilisation": made("utilisation", 0.5), "per_kwh": made("per_kwh", 0.2), **site}
    return basis(
        made("capex", capex, key=name), made("resale", 0, key=name), made("interest", 0), made("years", 4),
        made("pue", 1), made("power_w", power, key=name), made("idle_w", 0, key=name),
        made("throughput", rate, key=name), *shared.values(),
    )  # fmt: skip


def replaced(side, **inputs):
    """A side with other inputs."""
    return basis(*{**side.money, **inputs}.values())


def test_a_shared_input_moves_both_sides_together():
    """Only power: twice the power is twice the cost at any tariff, though both ranges are threefold."""
    tariff = {"per_kwh": made("per_kwh", 0.2, 0.1, 0.3)}
    a, b = owner("a", 0, 1000, 2000, **tariff), owner("b", 0, 1000, 1000, **tariff)
    found = ratio(a, b)
    assert (found.low, found.mid, found.high) == (pytest.approx(2), pytest.approx(2), pytest.approx(2))
    less = contrast(a, b, difference=True)  # 1 kW for 1000 s: at 0.1, 0.2 and 0.3 a kWh
    assert [less.low, less.mid, less.high] == pytest.approx([0.1 / 3.6, 0.2 / 3.6, 0.3 / 3.6])


def test_what_is_one_sides_own_takes_both_its_ends():
    """Throughputs of 900 to 1100 and of 1800 to 2200 do not move together."""
    a = replaced(owner("a", 10_000, 1000), throughput=made("throughput", 1000, 900, 1100, "a"))
    b = replaced(owner("b", 10_000, 2000), throughput=made("throughput", 2000, 1800, 2200, "b"))
    found = ratio(a, b)
    assert [found.low, found.mid, found.high] == pytest.approx([1800 / 1100, 2, 2200 / 900])


def test_the_price_at_which_the_ranking_turns_is_exact():
    """B does twice the work at three times the price: at twice the price they cost the same."""
    a, b = owner("a", 10_000, 1000), owner("b", 30_000, 2000)
    assert cost(a) < cost(b)
    assert turning(b, a, "capex") == pytest.approx(20_000)
    assert turning(a, b, "capex") == pytest.approx(15_000)
    assert turning(b, a, "throughput") == pytest.approx(3_000)


def test_the_tariff_that_turns_it_is_exact():
    """A is 7,008 dearer over 17,520 hours of use, 0.4 an hour; it saves 1 kW; so 0.4 a kWh."""
    a, b = owner("a", 27_008, 1000, 1000), owner("b", 20_000, 1000, 2000)
    assert turning(a, b, "per_kwh", sides="both") == pytest.approx(7_008 / (4 * YEAR_H * 0.5))


def test_buying_breaks_even_with_rent_at_a_share_of_the_hours():
    """35,040 over four years is one an hour of all hours; rent at two an hour of use: above half of them."""
    buy = owner("a", 35_040, 1000)
    rent = basis(made("rent_per_used_hour", 2), made("throughput", 1000))
    assert break_even(buy, rent) == pytest.approx(0.5)
    cheap = basis(made("rent_per_used_hour", 0.5), made("throughput", 1000))
    assert break_even(buy, cheap) is None


def test_the_tornado_names_what_moves_the_difference_most():
    """The tariff of 0.1 to 0.3 at one kilowatt outweighs a tenth of a small price."""
    tariff = {"per_kwh": made("per_kwh", 0.2, 0.1, 0.3)}
    a, b = owner("a", 1000, 1000, 2000, **tariff), owner("b", 900, 1000, 1000, **tariff)
    first, *rest = tornado(a, b)
    assert first.name == "per_kwh"
    assert not first.assumed
    assert first.size == pytest.approx(0.2 / 3.6)
    capex = next(s for s in rest if s.name == "capex" and s.key == "a")
    assert capex.assumed
    assert capex.size == pytest.approx(0.2 * 1000 / (4 * YEAR_H * 0.5 * 3600) * 1000)


def test_mixed_currencies_and_items_are_refused():
    """Nothing is compared that is not the same."""
    a = owner("a", 1000, 1000)
    with pytest.raises(ValueError, match="dated rate"):
        ratio(a, basis(*a.money.values(), currency="USD"))
    with pytest.raises(ValueError, match="samples"):
        ratio(a, basis(*a.money.values(), item="sample"))
    with pytest.raises(ValueError, match="not linear in years"):
        turning(a, a, "years")
