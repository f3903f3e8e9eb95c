"""What the device's states say over a span, from samples that are known."""

from __future__ import annotations

from array import array

import numpy as np
import pytest

from harness.energy.estimation import device_states
from harness.energy.sampling.trace import Samples
from harness.energy.sensors.base import SensorInfo

SPAN = (100, 500)
HEAT, POWER_CAP, IDLE = 0x40, 0x4, 0x1


def samples(kind, rows) -> Samples:
    """Return one sensor's reads: (time, value, status)."""
    columns = zip(*[(t, t + 1, v, s) for t, v, s in rows], strict=True)
    info = SensorInfo("nvml", "0", "GPU", kind, "gpu")
    return Samples(info, *(array(code, column) for code, column in zip("qqdi", columns, strict=True)))


def test_a_state_is_told_by_its_ends_and_its_extremes():
    """Within the span alone, and of reads that succeeded."""
    trace = [
        samples(
            "temperature", [(50, 90.0, 0), (100, 40.0, 0), (200, 55.0, 0), (300, 0.0, 15), (400, 50.0, 0)]
        )
    ]
    found = device_states.states(trace, SPAN)
    assert found == {"nvml:0:gpu:temperature": {"first": 40.0, "last": 50.0, "least": 40.0, "most": 55.0}}
    assert device_states.slowed(found) is None, "a temperature alone shows no slowdown"


def test_power_is_no_state_and_silence_is_none():
    """Nor is a sensor whose reads all failed."""
    trace = [samples("instant", [(200, 300.0, 0)]), samples("clock", [(200, 0.0, 3)])]
    assert device_states.states(trace, SPAN) == {}


@pytest.mark.parametrize(
    ("bits", "slowed", "any_slowed"),
    [
        ([0, 0, 0, 0], 0.0, False),
        ([POWER_CAP, POWER_CAP, IDLE, 0], 0.0, False),
        ([HEAT, 0, POWER_CAP | HEAT, 0], 0.5, True),
    ],
)
def test_heat_slows_a_device_and_a_power_cap_is_normal(bits, slowed, any_slowed):
    """Shares are of the samples; one sample with two reasons counts for both."""
    trace = [samples("events", [(100 + 100 * i, float(b), 0) for i, b in enumerate(bits)])]
    found = device_states.states(trace, SPAN)
    (state,) = found.values()
    assert state["slowed"] == slowed
    assert device_states.slowed(found) is any_slowed
    assert all(0 < share <= 1 for share in state["share"].values())
    assert bool(state["share"]) == any(bits)


def test_a_trace_is_one_table_in_order_of_time():
    """Reads of every sensor and the iterations between their edges; a failed read has no value."""
    trace = [
        samples("instant", [(100, 300.0, 0), (300, 0.0, 15)]),
        samples("temperature", [(200, 40.0, 0)]),
    ]
    table = device_states.columns(trace, (np.array([150, 250, 350]), 4))
    assert table["t0_ns"].tolist() == [100, 150, 200, 250, 300]
    assert table["t1_ns"].tolist() == [101, 250, 201, 350, 301]
    assert table["series"].tolist() == [
        *("nvml:0:gpu:instant", "iteration", "nvml:0:gpu:temperature", "iteration", "nvml:0:gpu:instant"),
    ]
    assert table["unit"][:3].tolist() == ["W", "1", "degC"]
    np.testing.assert_array_equal(table["value"], [300.0, 4.0, 40.0, 4.0, np.nan])
    assert table["status"].tolist() == [0, 0, 0, 0, 15]
    assert table["status"].dtype == np.int32
