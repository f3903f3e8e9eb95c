"""The device's state around a span, from a scripted NVML up to the verdict on a record's metrics."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from harness.records.validity import judge
from harness.timing import Conditions
from harness.trial import device_state
from harness.trial.evidence import all_zero

STANDINS = Path(__file__).parents[2] / "standins" / "nvml" / "builder.py"
UUID = "GPU-11111111-aaaa-bbbb-cccc-000000000000"
GPU = f"device {UUID} Stand-in H200\nhold 1 100\n"
SPAN = """
import ctypes, json, os
from types import SimpleNamespace
from harness.trial.device_state import DeviceState
state = DeviceState(SimpleNamespace(hardware_id=lambda: "GPU-11111111-aaaa-bbbb-cccc-000000000000"))
def process(pid):
    ctypes.CDLL("libnvidia-ml.so.1").standin_direct(0, f"process {pid} 1024".encode())
for pid in BEFORE: process(pid)
state.note_processes()
for pid in AFTER: process(pid)
state.note_processes()
print(json.dumps(state.evidence(state.conditions(), {}, {}, {os.getpid()})))
"""


@pytest.fixture(scope="module")
def library(made_once):
    """Build the stand-in once."""
    spec = importlib.util.spec_from_file_location("nvml_builder_state", STANDINS)
    builder = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(builder)
    try:
        return builder, made_once("nvml", builder.build)
    except builder.NoCompilerError as missing:
        pytest.skip(str(missing))


@pytest.fixture
def evidence(library, tmp_path):
    """Return the evidence of a span on a scripted GPU, with processes before it and more after it."""
    builder, built = library

    def of(script="", before="[]", after="[]"):
        path = tmp_path / "script.txt"
        path.write_text(GPU + script)
        code = SPAN.replace("BEFORE", before).replace("AFTER", after)
        return builder.run(code, builder.environment(built, path, tmp_path))

    return of


def reasons(make_record, found):
    """Return the reasons against the throughput of a record with this evidence."""
    return judge(make_record({"throughput.samples": 1.0}, evidence=found))["throughput.samples"][1]


def test_another_process_on_the_device_flags_the_record(make_record, evidence):
    """Whoever was there before or after the span counts once; the trial's own process does not."""
    crowded = evidence(before="[os.getpid(), 4321]", after="[4321, 17]")
    assert crowded["cotenants"] == 2
    assert reasons(make_record, crowded) == ("cotenant",)
    alone = evidence(before="[os.getpid()]")
    assert alone["cotenants"] == 0
    assert reasons(make_record, alone) == ()


def test_a_list_without_the_trial_itself_tells_of_nobody(evidence):
    """In another namespace of processes the ids mean nothing: unknown, not zero and not three."""
    assert evidence(before="[1, 2, 3]")["cotenants"] is None


def test_a_clock_below_the_one_that_was_set_flags_the_record(make_record, evidence):
    """The stand-in runs at 1755 MHz: below 1980 that somebody set, and as the 1755 that somebody set."""
    slow = evidence("application 1980 1410\n")
    assert (slow["clock_requested_mhz"], slow["clock_below_request"]) == (1980.0, True)
    assert reasons(make_record, slow) == ("clock_low",)
    kept = evidence("application 1755 1980\n")
    assert kept["clock_below_request"] is False
    assert reasons(make_record, kept) == ()
    unasked = evidence("application 1980 1980\n")
    assert (unasked["clock_requested_mhz"], unasked["clock_below_request"]) == (None, None)


def test_the_sms_own_clock_counts_more_than_one_reading():
    """A span at 1400 MHz is below 1980, whatever NVML shows after it."""
    assert device_state.clock_below_request(1980.0, 1980.0, {"sm_clock": {"hz": 1.4e9}}) is True
    assert device_state.clock_below_request(1980.0, 1400.0, {"sm_clock": {"hz": 1.98e9}}) is False
    assert device_state.clock_below_request(None, 1400.0, {}) is None


def test_a_device_without_sensors_keeps_nothing_and_says_nothing():
    """No identifier, no NVML: everything is unknown."""
    from harness.devices.cpu import CpuDevice

    state = device_state.DeviceState(CpuDevice())
    state.note_processes()
    found = state.evidence(Conditions(), {}, {}, {1})
    assert {value for key, value in found.items() if key != "clock_states"} == {None}
    json.dumps(found)


@pytest.mark.parametrize(("losses", "named"), [([0.0, 0.0], ["loss.first", "loss.last"]), ([0.0, 1e-9], [])])
def test_losses_that_are_all_zero_are_named_and_void(make_record, losses, named):
    """A loss that is zero throughout is no training; one that is not zero once is a loss."""

    class Timed:
        durations_ns = np.array([1, 2])

    found = all_zero(Timed(), losses)
    assert found == {"all_zero": named}
    verdict = judge(make_record({"loss.last": 0.0}, evidence=found))["loss.last"]
    assert verdict == (("invalid", ("all_zero",)) if named else ("valid", ()))
