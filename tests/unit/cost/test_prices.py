"""Price files: every figure has a source and a date; what is not there is an error that names the file."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.cost import UnknownPrice, costs, load_prices
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
    return SimpleNamespace(estimates=estimates, records=(record,))


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


@pytest.mark.parametrize("missing", ["power_mean", "power_idle"])
def test_a_power_that_was_not_measured_gives_no_figure(folder, missing):
    """Nothing is estimated, and nothing is 0."""
    for figure in costs(result(**{**MEASURED, missing: None}), load_prices("site", folder)):
        assert figure.mid is None
        assert missing.replace("_", ".") in figure.reason


def test_what_no_file_knows_names_the_file_to_add_it_to(folder):
    """An unknown device, region, currency or site is an error, never 0."""
    prices = load_prices("site", folder)
    with pytest.raises(UnknownPrice, match=r"no price of the device 'Other': add it to .*devices\.yaml"):
        costs(result("Other", **MEASURED), prices)
    with pytest.raises(UnknownPrice, match=r"region 'FR': add it to .*regions\.yaml"):
        costs(result(**MEASURED), prices.model_copy(update={"region": "FR"}))
    with pytest.raises(UnknownPrice, match=r"exchange rate EURUSD: add it to .*currencies\.yaml"):
        costs(result(**MEASURED), prices.model_copy(update={"currency": "USD"}))
    with pytest.raises(UnknownPrice, match="there are: site"):
        load_prices("elsewhere", folder)


def test_an_exchange_rate_converts_and_keeps_both_sources(folder):
    """At 1.1 dollars for a euro 10,000 are 11,000."""
    rate = "EURUSD: {mid: 1.1, source: a central bank, date: 2024-12-31}\n"
    (folder / "tables" / "currencies.yaml").write_text(rate)
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
        ("region: DE", "regoin: DE", "region"),
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
    with pytest.raises(UnknownPrice, match=r"devices\.yaml"):
        prices.device("Nothing")
