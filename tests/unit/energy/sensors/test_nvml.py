"""NVML through the real bindings, against the stand-in's exact truth."""

from __future__ import annotations

import pytest

from harness.energy.sensors.base import EventTimes

CONSTANT = "hold 1000 250\n"
LOST, NO_PERMISSION = 15, 4
HALF_SECOND = "r, span = meter(0.5, guard_s=0)\nshow(r, truth=truth(span))"
UUID = "GPU-{0}{0}{0}{0}{0}{0}{0}{0}-aaaa-bbbb-cccc-000000000000"
TWO_GPUS = f"""
device {UUID.format(1)} Stand-in A
counter 0.02 0.0 1
hold 1000 100
device {UUID.format(2)} Stand-in B
counter 0.02 0.0 1
hold 1000 300
"""


def test_constant_power_integrates_to_power_times_time(play):
    """Constant power gives P·t within the stated uncertainty, and the gauge's peak is that power."""
    got = play(CONSTANT, HALF_SECOND)
    assert got["method"] == "counter_unaligned"
    assert abs(got["joules"] - got["truth"]) < 3 * got["u_joules"]
    assert got["peak_w"] == pytest.approx(250, rel=1e-6)
    assert got["u_absolute_joules"] == pytest.approx(
        (got["u_joules"] ** 2 + (0.05 * got["joules"]) ** 2) ** 0.5
    )
    assert "gain_uncalibrated" in got["flags"]
    assert got["reason"] is None


def test_guards_measure_idle_power_and_take_it_off(play):
    """With idle guards a burst between them comes out right although the counter only ticks every 20 ms."""
    code = """
w = energy.window("nvml", guard_s=0.3)
with w:
    start = time.perf_counter_ns()
    set_power(400)
    time.sleep(0.1)
    set_power(50)
    end = time.perf_counter_ns()
show(w.result, truth=truth((start, end)))
"""
    got = play("hold 0 50\n", code)
    assert got["method"] == "counter_aligned"
    assert got["idle_w"] == pytest.approx(50, rel=0.2)
    assert abs(got["joules"] - got["truth"]) < 4 * got["u_joules"] + 0.01 * got["truth"]


def test_without_guards_the_same_burst_says_that_its_edges_are_unaligned(play):
    """A short window without guards has a large stated uncertainty, and a flag."""
    got = play("hold 1000 250\ncounter 0.1 0 1\n", HALF_SECOND)
    assert "edges_unaligned" in got["flags"]
    assert got["u_joules"] > 0.1 * 250 * 0.5 / 3


@pytest.mark.parametrize("counter", [True, False])
def test_an_error_in_the_middle_gives_a_flag_and_no_number(play, counter):
    """A lost GPU leaves neither a number nor a zero, whether energy comes from a counter or a gauge."""
    sensors = "counter 0.02 0 1\n" if counter else ""
    script = f"device {UUID.format(1)} A\n{sensors}instant 0.02 0.02\nhold 1000 250\n"
    got = play(script, f"show(disturbed('error {{}} {{}} {LOST} *'))")
    assert got["joules"] is None
    assert got["mean_w"] is None
    assert got["peak_w"] is None
    assert "sensor_error" in got["flags"]
    assert got["reason"]


def test_a_gpu_lost_for_good_is_flagged(play):
    """A GPU that vanishes and stays away gives its reason."""
    got = play(CONSTANT, f"show(disturbed('error {{}} 1e9 {LOST} *'))")
    assert got["joules"] is None
    assert "GPU is lost" in got["reason"]


def test_a_counter_reset_is_flagged(play):
    """A counter that was set back gives no number."""
    got = play(CONSTANT, "show(disturbed('reset {}'))")
    assert got["joules"] is None
    assert "counter_reset" in got["flags"]


def test_a_counter_that_sticks_is_flagged(play):
    """A counter that stands still to the end of the span gives no number."""
    got = play(CONSTANT, "show(disturbed('stuck {} 1e9'))")
    assert got["joules"] is None
    assert "sensor_stuck" in got["flags"]


@pytest.mark.parametrize("device", [UUID.format(2), UUID.format(2).removeprefix("GPU-"), "1", 1])
def test_a_gpu_is_chosen_by_uuid_or_index(play, device):
    """The metered GPU is the named one: its power is 300 W, the other's 100 W."""
    got = play(TWO_GPUS, f"r, span = meter(0.4, devices=[{device!r}])\nshow(r, n=len(r.devices))")
    assert got["n"] == 1
    assert got["mean_w"] == pytest.approx(300, rel=0.15)


def test_several_gpus_are_metered_at_once_and_added(play):
    """Without a name all GPUs are metered; the total is their sum, each stands by itself."""
    code = (
        "r, _ = meter(0.4)\nshow(r, each=[d.joules for d in r.devices], labels=[d.label for d in r.devices])"
    )
    got = play(TWO_GPUS, code)
    assert got["labels"] == ["Stand-in A", "Stand-in B"]
    assert got["joules"] == pytest.approx(sum(got["each"]))
    assert got["each"][1] == pytest.approx(3 * got["each"][0], rel=0.2)


