"""Planted sweeps with a known optimum give the known answer."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.advice.overturn import between, price_to_win
from harness.advice.plain import plain
from harness.advice.recommend import recommend
from harness.advice.requirements import Requirements
from harness.report.sections.answer import answer_blocks

RATE, TAIL, POWER = "throughput.tokens", "latency.p99", "power.mean"


def needs(**more):
    """Requirements."""
    return Requirements.model_validate(more)


def names(options):
    """Their names in order."""
    return [o.candidate.name for o in options]


def test_a_single_optimum_is_found_and_sure(plant):
    """5 % apart at a spread of 0.2 %: the fastest, surely, and no limit binds."""
    fleet = [plant("slow", {RATE: 100.0}), plant("fast", {RATE: 110.0}), plant("middle", {RATE: 104.5})]
    found = recommend(fleet, needs(), "tokens")
    assert names(found.options) == ["fast", "middle", "slow"]
    assert found.best.probability > 0.99
    assert found.tied == ()
    assert found.binding == ()
    assert found.options[1].needed == pytest.approx(110 / 104.5)


def test_equal_ones_are_tied(plant):
    """The same truth, the same spread: neither is said to win, and a third one far below is not tied."""
    fleet = [plant("a", {RATE: 100.0}), plant("bb", {RATE: 100.0}), plant("ccc", {RATE: 50.0})]
    found = recommend(fleet, needs(), "tokens")
    assert {found.best.candidate.name, *names(found.tied)} == {"a", "bb"}
    assert found.best.probability == pytest.approx(0.5, abs=0.05)
    text = answer_blocks(plain(found, fleet))[0].text
    assert text.startswith("Tied, the replicas do not tell them apart: a and bb.")


def test_a_latency_limit_binds(plant):
    """The fast one breaks 200 ms: the slower wins, and without the limit the choice were twice as good."""
    fleet = [plant("fast", {RATE: 200.0, TAIL: 0.25}), plant("slow", {RATE: 100.0, TAIL: 0.15})]
    found = recommend(fleet, needs(limits={TAIL: "200 ms"}), "tokens")
    assert names(found.options) == ["slow"]
    assert found.binding == ((TAIL, pytest.approx(2.0)),)
    assert found.failing[0].broken == (TAIL,)
    assert found.failing[0].excess == pytest.approx(1.25)
    assert found.best.probability > 0.99


def test_a_budget_binds(plant):
    """10,000 buy five at 2,000 of 100/s each, or one at 8,000 of 400/s: five cheap ones do more."""
    fleet = [plant("cheap", {RATE: 100.0}, capex=2_000), plant("dear", {RATE: 400.0}, capex=8_000)]
    found = recommend(fleet, needs(fleet={"budget": 10_000, "devices": 100}), "tokens")
    assert (found.best.candidate.name, found.best.units, found.best.value) == ("cheap", 5, pytest.approx(500))
    assert found.binding[0] == ("budget", pytest.approx(100 * 400 / 500))


def test_power_binds(plant):
    """In 10 kW go ten at 1 kW of 100/s, or 20 at 500 W of 70/s."""
    fleet = [plant("big", {RATE: 100.0, POWER: 1000.0}), plant("small", {RATE: 70.0, POWER: 500.0})]
    found = recommend(fleet, needs(fleet={"power": "10 kW", "devices": 50}), "tokens")
    assert (found.best.candidate.name, found.best.units) == ("small", 20)
    assert found.binding[0][0] == "power"
    racks = recommend(fleet, needs(fleet={"rack_power": "2.4 kW", "racks": 3}), "tokens")
    assert (racks.best.candidate.name, racks.best.units) == ("small", 12)  # four in a rack, not 4.8


def test_nothing_satisfies_and_the_nearest_is_named(plant):
    """Both break 100 ms; 120 ms is nearer than 250 ms."""
    fleet = [plant("far", {RATE: 200.0, TAIL: 0.25}), plant("near", {RATE: 100.0, TAIL: 0.12})]
    found = recommend(fleet, needs(limits={TAIL: 0.1}), "tokens")
    assert found.best is None
    text = answer_blocks(plain(found, fleet))[0].text
    assert text.startswith("No configuration satisfies Latency p99 at most 100\u00a0ms; the nearest is near")
    assert "missed by 20\u00a0%" in text


def test_a_load_takes_whole_units_with_head_room(plant):
    """1000/s with a fifth more at 90/s each: 14 units of two devices; at equal prices the fewer units win."""
    fleet = [
        plant("small", {RATE: 90.0}, capex=1_000, devices=2),
        plant("large", {RATE: 700.0}, capex=14_000),
    ]
    found = recommend(fleet, needs(load={"tokens_per_second": 1000}, objective="cost"), "tokens")
    best = found.best
    assert (best.candidate.name, best.units, best.devices) == ("small", 14, 28)
    # 14,000 over 17,520 hours of use at 1000/s: all 14 are paid for, whatever they could do.
    assert best.value == pytest.approx(14_000 / (17_520 * 3600 * 1000) * 1e6)
    assert found.options[1].value == pytest.approx(28_000 / (17_520 * 3600 * 1000) * 1e6)


def test_the_price_that_a_runner_up_would_have_to_have_is_exact(plant):
    """Twice the work at three times the price wins at twice the price."""
    fleet = [plant("one", {RATE: 100.0}, capex=10_000), plant("two", {RATE: 200.0}, capex=30_000)]
    found = recommend(fleet, needs(objective="cost"), "tokens")
    name, now, at = price_to_win(found.options[1], found)
    assert (name, now, at) == ("capex", 30_000, pytest.approx(20_000))


def test_between_measured_batches_it_interpolates_and_says_so(plant):
    """Latency goes as the batch: 16 breaks 0.12 s, 8 keeps it, so 12 would just; nothing beyond is said."""
    fleet = [
        plant(f"batch {b}", {RATE: 100.0 * math.sqrt(b), TAIL: 0.01 * b}, batch=b) for b in (4, 8, 16, 32)
    ]
    asked = needs(limits={TAIL: 0.12})
    found = recommend(fleet, asked, "tokens")
    assert found.best.candidate.name == "batch 8"
    (one,) = between(found, fleet)
    assert (one.batch, one.measured) == (12, (8, 16))
    assert one.throughput == pytest.approx(100 * math.sqrt(12), rel=1e-3)
    texts = [i.text for i in answer_blocks(plain(found, fleet))[1].items if i.term == "interpolated"]
    assert "not measured" in texts[0]


def test_one_replica_allows_no_probability(plant):
    """The choice stands, its probability does not."""
    fleet = [plant("a", {RATE: 100.0}, replicas=1), plant("bb", {RATE: 90.0})]
    found = recommend(fleet, needs(), "tokens")
    assert found.best.candidate.name == "a"
    assert found.best.probability is None


def test_what_is_not_known_is_left_out_with_its_reason(plant):
    """Without the metric that is limited, without a price that is asked for."""
    fleet = [plant("a", {RATE: 100.0}), plant("bb", {RATE: 90.0, TAIL: 0.1})]
    found = recommend(fleet, needs(limits={TAIL: 0.2}), "tokens")
    assert [(c.name, why) for c, why in found.unknown] == [("a", "latency.p99 is not known of it")]
    priced = recommend(fleet, needs(objective="cost"), "tokens")
    assert {why for _, why in priced.unknown} == {"no price"}


@pytest.mark.parametrize("candidates", [3, 6])
def test_the_stated_probability_is_calibrated(plant, candidates):
    """Over 1,000 simulated sweeps, where 0.85 to 0.95 is stated the choice is right in 80 to 97 %."""
    rng = np.random.default_rng(20)
    said, right = [], []
    for _ in range(1000):
        truths = np.exp(0.03 * rng.standard_normal(candidates))
        fleet = [
            plant("x" * (i + 1), {RATE: 100.0 * t}, seed=int(rng.integers(1 << 30)), spread=0.03,
                  logs=rng.standard_normal(6), draws=800)
            for i, t in enumerate(truths)
        ]  # fmt: skip
        best = recommend(fleet, needs(), "tokens").best
        said.append(best.probability)
        right.append(len(best.candidate.name) - 1 == int(np.argmax(truths)))
    chosen = [r for s, r in zip(said, right, strict=True) if 0.85 <= s <= 0.95]
    assert len(chosen) >= 60
    assert 0.80 <= np.mean(chosen) <= 0.97
