"""A probe with a load that is switched on and off: lag and blind spots, learnt once from the stand-in."""

from __future__ import annotations

import json
from contextlib import nullcontext
from functools import partial

import pytest
from standins import virtual

from harness.energy.probing.cache import cached, fitted, probed
from harness.energy.probing.probe import probe_counter

PROBE = """
import json
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
loads = len(made)
window = energy.window("nvml", load_of=load_of)
with window:
    time.sleep(0.05)
print(json.dumps([*rows, loads, doctor.describe(rows[0]), window.result.devices[0].sensors[0].lag_s]))
"""


def test_a_load_is_put_on_once_and_its_probe_is_kept(play):
    """Doctor probes with the load; the second time its facts come from the cache, and windows know them."""
    first, second, loads, line, known_s = play("driver load\nhold 0 60\ncounter 0.02 0.03 1\n", PROBE)
    assert first == second
    assert loads == 1
    assert first["lag_s"] is not None
    assert first["aliases"] is not None
    assert known_s is not None
    assert "lag unknown" not in line


def test_pulses_in_which_this_process_was_held_up_are_tried_again(tmp_path, monkeypatch):
    """One pulse in five is seen 8 ms late: the counter is not taken for one that looks now and then."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    wave, pulses = virtual.Waveform(60), []
    meter = virtual.VirtualMeter(wave, period=0.02, lag=0.03)

    def load(on):
        wave.to(meter.now, 500 if on else 60)
        pulses.append(on)
        meter.now += 0.008 if on and len(pulses) // 2 % 5 == 2 else 0.0

    found = probe_counter(partial(meter.read, meter.sensors[0]), meter.sensors[0], load=load, host=meter.host)
    assert found.aliases is False
    assert found.lag_s == pytest.approx(0.03, abs=0.002)


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


def test_a_probe_finds_what_the_counter_is():
    """Period, quantum, read cost and lag as made; polling is harmless, and it looks all the time."""
    wave = virtual.Waveform(60)
    wave.to(0.3, 61.7)
    meter = virtual.VirtualMeter(wave, lag=0.07, quantum=0.25, read_s=30e-6)
    found = probe_counter(
        partial(meter.read, meter.sensors[0]), meter.sensors[0], host=meter.host,
        load=lambda on: wave.to(meter.now, 400 if on else 63.1),
    )  # fmt: skip
    assert found.update_period_s == pytest.approx(0.1, rel=0.01)
    assert found.read_cost_s == pytest.approx(30e-6, rel=0.01)
    assert found.lag_s == pytest.approx(0.07, abs=0.003)
    assert (found.poll_disturbs, found.aliases) == (False, False)


def test_a_probe_sees_a_counter_that_looks_part_of_the_time():
    """25 ms of each 100: the lag differs from pulse to pulse."""
    wave = virtual.Waveform(60)
    meter = virtual.VirtualMeter(wave, window=0.025)
    found = probe_counter(
        partial(meter.read, meter.sensors[0]), meter.sensors[0], host=meter.host,
        load=lambda on: wave.to(meter.now, 400 if on else 60),
    )  # fmt: skip
    assert found.aliases is True
    assert found.averaging_window_s == pytest.approx(0.025, abs=0.015)


def test_a_torn_cache_is_no_probe(tmp_path, monkeypatch):
    """Whatever stands in the file, a probe comes of it or nothing."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    meter = virtual.VirtualMeter(virtual.Waveform(60))
    probed(meter, meter.sensors[0], host=meter.host)
    (file,) = (tmp_path / "joulemark" / "sensors").iterdir()
    wrong = json.dumps({**json.loads(file.read_text()), "read_cost_s": "x"})
    for text in ("", "{", "[]", '{"update_period_s": 1}', wrong, "null"):
        file.write_text(text)
        assert cached(meter, meter.sensors[0]) is None
