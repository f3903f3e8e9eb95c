"""Facts of GPUs and the state of sensors, as the fingerprint and `joulemark doctor` show them."""

from __future__ import annotations

import hashlib

import pytest

from harness.energy.sensors.nvml_facts import event_reasons, gpu_facts

UUID = "GPU-11111111-aaaa-bbbb-cccc-000000000000"
FACTS = "from harness.energy.sensors.nvml_facts import gpu_facts\nprint(json.dumps(gpu_facts()))"
DOCTOR = """
import dataclasses
from harness.energy.doctor import sampler_status, sensor_statuses
print(json.dumps([dataclasses.asdict(s) for s in (*sensor_statuses(), sampler_status())]))
"""


def test_facts_come_as_plain_data_and_hide_the_uuid(play):
    """Every fact that the driver reports arrives in its unit; the UUID only as a hash."""
    facts = play("driver 570.1\nhold 1 100\nprocess 4321 1024\n", FACTS)
    assert (facts["driver"], facts["cuda_driver"], facts["reason"]) == ("570.1", "12.8", None)
    gpu = facts["gpus"][0]
    assert gpu["uuid_hash"] == hashlib.sha256(UUID.encode()).hexdigest()[:16]
    assert UUID not in str(facts)
    limits = {key: gpu[key] for key in gpu if key.startswith("power_limit")}
    assert limits == {
        "power_limit_w": 700,
        "power_limit_enforced_w": 600,
        "power_limit_default_w": 700,
        "power_limit_min_w": 200,
        "power_limit_max_w": 700,
    }
    assert (gpu["ecc"], gpu["mig"], gpu["temperature_c"], gpu["pcie_width"]) == (True, False, 41, 8)
    assert gpu["clock_event_reasons"] == ["software_power_cap"]
    assert gpu["processes"] == [{"pid": 4321, "memory_bytes": 1024}]
    assert gpu["memory_bytes"] == 80 << 30


def test_what_a_driver_does_not_tell_is_none_with_its_reason(play):
    """The stand-in has no application clocks and is told to miss ECC: both are None, never False or 0."""
    gpu = play("missing nvmlDeviceGetEccMode\nhold 1 100\n", FACTS)["gpus"][0]
    assert gpu["ecc"] is None
    assert gpu["application_clocks_mhz"] is None
    assert gpu["missing"]["ecc"] == "Function Not Found"
    assert set(gpu["missing"]) == {"ecc", "application_clocks_mhz"}


def test_an_old_driver_tells_its_throttle_reasons_by_their_old_name(play):
    """The older function is asked where the newer one does not exist."""
    assert play("hold 1 100\n", FACTS, "OLD_DRIVER")["gpus"][0]["clock_event_reasons"] == [
        "software_power_cap"
    ]


def test_a_lost_gpu_leaves_the_others_facts(play):
    """One GPU that does not answer is an entry with its reason."""
    script = f"device {UUID} A\nhold 1 1\nerror -1e9 1e9 15 *\ndevice {UUID[:-1]}1 B\nhold 1 1\n"
    lost, well = play(script, FACTS)["gpus"]
    assert lost["missing"] == {"gpu": "GPU is lost"}
    assert well["name"] == "B"


def test_without_a_driver_there_is_a_reason():
    """No library: no GPUs, and why."""
    facts = gpu_facts()
    assert facts["gpus"] or facts["reason"]


def test_event_bits_have_names_and_new_ones_stay_visible():
    """A bit that this version does not know is shown as hex."""
    assert event_reasons(0x44) == ["software_power_cap", "hardware_thermal_slowdown"]
    assert event_reasons(0x8000) == ["0x8000"]
    assert event_reasons(0) == []


def test_doctor_tells_which_sensors_work(play):
    """NVML works with its sensors' facts, RAPL says why not here or works, and the sampler is native."""
    by_name = {s["name"]: s for s in play("driver told.here\nhold 1 100\n", DOCTOR)}
    assert by_name["nvml"]["works"]
    assert [s["kind"] for s in by_name["nvml"]["sensors"]] == ["counter", "instant", "average"]
    counter = by_name["nvml"]["sensors"][0]
    assert counter["update_period_s"] == pytest.approx(0.02, rel=0.1)
    assert counter["poll_disturbs"] is not None
    assert by_name["rapl"]["works"] or by_name["rapl"]["reason"]
    assert by_name["native sampler"]["works"]


def test_doctor_says_how_to_mend_a_refused_driver(play):
    """A permission error comes with what to do."""
    by_name = {s["name"]: s for s in play("init 4\n", DOCTOR)}
    assert not by_name["nvml"]["works"]
    assert "/dev/nvidia" in by_name["nvml"]["remedy"]


def test_a_list_of_processes_that_the_driver_is_too_old_for_is_a_missing_fact(play):
    """The bindings raise an error that is none of NVML's own there; the other facts are still reported."""
    script = "missing nvmlDeviceGetComputeRunningProcesses_v3\nhold 1 100\n"
    (gpu,) = play(script, FACTS)["gpus"]
    assert gpu["processes"] is None
    assert "too old" in gpu["missing"]["processes"]
    assert gpu["name"] == "Stand-in H200"
