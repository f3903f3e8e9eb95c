"""Price files: every figure has a source and a date; what is not there is an error that names the file."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.cost import UnknownPrice, buying_from, costs, costs_or_reason, load_prices
from harness.records.results import Estimate

SHIPPED = Path(__file__).parents[3] / "conf" / "price"
SITE = """
name: site
currency: EUR
region: DE
per_kwh: {low: 0.1, mid: 0.2, high: 0.3, source: our contract, date: 2025-01-01}
pue: {mid: 1.25, source: our meters, date: 2025-01-01}
utilisation: {mid: 0.5, source: our scheduler, date: 2025-01-01}
interest: {mid: 0.0, source: our bank, date: 2025-01-01}
years: {mid: 4, source: our policy, date: 2025-01-01}
opex_per_hour: {mid: 0.0, source: our books, date: 2025-01-01}
devices:
  Card:
    capex: {mid: 10000, source: our offer, date: 2025-02-02}
    currency: EUR
    resale: {mid: 0, source: our policy, date: 2025-01-01}
    embodied_kgco2e: {mid: 150, source: the maker, date: 2024-06-01}
"""


@pytest.fixture
def folder(tmp_path):
    """A site, and a table of one grid."""
    (tmp_path / "site.yaml").write_text(SITE)
    (tmp_path / "tables").mkdir()
    grid = "DE: {kgco2e_per_kwh: {mid: 0.4, source: an agency, date: 2024-01-01}}\n"
    (tmp_path / "tables" / "regions.yaml").write_text(grid)
    return tmp_path


def result(name="Card", scope="gpu", **metrics):
    """A trial's results, as far as prices look at them."""
    estimates = {}
    for key, value in metrics.items():
        name_of = key.replace("_", ".")
        validity = "unavailable" if value is None else "valid"
        estimates[name_of] = Estimate(
            name_of, "", "", "none", "", "measured", value, None, None, None, 3, validity
        )
    device = {"in_total": True, "scope": scope}
    record = SimpleNamespace(evidence={"device": {"name": name}, "energy": {"devices": [device]}})
    return SimpleNamespace(
        estimates=estimates,
        records=(record,),
        trial_id=name,
        label=name,
        machine_id="m",
        config={"workload": {"name": "gpt"}},
    )


MEASURED = {"throughput_tokens": 1000.0, "power_mean": 700.0, "power_idle": 100.0}


def test_a_million_tokens_cost_what_hand_and_paper_say(folder):
    """1000 s of use: 10,000 over 2 years of use, and 1 kW at 0.2 a kWh; at 0.1 and 0.3 for the range."""
    cost, carbon = costs(result(**MEASURED), load_prices("site", folder))
    capital = 10_000 / (2 * 8760 * 3600) * 1000
    assert (cost.unit, cost.id) == ("EUR", "cost.token")
    assert cost.mid == pytest.approx(capital + 0.2 / 3.6)
    assert (cost.low, cost.high) == (pytest.approx(capital + 0.1 / 3.6), pytest.approx(capital + 0.3 / 3.6))
    assert carbon.mid == pytest.approx(0.4 / 3.6 + 150 / (2 * 8760 * 3600) * 1000)
    assert "our contract (2025-01-01)" in cost.sources


def test_power_of_the_device_alone_is_labelled_partial(folder):
    """Only a node's power is the whole."""
    prices = load_prices("site", folder)
    assert "partial" in costs(result(**MEASURED), prices)[0].notes[0]
    assert costs(result(scope="node", **MEASURED), prices)[0].notes == ()


def test_capital_is_costed_without_a_power_sensor(folder):
    """Money without power is there and says so; emissions of unmeasured power are not."""
    cost, carbon = costs(result(**{**MEASURED, "power_mean": None}), load_prices("site", folder))
    assert cost.mid == pytest.approx(10_000 / (2 * 8760 * 3600) * 1000)
    assert "energy" not in cost.terms
    assert "without power" in cost.notes[0]
    assert carbon.mid is None
    assert "power.mean" in carbon.reason


def test_a_gauge_without_idle_power_costs_the_used_hours(folder):
    """A node meter sees 700 W in use; what idle hours take is left out, and that is said."""
    cost, _ = costs(result(scope="node", **{**MEASURED, "power_idle": None}), load_prices("site", folder))
    assert cost.terms["energy"] == pytest.approx(0.7 * 1.25 * 0.2 / 3.6)
    assert "idle hours" in cost.notes[0]


def test_a_file_with_only_an_hourly_price_is_enough(tmp_path):
    """2 an hour and 1000 tokens per second: 2 / 3.6 a million, and nothing else is asked for."""
    path = tmp_path / "rent.yaml"
    path.write_text(
        "currency: USD\ndevices: {Card: {hourly: {mid: 2, source: a price list, date: 2025-01-01}}}\n"
    )
    cost, carbon = costs(result(**MEASURED), load_prices(str(path), tmp_path))
    assert (cost.mid, cost.unit) == (pytest.approx(2 / 3.6), "USD")
    assert "in the rent" in cost.notes[-1]
    assert "embodied" in carbon.reason


def test_every_figure_names_its_inputs_and_its_terms_add_up(folder):
    """An auditor can work it out again."""
    cost, _ = costs(result(**MEASURED), load_prices("site", folder))
    assert sum(cost.terms.values()) == pytest.approx(cost.mid)
    inputs = {i.name: i for i in cost.inputs}
    assert inputs["per_kwh"].source == "our contract"
    assert (inputs["per_kwh"].low, inputs["per_kwh"].high) == (0.1, 0.3)
    assert inputs["throughput"].origin == "measured"


