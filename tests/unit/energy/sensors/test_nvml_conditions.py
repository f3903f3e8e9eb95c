"""Temperature, clock and slowdowns through the real NVML bindings, from the stand-in library."""

GPU = "device GPU-11111111-aaaa-bbbb-cccc-000000000000 Stand-in H200\n"
READ = """
from harness.energy.sensors.nvml_conditions import conditions_of
read = conditions_of("{}")
print(json.dumps(read and read()))
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
    """Without a temperature and without reasons the rest is still told."""
    script = f"{GPU}missing nvmlDeviceGetTemperature\nmissing nvmlDeviceGetCurrentClocksEventReasons\n"
    script += "missing nvmlDeviceGetCurrentClocksThrottleReasons\n"
    told = play(script, READ.format(UUID))
    assert told["temperature_c"] is None
    assert told["clock_mhz"] == 1755.0
    assert (told["slowdowns"], told["states"]) == ([], [])


def test_another_device_has_no_conditions(play):
    """A device that NVML does not know is read by nobody."""
    assert play(GPU, READ.format("GPU-22222222-aaaa-bbbb-cccc-000000000000")) is None
