"""Temperature, clock and slowdowns through the real NVML bindings, from the stand-in library."""

GPU = "device GPU-11111111-aaaa-bbbb-cccc-000000000000 Stand-in H200\n"
READ = """
from harness.energy.sensors.nvml_conditions import gpu_state
state = gpu_state("{}")
print(json.dumps(state and state.conditions()))
"""
UUID = "GPU-11111111-aaaa-bbbb-cccc-000000000000"


def test_a_gpu_tells_its_conditions(play):
    """41 °C, 1755 MHz, and a power cap, which is a state and no slowdown."""
    assert play(GPU, READ.format(UUID)) == {
        "temperature_c": 41.0,
        "clock_mhz": 1755.0,
        "slowdowns": [],
        "states": ["software_power_cap"],
    }


def test_what_the_driver_does_not_tell_is_none(play):
    """Without a temperature and without reasons the rest is still reported."""
    script = f"{GPU}missing nvmlDeviceGetTemperature\nmissing nvmlDeviceGetCurrentClocksEventReasons\n"
    script += "missing nvmlDeviceGetCurrentClocksThrottleReasons\n"
    reported = play(script, READ.format(UUID))
    assert reported["temperature_c"] is None
    assert reported["clock_mhz"] == 1755.0
    assert (reported["slowdowns"], reported["states"]) == ([], [])


def test_another_device_has_no_conditions(play):
    """A device that NVML does not know is read by nobody."""
    assert play(GPU, READ.format("GPU-22222222-aaaa-bbbb-cccc-000000000000")) is None


STATE = """
from harness.energy.sensors.nvml_conditions import gpu_state
state = gpu_state("{}")
print(json.dumps([state.requested_clock_mhz(), state.compute_pids()]))
"""


def test_a_clock_that_somebody_set_is_a_request_and_the_default_is_none(play):
    """1980 MHz is the default, 1410 was asked for; a driver that reports neither knows of no request."""
    assert play(f"{GPU}application 1980 1980\n", STATE.format(UUID))[0] is None
    assert play(f"{GPU}application 1410 1980\n", STATE.format(UUID))[0] == 1410.0
    assert play(GPU, STATE.format(UUID))[0] is None


def test_processes_with_a_compute_context_are_told_once_each(play):
    """Two processes, one of them twice in the list; without the function nobody knows."""
    script = f"{GPU}process 4321 1024\nprocess 17 2048\nprocess 4321 1\n"
    assert play(script, STATE.format(UUID))[1] == [17, 4321]
    assert play(GPU, STATE.format(UUID))[1] == []
    missing = f"{GPU}missing nvmlDeviceGetComputeRunningProcesses_v3\n"
    assert play(missing, STATE.format(UUID))[1] is None
