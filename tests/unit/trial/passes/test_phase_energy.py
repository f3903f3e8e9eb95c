"""Prefill and decode told apart within a span, from waveforms whose energy is known exactly."""

from __future__ import annotations

import importlib.util
from array import array
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from harness.energy.sampling.trace import Samples
from harness.trial.passes import phase_energy

_PATH = Path(__file__).parents[3] / "standins" / "virtual.py"
_SPEC = importlib.util.spec_from_file_location("virtual_sensor_phases", _PATH)
virtual = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(virtual)


def generated(prefill_s, decode_s, n=50, period=0.05, sample_s=0.01, **facts):
    """A span of n generations, 600 W until the first token and 250 W after it, sampled beside the work."""
    meter = virtual.VirtualMeter(virtual.Waveform(60), period=period, lag=0.03, phase=0.004)
    edges, marks = [meter.now], []
    for i in range(n):
        first = meter.now + prefill_s * (1 + 0.1 * (i % 3))
        meter.wave.to(meter.now, 600)
        meter.wave.to(first, 250)
        marks.append(round((first - meter.now) * 1e9))
        meter.now = first + decode_s
        meter.wave.to(meter.now, 60)
        edges.append(meter.now)
    counter = meter.sensors[0]
    rows = [array("q"), array("q"), array("d"), array("i")]
    for k in range(round(edges[-1] / sample_s) + 20):
        meter.now = k * sample_s
        read = meter.read(counter)
        for column, value in zip(rows, (read.t0_ns, read.t1_ns, read.energy_j, 0), strict=True):
            column.append(value)
    info = replace(counter, update_period_s=period, **{"lag_s": 0.03, "aliases": False, **facts})
    device = SimpleNamespace(device="0", in_total=True, sensors=(info,), joules=1.0, reason=None)
    result = SimpleNamespace(
        span_ns=(0, round(edges[-1] * 1e9)), trace=(Samples(counter, *rows),), devices=(device,)
    )
    durations = np.diff(np.round(np.array(edges) * 1e9)).astype(np.int64)
    measurement = SimpleNamespace(
        durations_ns=durations, group=1, stretches=None, marks={"first_token": np.array(marks)}
    )
    return result, measurement


def test_prefill_and_decode_are_told_apart_within_the_span():
    """Iterations of 0.35 s on a counter of 50 ms: both powers come out, with the equations' condition."""
    (found,) = phase_energy.attribution(*generated(0.11, 0.24))["attribution"]
    assert found["watts"]["prefill"] == pytest.approx(600, rel=0.02)
    assert found["watts"]["decode"] == pytest.approx(250, rel=0.02)
    assert found["joules"]["prefill"] == pytest.approx(600 * 0.121, rel=0.02)
    assert abs(found["joules"]["decode"] - 250 * 0.24) < 3 * found["u_joules"]["decode"] + 0.5
    assert 1 <= found["condition"] < 30
    assert found["reason"] is None


@pytest.mark.parametrize(
    ("iteration", "facts", "reason"),
    [
        ((0.0011, 0.0024, 800), {"period": 0.1}, "cannot be distinguished"),
        ((0.11, 0.24), {"lag_s": None}, "lag was never probed"),
        ((0.11, 0.24), {"aliases": True}, "part of each update period"),
    ],
)
def test_phases_that_the_counter_does_not_tell_have_a_reason_and_no_number(iteration, facts, reason):
    """Iterations far shorter than its period, a lag nobody knows, a counter that looks now and then."""
    (found,) = phase_energy.attribution(*generated(*iteration, **facts))["attribution"]
    assert found["joules"] is None
    assert reason in found["reason"]


def test_without_a_counter_or_a_first_token_nothing_is_attributed():
    """A gauge alone says why; work without a first token has no such evidence at all."""
    result, measurement = generated(0.11, 0.24, 5)
    unsampled = SimpleNamespace(**{**vars(result), "trace": ()})
    (found,) = phase_energy.attribution(unsampled, measurement)["attribution"]
    assert found["reason"] == "no energy counter was sampled beside the work"
    assert phase_energy.attribution(result, SimpleNamespace(marks={})) == {}
