"""Every rule of validity, from its producer up: with a fault planted there it fires, without it does not."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import pytest
from standins.planted import device, energy, host, timing, work
from standins.planted.world import Planted, World

from harness.records.metrics import METRICS
from harness.records.validity import RULES, judge

ROWS = [
    row
    for module in (timing, host, energy, device, work)
    for row in vars(module).values()
    if isinstance(row, Planted)
]


@pytest.fixture(scope="module")
def built(made_once: Any, tmp_path_factory: Any) -> Any:
    """Return what builds what takes a compiler, each once."""

    @functools.cache
    def build(name: str) -> Any:
        try:
            return device.BUILT[name](made_once, tmp_path_factory.mktemp(name))
        except device.NO_COMPILER as missing:
            pytest.skip(str(missing))

    return build


def fired(make_record: Any, evidence: dict[str, Any]) -> set[str]:
    """Return the rules that fire on a record with this evidence, every metric of which is 1.0."""
    verdicts = judge(make_record(dict.fromkeys(METRICS, 1.0), evidence=evidence))
    return {reason for _, reasons in verdicts.values() for reason in reasons}


def test_every_rule_has_a_row() -> None:
    """A rule that nobody can plant a fault for is a promise that nobody keeps."""
    assert {row.rule for row in ROWS} == set(RULES)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_rule_fires_with_its_fault_and_not_without(
    make_record: Any, tmp_path: Any, built: Any, row: Planted
) -> None:
    """The same world without the fault raises no doubt; with it, the rule fires and what it implies."""
    for fault, expected in ((False, set()), (True, {row.rule, *row.implies})):
        (folder := tmp_path / str(fault)).mkdir()
        with pytest.MonkeyPatch.context() as monkeypatch:
            evidence = row.plant(World(monkeypatch, folder, built), fault)
        assert fired(make_record, evidence) == expected


@pytest.mark.parametrize(
    ("scope", "counted", "named"),
    [
        ("memory", False, {"energy.iteration", "efficiency.samples", "power.mean", "power.peak"}),
        ("memory", True, {"power.peak"}),
        ("gpu", False, set()),
    ],
)
def test_power_of_zero_throughout_voids_what_rests_on_it(
    tmp_path: Any, monkeypatch: Any, scope: Any, counted: bool, named: set[str]
) -> None:
    """Beside a counter that is the peak alone; 0 W of what runs is no reading, so nothing rests on it."""
    gauge = replace(energy.GAUGE, scope=scope)
    counters = [replace(energy.COUNTER, scope=scope)] if counted else []
    found = energy.metered(
        World(monkeypatch, tmp_path, built=str),
        [1000.0, 1400.0],
        *counters,
        gauge,
        sampler=lambda clock: energy.ScriptedSampler(clock, lambda _s: 0.0, gauge),
    )
    assert named <= set(found["all_zero"])
    assert bool(named) == bool(found["all_zero"])
    assert ("energy.iteration" in found["all_zero"]) == ("energy.iteration" in named)
    assert ("implausible" in found["sensor_flags"]) == (scope == "gpu")
