"""The table of docs/energy.md: what each source does with each fault, a test a cell."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.energy.estimation.counter import counted
from harness.energy.estimation.estimate import counter_energy, gauge_energy
from harness.energy.sampling.trace import IMPLAUSIBLE, ROW, Samples, unpack
from harness.energy.sensors.base import Reading, SensorError, SensorInfo
from harness.energy.sensors.nvml_buffer import PowerBuffer

PAGE = Path(__file__).parents[4] / "docs" / "energy.md"
S = 10**9
SENSORS = {
    "nvml": SensorInfo("nvml", "GPU-1", "GPU", "instant", "gpu", 1e-3, rated_w=700.0),
    "rapl": SensorInfo("rapl", "intel-rapl:0", "package-0", "counter", "package", wrap_j=262_143.0),
    "amdsmi": SensorInfo("amdsmi", "u", "GPU", "instant", "gpu", 1.0, rated_w=750.0),
    "hwmon": SensorInfo("hwmon", "hwmon0:power1", "power1", "average", "node", 1e-6),
    "ipmi": SensorInfo("ipmi", "local", "node", "instant", "node", 1.0, update_period_s=1.0),
    "redfish": SensorInfo("redfish", "1", "node", "instant", "node", 1.0, rated_w=1600.0),
    "meter": SensorInfo("meter", "file:/x", "plug", "instant", "node"),
}
ERROR = {
    "nvml": 4294967.295,
    "amdsmi": 65535.0,
    "hwmon": 4294967.295,
    "ipmi": 65535.0,
    "redfish": 65535.0,
    "meter": -1.0,
}
OVER = {"nvml": 2200.0, "amdsmi": 2300.0, "hwmon": 1.2e5, "ipmi": 1.1e5, "redfish": 5000.0, "meter": 1.5e5}


def cells() -> list[tuple[str, str, str]]:
    """Return source, fault and outcome of each cell."""
    lines = PAGE.read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("| source | zero |"))
    faults = [c.strip() for c in lines[start].strip("|").split("|")][1:]
    found = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            return found
        source, *outcomes = (c.strip() for c in line.strip("|").split("|"))
        found += [(source, fault, outcome) for fault, outcome in zip(faults, outcomes, strict=True)]
    return found


def trace(sensor: SensorInfo, bad: float, every: int) -> Samples:
    """Return ten seconds of 300 W or so, each `every`-th sample being the bad one, as a sampler leaves it."""
    rows = b"".join(
        ROW.pack(n * S // 10, n * S // 10, bad if every and n % every == every - 1 else 300.0 + n % 2, 0, 0)
        for n in range(101)
    )
    return unpack(rows, (sensor,))[0]


def counter(values: list[float]) -> list[Reading]:
    """Return reads a tenth of a second apart."""
    return [Reading(n * S // 10, n * S // 10, energy_j=v) for n, v in enumerate(values)]


STEADY = [1000.0 + 30.0 * n for n in range(12)]


@pytest.mark.parametrize(("source", "fault"), [c[:2] for c in cells() if c[2] == "gap" and c[0] != "rapl"])
def test_a_gap_is_bridged_or_void_but_never_a_number(source, fault):
    """Each third sample bad: the mean of the good ones; all of a second bad: no energy."""
    sensor = SENSORS[source]
    bad = {"zero": 0.0, "error value": ERROR[source], "ceiling": OVER[source]}[fault]
    got = gauge_energy(sensor, trace(sensor, bad, 3), (S, 9 * S))
    assert got.joules == pytest.approx(8 * 300.5, rel=0.01)
    assert trace(sensor, bad, 3).doubted
    nothing = gauge_energy(sensor, trace(sensor, bad, 1), (S, 9 * S))
    assert (nothing.joules, nothing.flags) == (None, ("sample_gap",))
    assert "cannot be" in nothing.reason


@pytest.mark.parametrize(
    ("fault", "values", "flag"),
    [
        ("zero", [1000.0] * 12, "counter_still"),
        ("ceiling", [*STEADY[:6], *(v + 9000.0 for v in STEADY[6:])], "counter_jumped"),
        ("reset", [*STEADY[:6], *(5.0 + 30.0 * n for n in range(6))], "counter_reset"),
        (
            "reset",
            [*(v + 250_000.0 for v in STEADY[:6]), *(5.0 + 30.0 * n for n in range(6))],
            "counter_reset",
        ),
    ],
)
def test_a_counter_that_cannot_be_believed_is_void(fault, values, flag):
    """RAPL: still, jumping, set back; near the top of its range too."""
    assert counted(SENSORS["rapl"], counter(values)) == (None, flag)
    assert (("rapl", fault, "void")) in cells()


def test_a_counters_error_value_is_a_gap():
    """All bits set once: that read is left out, and the difference of the others stands."""
    sensor = SENSORS["rapl"]
    values = [*STEADY[:5], 1.8e13, *STEADY[6:]]
    rows = b"".join(ROW.pack(n * S // 10, n * S // 10, v, 0, 0) for n, v in enumerate(values))
    samples = unpack(rows, (sensor,))[0]
    assert samples.status[5] == IMPLAUSIBLE
    assert counted(sensor, samples.readings())[0] == pytest.approx(330.0)


@pytest.mark.parametrize("apart_s", [0.01, 0.1, 1.0, 10.0])
def test_a_wrap_is_told_from_a_reset_at_every_rate(apart_s):
    """60 W over the range's end are counted; the same counter set back from 200 kJ is void."""
    sensor = SENSORS["rapl"]
    reads = lambda values: [
        Reading(round(n * apart_s * S), round(n * apart_s * S), v) for n, v in enumerate(values)
    ]
    step = 60.0 * apart_s
    wrapped = [(262_000.0 + n * step) % 262_143.0 for n in range(round(300 / step) + 8)][-40:]
    if len(wrapped) > 6:
        total = counted(sensor, reads(wrapped))[0]
        assert total == pytest.approx((len(wrapped) - 1) * step)
    set_back = [200_000.0 + n * step for n in range(8)] + [n * step for n in range(8)]
    assert counted(sensor, reads(set_back)) == (None, "counter_reset")