def test_one_missing_gpu_voids_the_total_but_not_the_other(play):
    """A total without all its parts is not a total."""
    code = "r, _ = meter(0.3, devices=[0, 7])\nshow(r, each=[d.joules for d in r.devices])"
    got = play(TWO_GPUS, code)
    assert got["joules"] is None
    assert got["each"][0] > 0
    assert got["each"][1] is None
    assert "GPU 7" in got["reason"]


def test_a_gpu_is_metered_beside_a_cpu_workload(play):
    """`nvml` named explicitly works whatever the work runs on; `auto` keeps to the work's own device."""
    code = """
r, _ = meter(0.2, device_kind="cpu")
show(r, auto=[type(m).__name__ for m in energy.resolve("auto", "cuda", ["0"])])
"""
    got = play(CONSTANT, code)
    assert got["joules"] > 0
    assert got["auto"] == ["NvmlMeter"]


def test_a_driver_that_refuses_is_a_reason_not_a_number(play):
    """No permission at initialisation makes energy unavailable, with what to do."""
    code = "m, = energy.resolve('nvml')\nr, _ = meter(0.01)\nshow(r, remedy=m.remedy)"
    got = play(f"init {NO_PERMISSION}\n", code)
    assert got["joules"] is None
    assert "Insufficient Permissions" in got["reason"]
    assert "/dev/nvidia" in got["remedy"]


def test_no_permission_for_one_function_is_a_reason(play):
    """A GPU whose counter this user may not read is unavailable, not silently read otherwise."""
    got = play(f"{CONSTANT}error -1e9 1e9 {NO_PERMISSION} nvmlDeviceGetTotalEnergyConsumption\n", HALF_SECOND)
    assert got["joules"] is None
    assert "Insufficient Permissions" in got["reason"]


KINDS = "print(json.dumps([[s.kind, s.averaging_window_s] for s in energy.resolve('nvml')[0].sensors]))"


def test_fields_are_checked_one_by_one(play):
    """A field whose own return code is an error is no sensor, although the call as a whole succeeded."""
    got = play(f"{CONSTANT}error -1e9 1e9 3 instant\n", KINDS)
    assert got == [["counter", None], ["average", 1.0]]


@pytest.mark.parametrize("how", ["absent", "refused"])
def test_an_old_driver_is_read_by_its_only_gauge(play, how):
    """Without counter and fields the plain power reading is taken, whose averaging nobody knows."""
    missing = "missing nvmlDeviceGetTotalEnergyConsumption\nmissing nvmlDeviceGetFieldValues\n"
    defines = ("OLD_DRIVER",) if how == "absent" else ()
    script = CONSTANT if how == "absent" else CONSTANT + missing
    got = play(script, KINDS, *defines)
    assert got == [["average", None]]
    got = play(script, HALF_SECOND, *defines)
    assert got["method"] == "gauge_hold"
    assert got["joules"] == pytest.approx(got["truth"], rel=0.02)
    assert "averaged_gauge" in got["flags"]


def test_slow_reads_are_accounted_for(play):
    """A read that takes 30 ms widens the uncertainty instead of shifting the result beyond it."""
    got = play(f"{CONSTANT}slow 0.03\n", HALF_SECOND)
    assert abs(got["joules"] - got["truth"]) < 3 * got["u_joules"]


def test_the_absolute_uncertainty_covers_a_gain_error(play):
    """A sensor that reads 4 % too much stays within twice its absolute uncertainty."""
    got = play(f"{CONSTANT}gain 1.04\n", "r, span = meter(1.5)\nshow(r, truth=truth(span))")
    assert abs(got["joules"] - got["truth"]) < 2 * got["u_absolute_joules"]


def test_the_old_pynvml_package_is_recognised(play, tmp_path):
    """The abandoned package of the same name is named, with the remedy."""
    (tmp_path / "shadow" / "pynvml").mkdir(parents=True)
    (tmp_path / "shadow" / "pynvml" / "__init__.py").write_text("def nvmlInit(): pass\n")
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path / "shadow")!r})
m, = energy.resolve("nvml")
print(json.dumps([m.reason, m.remedy]))
"""
    reason, remedy = play(CONSTANT, code)
    assert "hides nvidia-ml-py" in reason
    assert "pip uninstall -y pynvml" in remedy


def test_the_process_sampler_sees_what_the_native_one_sees(play):
    """Without a compiler another process samples; energy and peak come out the same way."""
    code = """
