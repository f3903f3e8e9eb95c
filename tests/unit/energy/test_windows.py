"""The library call, the registry, and what a machine without sensors is told."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

import harness.energy
from harness.energy.sampling.ticks import Host
from harness.energy.sensors import registry
from harness.energy.sensors.base import PowerMeter, Reading, SensorError, SensorInfo
from harness.energy.windows import Window

INFO = SensorInfo("scripted", "0", "Scripted", "counter", "gpu", update_period_s=0.01, gain_uncertainty=0.0)


class Scripted(PowerMeter):
    """Counts what it is told, on a clock that it is given."""

    source = "scripted"

    def __init__(self, joules: list[float | None], clock: list[int]) -> None:
        self.device, self.sensors, self.closed = "0", (INFO,), False
        self._joules, self._clock = joules, clock

    @classmethod
    def discover(cls):
        """Return the one sensor."""
        return (INFO,)

    @classmethod
    def open(cls, device):
        """Open a meter that counts 1 J."""
        return cls([0.0, 1.0], [0])

    def read(self, sensor):
        """Read the next value; None is a failure."""
        joules = self._joules.pop(0)
        if joules is None:
            raise SensorError("unplugged")
        return Reading(self._clock[0], self._clock[0], energy_j=joules)

    def close(self):
        """Note that it was closed."""
        self.closed = True


@pytest.fixture(autouse=True)
def no_plugins(monkeypatch):
    """Each test sees its own plugins."""
    registry.SENSORS.__dict__.pop("_plugins", None)
    yield
    monkeypatch.undo()
    registry.SENSORS.__dict__.pop("_plugins", None)


def plug_in(monkeypatch, **values):
    """Install plugins: entry-point name and value."""
    points = [EntryPoint(name, value, registry.GROUP) for name, value in values.items()]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points)


def test_a_scripted_sensor_and_clock_give_the_exact_answer():
    """200 J in 2 s are 200 J and 100 W, and the meter is closed."""
    clock = [0]
    meter = Scripted([1000.0, 1200.0], clock)
    with Window([meter], None, 0.0, host=Host(lambda: clock[0])) as w:
        with pytest.raises(RuntimeError, match="after its block"):
            _ = w.result
        clock[0] += 2 * 10**9
    assert (w.result.joules, w.result.mean_w, w.result.span_s) == (200.0, 100.0, 2.0)
    assert meter.closed


@pytest.mark.parametrize("readings", [[None, 1200.0], [1000.0, None]])
def test_a_sensor_that_fails_at_an_edge_gives_its_reason(readings):
    """Neither edge may be missing."""
    clock = [0]
    with Window([Scripted(readings, clock)], None, 0.0, host=Host(lambda: clock[0])) as w:
        clock[0] += 10**9
    assert w.result.joules is None
    assert w.result.reason == "unplugged"
    assert w.result.flags == ("sensor_error",)


def test_an_exception_in_the_block_passes_and_closes_the_meter():
    """The window hides nothing."""
    meter = Scripted([0.0, 1.0], [0])
    with pytest.raises(ZeroDivisionError), Window([meter], None, 0.0):
        _ = 1 / 0
    assert meter.closed


def test_several_devices_add_their_uncertainties_in_squares_and_their_gains_plainly():
    """Like sensors may be off together."""
    clock = [0]
    meters = [Scripted([0.0, 300.0], clock), Scripted([0.0, 400.0], clock)]
    with Window(meters, None, 0.0, host=Host(lambda: clock[0])) as w:
        clock[0] += 10**9
    first, second = (d.u_joules for d in w.result.devices)
    assert w.result.joules == 700.0
    assert w.result.u_joules == pytest.approx((first**2 + second**2) ** 0.5)
    assert w.result.u_absolute_joules == pytest.approx(w.result.u_joules)


def test_asking_for_none_measures_nothing():
    """`none` has its own reason."""
    with harness.energy.window("none") as w:
        pass
    assert w.result.joules is None
    assert w.result.reason == "sensor=none measures no energy"


def test_a_device_kind_without_any_sensor_says_so():
    """Nothing is estimated for a device that nobody can meter."""
    with harness.energy.window(device_kind="abacus") as w:
        pass
    assert w.result.joules is None
    assert w.result.reason == "no sensor: none is known for the device kind abacus"


def test_an_unknown_sensor_names_the_nearest():
    """A typing error is an error, not a machine without sensors."""
    with pytest.raises(harness.energy.UnknownSensor, match="did you mean nvml"):
        harness.energy.window("nvlm")


def test_a_plugin_is_found_by_its_entry_point(monkeypatch):
    """A third party's meter is opened by its name."""
    monkeypatch.setitem(sys.modules, "their_meter", sys.modules[__name__])
    plug_in(monkeypatch, theirs="their_meter:Scripted")
    assert "theirs" in registry.names()
    (meter,) = registry.resolve("theirs")
    assert isinstance(meter, Scripted)


def test_broken_plugins_disable_themselves_alone(monkeypatch):
    """A plugin that does not import, is no meter or takes a name is reported; the others go on."""
    plug_in(monkeypatch, gone="no_such_module:Meter", wrong="json:dumps", rapl="json:JSONDecoder")
    assert set(registry.broken()) == {"gone", "wrong", "rapl"}
    assert registry.names() == list(registry.BUILT_IN)
    with pytest.raises(harness.energy.UnknownSensor, match="gone disabled itself"):
        registry.get("gone")


def test_importing_energy_loads_nothing_heavy():
    """No torch, no numpy, no bindings, no subprocess before a sensor is wanted."""
    code = "import sys, harness.energy; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"torch", "numpy", "pynvml", "subprocess", "ctypes", "importlib.metadata"} & set(loaded)
