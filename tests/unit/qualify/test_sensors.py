"""The energy sensor's checks: what each says, with and without a sensor."""

from types import SimpleNamespace

import pytest

from harness.energy.probing.probe import Probe
from harness.energy.sensors.base import SensorInfo
from harness.energy.sensors.none import NullMeter
from harness.qualify import sensors

IDS = ["energy.period", "energy.poll", "energy.lag", "energy.alias", "energy.agreement"]


def info(kind):
    """One sensor of a scripted device."""
    return SensorInfo("scripted", "0", "a device", kind, "gpu")


def result(joules, flags=(), kinds=("counter", "instant"), reason=None):
    """What a window found."""
    device = SimpleNamespace(sensors=tuple(info(kind) for kind in kinds))
    return SimpleNamespace(devices=(device,), joules=joules, flags=flags, reason=reason)


def test_without_a_sensor_every_check_says_why(monkeypatch):
    """No sensor: nothing passes, nothing fails, and the reason stands in each line."""
    monkeypatch.setattr(sensors.energy, "resolve", lambda *_: (NullMeter("all", "no sensor here"),))
    found = list(sensors.checks("cpu", None, lambda on: None, quick=True))
    assert [c.id for c in found] == IDS
    assert {(c.status, c.reason) for c in found} == {("not available", "no sensor here")}


@pytest.mark.parametrize(
    ("probe", "statuses"),
    [
        (Probe(0.1, 0.001, 1e-5, poll_disturbs=False, lag_s=0.2, aliases=False), ["pass"] * 4),
        (Probe(2.0, 0.001, 1e-5, poll_disturbs=True, lag_s=3.0, aliases=True), ["fail"] * 4),
        (Probe(None, None, 1e-5, poll_disturbs=None), ["not available"] * 4),
    ],
)
def test_a_counter_is_judged_by_what_the_probe_learnt(monkeypatch, probe, statuses):
    """Period and lag by their limits, polling and aliasing by what was seen, unknown as unknown."""
    monkeypatch.setattr(sensors.cache, "probed", lambda *_, **__: probe)
    meter = SimpleNamespace(sensors=(info("counter"),))
    found = list(sensors._counter(meter, lambda on: None, quick=True))
    assert [c.id for c in found] == IDS[:4]
    assert [c.status for c in found] == statuses


def test_the_counter_must_agree_with_the_integral():
    """Agreement passes; a flagged difference fails and names the flag; one sensor alone cannot agree."""
    assert sensors.agreement(result(5.0)).status == "pass"
    apart = sensors.agreement(result(5.0, flags=("sample_gap", "sensors_disagree")))
    assert (apart.status, apart.reason) == ("fail", "sensors_disagree")
    assert sensors.agreement(result(5.0, kinds=("counter",))).status == "not available"
    assert (
        sensors.agreement(result(None, reason="the counter stood still")).reason == "the counter stood still"
    )
