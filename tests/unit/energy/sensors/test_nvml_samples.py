"""The driver's own power samples and performance counters, through the real bindings and the stand-in."""

from __future__ import annotations

import pytest

NO_PERMISSION = 4
WORK = """
w = energy.window("nvml", guard_s=0.1, sample_hz={hz})
with w:
    start = time.perf_counter_ns()
    set_power(400)
    {during}
    time.sleep(0.4)
    set_power(150)
    time.sleep(0.4)
    end = time.perf_counter_ns()
    set_power(60)
r = w.result
d, = r.devices
trace = next((s for s in r.trace if s.sensor.kind == "buffered"), None)
held = None
if trace is not None:
    from harness.energy.estimation.estimate import gauge_energy
    held = gauge_energy(trace.sensor, trace, (start, end)).joules
print(json.dumps(dict(
    held=held, truth=truth((start, end)), trace=d.power_trace, missing=dict(d.missing), peak=r.peak_w,
    flags=r.flags, joules=r.joules, unique=trace is not None and len(set(trace.t0_ns)) == len(trace.t0_ns),
    activity=r.evidence()["devices"][0]["activity"])))
"""
IDLE = "hold 0 60\n"


def work(play, script, hz=100.0, during="", **more):
    """Meter 0.4 s at 400 W and 0.4 s at 150 W."""
    return play(IDLE + script, WORK.format(hz=hz, during=during), **more)


def test_the_drivers_own_samples_are_the_power_trace(play):
    """Each sample once, at its own time: held, they give the truth, although they are fetched rarely."""
    got = work(play, "samples 0.01 80\n", hz=20.0)
    assert got["trace"].endswith(":gpu:buffered")
    assert got["missing"] == {}
    assert got["unique"]
    assert got["held"] == pytest.approx(got["truth"], rel=0.03)
    assert got["peak"] == pytest.approx(400, rel=0.01)


@pytest.mark.parametrize(
    ("script", "options", "reason"),
    [
        ("", {}, "Not Supported"),
        (
            f"samples 0.01 80\nerror -1e9 1e9 {NO_PERMISSION} nvmlDeviceGetSamples\n",
            {},
            "Insufficient Permissions",
        ),
        ("samples 0.01 4\n", {"hz": 5.0}, "a gap in the power samples"),
        (
            "samples 0.01 80\n",
            {"during": "direct('error 0 1e9 15 nvmlDeviceGetSamples')"},
            "the sensor failed during the span",
        ),
    ],
)
def test_where_the_drivers_samples_are_not_whole_polled_power_stands_in_and_the_reason_is_kept(
    play, script, options, reason
):
    """Not supported, not permitted, a short buffer, an error in the middle: there is energy all the same."""
    got = work(play, script, **options)
    assert got["trace"].endswith(":gpu:instant")
    assert reason in got["missing"]["buffered"]
    assert got["joules"] == pytest.approx(got["truth"], rel=0.05)


def test_another_process_does_not_take_the_drivers_samples(play):
    """Where there is no compiler the trace is what was polled, and the reason says why."""
    got = work(play, "samples 0.01 80\n", env={"CC": "none", "XDG_CACHE_HOME": "/nowhere"})
    assert got["trace"].endswith(":gpu:instant")
    assert "the native sampler" in got["missing"]["buffered"]


def test_performance_counters_cover_the_span_alone(play):
    """In the stand-in they follow mean power: 275 W over the span, 60 W around it; the rest is said."""
    got = work(play, "gpm 2 0.2\ngpm 5 0.1\n")
    mean_w = got["truth"] / 0.8
    assert got["activity"]["percent"]["sm"] == pytest.approx(0.2 * mean_w, rel=0.05)
    assert got["activity"]["percent"]["tensor"] == pytest.approx(0.1 * mean_w, rel=0.05)
    assert got["activity"]["missing"]["dram"] == "Not Supported"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("", "this GPU has no GPM"),
        ("missing nvmlGpmQueryDeviceSupport\n", "Function Not Found"),
        (f"gpm 2 0.2\nerror -1e9 1e9 {NO_PERMISSION} nvmlGpmSampleGet\n", "Insufficient Permissions"),
        (f"gpm 2 0.2\nerror -1e9 1e9 {NO_PERMISSION} nvmlGpmMetricsGet\n", "Insufficient Permissions"),
    ],
)
def test_counters_that_may_not_be_read_are_missing_with_their_reason(play, script, reason):
    """Energy is there all the same, and no percentage is 0 that was not read."""
    got = play(
        IDLE + script,
        'w = energy.window("nvml", guard_s=0)\nwith w: time.sleep(0.05)\n'
        'print(json.dumps(w.result.evidence()["devices"][0]["activity"]))',
    )
    assert got["percent"] == {}
    assert reason in got["missing"]["gpm"]