import time
from harness.energy.sampling.sampler import Sampler
meters = energy.resolve("nvml")
sampler = Sampler(meters, 100.0)
time.sleep(0.3)
traces = sampler.stop()
print(json.dumps([sampler.kind, [len(t.value) for t in traces], traces[1].value[0], traces[0].status[0]]))
"""
    kind, counts, watts, status = play(
        CONSTANT, code, env={"CC": "no-such-compiler", "XDG_CACHE_HOME": "/nowhere"}
    )
    assert kind == "process"
    assert min(counts) >= 1
    assert watts == pytest.approx(250)
    assert status == 0
    assert play(CONSTANT, code)[0] == "native"


def test_stated_intervals_hold_the_truth_in_wall_clock_time(play):
    """Six bursts of odd lengths: at least four of the six 95 % intervals cover the exact energy."""
    code = """
covered = []
for seconds in (0.1, 0.13, 0.2, 0.23, 0.31, 0.17):
    w = energy.window("nvml")
    with w:
        start = time.perf_counter_ns()
        set_power(500)
        time.sleep(seconds)
        set_power(60)
        end = time.perf_counter_ns()
    covered.append(abs(w.result.joules - truth((start, end))) <= 1.96 * w.result.u_joules)
show(w.result, covered=sum(covered))
"""
    got = play("hold 0 60\ncounter 0.02 0.03 1\n", code)
    assert got["method"] == "counter_aligned"
    assert got["covered"] >= 4


def test_a_duty_cycled_counter_is_flagged_and_freed_by_shifts_in_wall_clock_time(play):
    """Iterations in step with it: shifted they come close to the truth, plain they are flagged."""
    code = """
def run(shift):
    edge = [0]
    def step(_):
        start = edge[0] if time.perf_counter_ns() - edge[0] < 2_000_000 else time.perf_counter_ns()
        edge[0] = start + 50_000_000
        for watts, until in ((600, 0.25), (150, 1.0)):
            set_power(watts)
            left = start + until * 50_000_000 - time.perf_counter_ns()
            time.sleep(max(0.0, left * 1e-9))
        set_power(60)
    r = energy.measure_loop(step, energy.window("nvml"), seconds=2, shift=shift).window
    idle_s = (r.span_ns[1] - r.span_ns[0]) * 1e-9 - r.span_s
    return r, abs(r.joules / (truth(r.span_ns) - 60 * idle_s) - 1)
r, shifted = run(True)
plain, wrong = run(False)
show(r, shifted=shifted, wrong=wrong, plain=plain.flags)
"""
    got = play("hold 0 60\ncounter 0.05 0 1 0.0125\n", code)
    assert got["method"] == "counter_aligned_shifted"
    assert "aliased" not in got["flags"]
    assert got["shifted"] < 0.1
    assert "aliased" in got["plain"]


def test_work_shows_a_coarser_step_than_idle_power_did(play):
    """A counter in steps of 0.5 J whose idle increments are all alike is not taken for one of millijoules."""
    code = """
w = energy.window("nvml")
with w:
    start = time.perf_counter_ns()
    for watts in (310, 420, 530, 250, 380):
        set_power(watts)
        time.sleep(0.06)
    set_power(60)
    end = time.perf_counter_ns()
show(w.result, truth=truth((start, end)))
"""
    got = play("hold 0 60\ncounter 0.05 0 500\ninstant 0.05 0.05\n", code)
    assert got["method"] == "counter_aligned"
    assert got["u_joules"] > 0.5 / 6**0.5
    assert abs(got["joules"] - got["truth"]) < 3 * got["u_joules"]


EVENTS = """
w = energy.window("nvml", guard_s=0)
with w:
    time.sleep(0.2)
print(json.dumps(w.result.evidence()["devices"][0]["events"]))
"""


def test_what_held_the_clocks_down_is_counted_over_the_window(play):
    """The power cap holds all the time, heat since the begin, the power brake never."""
    found = play(CONSTANT + f"events 0 1000 {0x20}\n", EVENTS)
    assert found["missing"] == {}
    assert found["seconds"]["software_power_cap"] >= 0.2
    assert found["seconds"]["software_thermal_slowdown"] >= 0.2
    assert found["seconds"]["hardware_thermal_slowdown"] == 0
    assert found["seconds"]["hardware_power_brake"] == 0


def test_counters_that_the_driver_does_not_have_are_missing_with_their_reason(play):
    """The energy is there all the same, and no time is 0 that was not read."""
    found = play(CONSTANT + "error 0 1e9 3 event_times\n", EVENTS)
    assert found["seconds"] == {}
    assert set(found["missing"].values()) == {"Not Supported"}


def test_a_counter_of_time_that_went_back_tells_none():
    """A driver that was loaded anew counts from 0."""
    found = EventTimes({"heat": 1.0, "cap": 5.0}, {}).since(EventTimes({"heat": 3.0, "cap": 2.0}, {}))
    assert found == EventTimes({"cap": 3.0}, {"heat": "its counter went back"})
