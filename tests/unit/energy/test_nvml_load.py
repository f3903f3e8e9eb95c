"""A probe with a load that is switched on and off: lag and blind spots, learnt once from the stand-in."""

from __future__ import annotations

import importlib.util
from contextlib import nullcontext
from pathlib import Path

import pytest

from harness.energy.probe_cache import fitted

_PATH = Path(__file__).parents[2] / "standins" / "virtual.py"
_SPEC = importlib.util.spec_from_file_location("virtual_sensor_load", _PATH)
virtual = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(virtual)
PROBE = """
from contextlib import contextmanager
from harness.energy import doctor
made = []
@contextmanager
def load_of(meter):
    made.append(meter.device)
    yield lambda on: set_power(500 if on else 60)
rows = []
for _ in range(2):
    (found,) = [s for s in doctor.sensor_statuses(load_of) if s.name == "nvml"]
    rows.append(next(s for s in found.sensors if s["kind"] == "counter"))
window = energy.window("nvml", load_of=load_of)
with window:
    time.sleep(0.05)
print(json.dumps([*rows, len(made), doctor.describe(rows[0]), window.result.devices[0].sensors[0].lag_s]))
"""


@pytest.mark.parametrize(
    ("counter", "lag_s", "aliases"), [("0.02 0.03 1", 0.03, False), ("0.02 0 1 0.005", None, True)]
)
def test_a_load_shows_lag_and_blind_spots_once(play, counter, lag_s, aliases):
    """Doctor probes with the load, the second time and windows read the cache; the facts are the script's."""
    got = play(f"driver load.{aliases}\nhold 0 60\ncounter {counter}\n", PROBE)
    first, second, loads, line, known_s = got
    assert first == second
    assert loads == 1
    assert first["aliases"] is aliases
    assert known_s == first["lag_s"]
    if lag_s is not None:
        assert first["lag_s"] == pytest.approx(lag_s, abs=0.006)
        assert "lag 3" in line or "lag 2" in line
    else:
        assert first["averaging_window_s"] == pytest.approx(0.005, abs=0.005)
        assert "of each period only" in line


def test_a_device_that_cannot_be_loaded_is_probed_without_and_again_once_it_can(tmp_path, monkeypatch):
    """Period and quantum are known at once, the lag as soon as there is a load."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    wave = virtual.Waveform(60)
    meter = virtual.VirtualMeter(wave, period=0.02, lag=0.03)
    none = fitted(meter, meter.sensors[0], meter.host, load_of=lambda _: nullcontext())
    switch = nullcontext(lambda on: wave.to(meter.now, 500 if on else 60))
    some = fitted(meter, meter.sensors[0], meter.host, load_of=lambda _: switch)
    spent = meter.now
    assert fitted(meter, meter.sensors[0], meter.host, load_of=lambda _: switch) == some
    assert meter.now == spent
    assert none.update_period_s == pytest.approx(0.02, rel=0.02)
    assert none.lag_s is None
    assert some.lag_s == pytest.approx(0.03, abs=0.003)
