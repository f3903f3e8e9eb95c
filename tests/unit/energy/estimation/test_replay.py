"""What a record keeps of a window gives its energy again, to the last digit, whatever went wrong in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from standins.planted import energy
from standins.planted.world import Planted, World

from harness.energy import EnergyResult
from harness.energy.estimation import device_states
from harness.energy.estimation.replay import kept, remade
from harness.energy.sensors.none import NullMeter
from harness.energy.windows import Window
from harness.records.trace import TRACE, read_traces, write_trace
from harness.trial import span_energy

ROWS = [row for row in vars(energy).values() if isinstance(row, Planted)]


def _again(result: EnergyResult, folder: Path) -> Any:
    """Return a window's evidence made from what was written of it."""
    shown, facts = (json.loads(json.dumps(one)) for one in (result.evidence(), kept(result)))
    trace = {}
    if result.trace:
        write_trace(device_states.columns(result.trace), folder)
        ((_, trace),) = read_traces([("x", (folder / TRACE).read_bytes())], 10**6)
    return remade(shown, facts, trace)


@pytest.mark.parametrize("fault", [False, True])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_window_is_made_again_with_and_without_its_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: Planted, *, fault: bool
) -> None:
    """Counters, gauges, gaps, resets, errors, states: every planted fault, through its files."""
    seen: list[EnergyResult] = []
    judge = span_energy.span_energy

    def watch(result: EnergyResult, *rest: Any, **options: Any) -> Any:
        seen.append(result)
        return judge(result, *rest, **options)

    monkeypatch.setattr(span_energy, "span_energy", watch)
    row.plant(World(monkeypatch, tmp_path, lambda _name: pytest.skip("it takes a compiler")), fault)
    for result in seen:
        made = _again(result, tmp_path)
        assert json.loads(json.dumps(made.evidence())) == json.loads(json.dumps(result.evidence()))
        assert device_states.states(made.trace, made.span_ns) == device_states.states(
            result.trace, result.span_ns
        )


def test_what_nothing_could_measure_keeps_its_reason(tmp_path: Path) -> None:
    """A device without a sensor has no readings to keep."""
    with Window([NullMeter("0", "no sensor", label="Nothing", scope="gpu")], None, None) as window:
        pass
    assert _again(window.result, tmp_path).evidence() == window.result.evidence()