def test_reads_an_hour_apart_cannot_tell_how_often_it_wrapped():
    """262 kJ are a minute and a half at most: void, not one wrap."""
    reads = [Reading(0, 0, 1000.0), Reading(3600 * S, 3600 * S, 2000.0)]
    assert counted(SENSORS["rapl"], reads) == (None, "wrap_unknown")


@pytest.mark.parametrize("source", ["nvml", "rapl", "amdsmi", "hwmon"])
@pytest.mark.parametrize("fault", ["reset", "stale"])
def test_a_counter_set_back_or_standing_still_is_void(source, fault):
    """Each source's counter, with or without a range."""
    wrap = 262_143.0 if source == "rapl" else None
    sensor = replace(SENSORS[source], kind="counter", quantum=None, wrap_j=wrap, update_period_s=0.1)
    values = [*STEADY[:6], 5.0, 35.0, 65.0] if fault == "reset" else [*STEADY[:4], *[STEADY[4]] * 9]
    got = counter_energy(sensor, counter(values), (0, (len(values) - 1) * S // 10))
    assert got.joules is None
    assert {"reset": "counter_reset", "stale": "sensor_stuck"}[fault] in got.flags
    assert (source, fault, "void") in cells()


@pytest.mark.parametrize("ahead_s", [0, 9 * 3600, -9 * 3600])
def test_samples_with_times_of_no_clock_are_refused(ahead_s):
    """NVML's own samples, stamped in another zone: no samples, with the reason."""
    at_us = int((time.time() + ahead_s) * 1e6)
    nvml = SimpleNamespace(
        NVMLError=OSError,
        NVML_TOTAL_POWER_SAMPLES=0,
        nvmlDeviceGetSamples=lambda *_: (1, [SimpleNamespace(timeStamp=at_us)]),
    )
    if ahead_s == 0:
        assert PowerBuffer(nvml, None).clock == time.CLOCK_REALTIME
        return
    with pytest.raises(SensorError, match="no clock of this machine"):
        PowerBuffer(nvml, None)


def test_every_other_cell_has_its_test():
    """Siblings, zones and stale logs are tested where their sources are; the rest of the table is above."""
    here = Path(__file__).parent
    elsewhere = {
        ("missing sibling", "void"): (
            "test_siblings.py",
            "test_a_sibling_that_cannot_be_read_leaves_no_total",
        ),
        ("missing sibling", "named"): ("test_siblings.py", "test_other_chassis_are_listed"),
        ("zone", "refused"): ("test_gate_table.py", "test_samples_with_times_of_no_clock_are_refused"),
        ("zone", "said"): ("test_power_log.py", "test_a_time_without_a_zone_is_this_machines"),
        ("stale", "void"): ("test_power_log.py", "test_a_tool_without_times_is_as_old_as_its_file"),
    }
    for _, fault, outcome in cells():
        if (fault, outcome) in elsewhere:
            file, word = elsewhere[fault, outcome]
            assert word in (here / file).read_text(), (fault, outcome)
        else:
            assert outcome in {"—", "gap", "void"}
    assert {source for source, _, _ in cells()} == set(SENSORS)
