"""The soak in scripted time and at scripted temperatures: when it ends, and what it then knows."""

from __future__ import annotations

import pytest

from harness.timing import Conditions, SoakSettings, soak

MS = 1_000_000
SETTINGS = SoakSettings(window_s=15.0, cap_s=240.0, tolerance=0.001, celsius_per_minute=1.0)


@pytest.fixture
def warm(clock, accelerator, stream):
    """Soak work whose iteration takes `length(seconds)` at conditions `conditions(seconds)`."""
    began = clock.now

    def seconds():
        return (clock.now - began) / 1e9

    def run(length, conditions=lambda _s: Conditions(), settings=SETTINGS):
        return soak(
            lambda _i, _m: stream.launch(round(length(seconds()) * MS)),
            device=accelerator,
            settings=settings,
            read=lambda: conditions(seconds()),
            clock=clock,
        )

    return run


def test_a_device_that_stands_still_is_steady_after_two_windows(warm):
    """Constant speed, no sensor: the first two windows agree, and no third is run."""
    found = warm(lambda _s: 10.0)
    assert found.steady
    assert len(found.windows) == 2
    assert found.seconds == pytest.approx(30.0, abs=0.3)
    assert found.last.iteration_ns == pytest.approx(10 * MS, rel=1e-3)


def test_a_ramp_is_waited_for(warm):
    """Clocks that fall for 100 s and then hold: the last window is free of the ramp."""
    found = warm(lambda s: 10.0 + 0.02 * min(s, 100.0))
    assert found.steady
    assert len(found.windows) == 9  # the eighth and ninth are the first two that lie behind 100 s, or agree
    assert found.last.iteration_ns == pytest.approx(12 * MS, rel=1e-3)


def test_speed_that_never_settles_ends_at_the_cap_not_steady(warm):
    """0.2 % slower each window: 240 s pass, and the result says that it is not steady."""
    found = warm(lambda s: 10.0 * 1.002 ** (s // 15))
    assert not found.steady
    assert len(found.windows) == 16
    assert found.seconds == pytest.approx(240.0, abs=2.0)


@pytest.mark.parametrize(("per_minute", "windows"), [(0.9, 2), (1.1, 16)])
def test_temperature_must_stand_still_too(warm, per_minute, windows):
    """Constant speed while it warms by 0.9 °C a minute is steady, by 1.1 °C it is not."""
    found = warm(lambda _s: 10.0, lambda s: Conditions(temperature_c=40.0 + per_minute * s / 60))
    assert len(found.windows) == windows
    assert found.steady == (windows == 2)


def test_a_thermal_slowdown_is_not_steady_and_a_power_cap_is(warm):
    """A slowdown of the hardware for 60 s delays the end; running at the power cap does not."""
    slow = Conditions(slowdowns=("hardware_thermal_slowdown",))
    capped = Conditions(states=("software_power_cap",))
    assert len(warm(lambda _s: 10.0, lambda s: slow if s < 62 else capped).windows) == 5
    assert len(warm(lambda _s: 10.0, lambda _s: capped).windows) == 2


def test_conditions_are_read_while_work_is_queued(warm, clock, stream):
    """The clock of an idle device says nothing: at each reading the device is still busy."""
    busy = []

    def conditions(_seconds):
        busy.append(stream.done_ns > clock.now)
        return Conditions(clock_mhz=1755.0)

    found = warm(lambda _s: 10.0, conditions)
    assert busy
    assert all(busy)
    assert found.last.conditions.clock_mhz == 1755.0


def test_the_host_never_queues_more_than_a_moment(warm, log):
    """The device is waited for about ten times per second, however short the work."""
    found = warm(lambda _s: 1.0, settings=SoakSettings(1.0, 10.0))
    assert log.count("synchronize") == pytest.approx(10 * found.seconds, rel=0.15)


def test_an_iteration_longer_than_a_window_fills_it_alone(warm):
    """Work of 20 s an iteration: a window holds one, and two equal ones are steady."""
    found = warm(lambda _s: 20_000.0)
    assert found.steady
    assert [round(w.iteration_ns / 1e9) for w in found.windows] == [20, 20]