def test_old_prices_are_flagged_with_the_file_to_renew(folder):
    """On 2026-01-15 a price of 2025-01-01 is 379 days old; the offer of February is not a year old."""
    prices = load_prices("site", folder)
    (cost, _) = costs(result(**MEASURED), prices, as_of=dt.date(2026, 1, 15))
    assert any("per_kwh" in line and "379 days" in line and "site.yaml" in line for line in cost.stale)
    assert not any("capex" in line for line in cost.stale)
    assert costs(result(**MEASURED), prices)[0].stale == ()


def test_what_no_file_knows_names_the_file_and_the_line_to_add(folder):
    """An unknown device, region, currency or site is an error, never 0."""
    prices = load_prices("site", folder)
    with pytest.raises(UnknownPrice, match=r"device 'Other': add to .*site\.yaml under devices: `'Other'"):
        costs(result("Other", **MEASURED), prices)
    no_grid = costs(result(**MEASURED), prices.model_copy(update={"region": "FR"}))[1]
    assert "site.yaml under regions: `FR: {kgco2e_per_kwh:" in no_grid.reason
    with pytest.raises(UnknownPrice, match=r"exchange rate EURUSD: add to .*site\.yaml under rates"):
        costs(result(**MEASURED), prices.model_copy(update={"currency": "USD"}))
    with pytest.raises(UnknownPrice, match="there are: site"):
        load_prices("elsewhere", folder)
    without = prices.model_copy(update={"years": None})
    with pytest.raises(
        UnknownPrice, match=r"site\.yaml: the purchase price of Card needs years: add `years:"
    ):
        costs(result(**MEASURED), without)
    (unknown,) = costs_or_reason(result("Other", **MEASURED), prices)
    assert "'Other'" in unknown.reason


def test_a_machine_priced_whole_counts_once(folder):
    """The machine that the user named stands before its devices, and is not multiplied."""
    (folder / "site.yaml").write_text(
        SITE
        + """
machines:
  left:
    capex: {mid: 50000, source: an offer, date: 2025-01-01}
    resale: {mid: 0, source: ours, date: 2025-01-01}
"""
    )
    prices = load_prices("site", folder)
    named = result(**MEASURED)
    named.config["run"] = {"machine_name": "left"}
    by_machine = costs(named, prices, devices=4)[0].terms["depreciation"]
    assert by_machine == pytest.approx(50_000 / (2 * 8760 * 3600) * 1000)
    by_device = costs(result(**MEASURED), prices, devices=4)[0].terms["depreciation"]
    assert by_device == pytest.approx(40_000 / (2 * 8760 * 3600) * 1000)


def test_an_exchange_rate_converts_and_keeps_both_sources(folder):
    """At 1.1 dollars for a euro 10,000 are 11,000."""
    (folder / "site.yaml").write_text(
        SITE + "rates: {EURUSD: {mid: 1.1, source: a central bank, date: 2024-12-31}}\n"
    )
    device = load_prices("site", folder).model_copy(update={"currency": "USD"}).device("Card")
    assert device.capex.mid == pytest.approx(11_000)
    assert device.capex.source == "our offer; a central bank"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("source: our contract, ", "", "per_kwh.source"),
        (", date: 2025-02-02", "", "devices.Card.capex.date"),
        ("mid: 0.5", "mid: 0", "utilisation"),
        ("mid: 1.25", "mid: 0.9", "pue"),
        ("low: 0.1", "low: 0.25", "order"),
        ("region: DE", "regoin: DE", "did you mean region?"),
        ("name: site", "name: [", "site.yaml"),
    ],
)
def test_a_price_file_that_is_wrong_names_file_and_key(folder, old, new, said):
    """A figure without source or date is no figure."""
    (folder / "site.yaml").write_text(SITE.replace(old, new))
    with pytest.raises(ValueError, match=r"site\.yaml") as caught:
        load_prices("site", folder)
    assert said in str(caught.value)


def test_the_shipped_tables_are_sound(folder):
    """Every figure that ships has a source and a date."""
    prices = load_prices(str(folder / "site.yaml"), SHIPPED)
    assert prices.model_copy(update={"region": "US"}).grid().kgco2e_per_kwh.mid == pytest.approx(0.39)
    with pytest.raises(UnknownPrice, match="no price of the device"):
        prices.device("Nothing")


def test_buying_breaks_even_at_the_share_of_the_hours_that_hand_and_paper_say(folder):
    """Without interest and power: 40,000 over 4 years of hours x u is 4 an hour; without both prices none."""
    text = (
        SITE
        + """
machines:
  left:
    capex: {mid: 40000, source: an offer, date: 2025-01-01}
    resale: {mid: 0, source: ours, date: 2025-01-01}
    hourly: {mid: 4.0, source: a list, date: 2025-01-01}
"""
    )
    (folder / "site.yaml").write_text(text)
    prices = load_prices("site", folder)
    named = result(throughput_tokens=1000.0)
    assert buying_from(named, prices) is None
    named.config["run"] = {"machine_name": "left"}
    found = buying_from(named, prices)
    assert found is not None
    assert found.mid == pytest.approx(40_000 / (4 * 8760 * 4.0))
