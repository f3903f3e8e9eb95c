"""The watch over a trial's span: the SMs' clock and its verdict, or the reason why there is none."""

from __future__ import annotations

import time

import pytest

from harness.devices.cuda_watch import SmWatch


def watched(library):
    """Watch a span of some milliseconds after a warm-up as long."""
    watch = SmWatch(0, library)
    time.sleep(0.005)
    with watch:
        time.sleep(0.005)
    return watch


def test_the_clock_of_the_span_is_held_against_the_warm_ups(library, standin):
    """The stand-in runs at 1.5 GHz throughout: no drop, every SM seen, the host's cost beside it."""
    found = watched(library).evidence()
    clock = found["sm_clock"]
    assert clock["hz"] == pytest.approx(1.5e9, rel=0.01)
    assert clock["reference"] == "warm-up"
    assert clock["drop"] == pytest.approx(0, abs=0.02)
    assert clock["sms"] == 4
    assert clock["host_ns"] > 0
    assert found["sm_throttled"] is False
    assert standin.standin_used() == 0


def test_a_soaks_clock_is_the_reference_where_there_is_one(library, standin):
    """Against 1.6 GHz a clock of 1.5 GHz is 6 % down, and the alarm sounds."""
    found = watched(library).evidence(soak_hz=1.6e9)
    assert found["sm_clock"]["reference"] == "soak"
    assert found["sm_clock"]["drop"] == pytest.approx(1 / 16, abs=0.01)
    assert found["sm_throttled"] is True


def test_without_a_driver_the_reason_is_kept(standin):
    """The span runs all the same, and nothing is said of throttling."""
    found = watched("libcuda-absent.so.1").evidence()
    assert found == {"sm_clock": {"reason": "no NVIDIA driver: libcuda-absent.so.1 is not installed"}}


def test_a_stamp_that_fails_in_the_span_is_a_reason(library, standin):
    """A launch error does not reach the trial."""
    watch = SmWatch(0, library)
    standin.standin_fail(b"cuLaunchKernelEx", 719)
    with watch:
        pass
    standin.standin_fail(b"cuLaunchKernelEx", 0)
    assert "CUDA_ERROR_LAUNCH_FAILED" in watch.evidence()["sm_clock"]["reason"]
