"""Further power sources, over made-up trees, outputs and bindings: what they read, and why they cannot."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime
from http.client import BadStatusLine, IncompleteRead
from types import SimpleNamespace

import pytest

from harness import energy
from harness.energy.sensors import amdsmi, redfish, redfish_service
from harness.energy.sensors import bmc as node
from harness.energy.sensors.base import SensorError, SensorUnavailable
from harness.energy.sensors.bmc import IpmiMeter
from harness.energy.sensors.external import ExternalMeter
from harness.energy.sensors.hwmon import HwmonMeter
from harness.energy.sensors.redfish import RedfishMeter
from harness.energy.sensors.registry import resolve


class SmiError(Exception):
    """What the bindings raise."""


@pytest.fixture
def smi(monkeypatch):
    """Bindings with two GPUs; the second reports an averaged power only."""
    amdsmi.library.cache_clear()
    module = SimpleNamespace(
        AmdSmiException=SmiError,
        amdsmi_init=lambda: None,
        amdsmi_get_processor_handles=lambda: ["a", "b"],
        amdsmi_get_gpu_device_uuid=lambda handle: f"UUID-{handle}",
        amdsmi_get_gpu_asic_info=lambda _: {"market_name": "Instinct"},
        amdsmi_get_gpu_driver_info=lambda _: {"driver_version": "6"},
        amdsmi_get_energy_count=lambda handle: (
            {"energy_accumulator": 2_000_000, "counter_resolution": 15.3}
            if handle == "a"
            else {"energy_accumulator": "N/A", "counter_resolution": "N/A"}
        ),
        amdsmi_get_power_info=lambda handle: (
            {"current_socket_power": 320, "average_socket_power": "N/A"}
            if handle == "a"
            else {"current_socket_power": "N/A", "average_socket_power": 150}
        ),
    )
    monkeypatch.setitem(sys.modules, "amdsmi", module)
    yield module
    amdsmi.library.cache_clear()


def test_an_amd_gpu_counts_steps_whose_size_it_tells(smi):
    """2,000,000 steps of 15.3 µJ are 30.6 J; `N/A` is no sensor and no zero."""
    first, second = resolve("amdsmi")
    assert [s.kind for s in first.sensors] == ["counter", "instant"]
    assert first.read(first.sensors[0]).energy_j == pytest.approx(30.6)
    assert first.read(first.sensors[1]).power_w == 320
    assert [s.kind for s in second.sensors] == ["average"]
    assert resolve("amdsmi", devices=["uuid-B"])[0].device == "UUID-b"


def test_an_amd_gpu_that_stops_answering_is_an_error(smi):
    """A counter that is gone while it is read gives no number."""
    (meter,) = resolve("amdsmi", devices=[0])

    def fail(_):
        raise SmiError("lost")

    smi.amdsmi_get_energy_count = fail
    with pytest.raises(SensorError, match="no energy count"):
        meter.read(meter.sensors[0])


def test_without_the_bindings_amd_says_how_to_get_them(monkeypatch):
    """No module: unavailable, with what to install."""
    amdsmi.library.cache_clear()
    monkeypatch.setitem(sys.modules, "amdsmi", None)
    (meter,) = resolve("amdsmi")
    assert "amdsmi cannot be imported" in meter.reason
    assert "ROCm" in meter.remedy


@pytest.fixture
def grace(tmp_path, monkeypatch):
    """A tree like that of a Grace module, with a fan controller beside it."""
    monkeypatch.setattr(HwmonMeter, "root", tmp_path)
    for chip, (name, label, watts) in enumerate(
        [
            ("power_meter", "Module Power Socket 0", 500),
            ("power_meter", "Grace Power Socket 0", 180),
            ("power_meter", "CPU Power Socket 0", 120),
            ("nct6775", "", 0),
        ]
    ):
        folder = tmp_path / f"hwmon{chip}"
        folder.mkdir()
        (folder / "name").write_text(f"{name}\n")
        if label:
            (folder / "power1_average").write_text(f"{watts * 10**6}\n")
            (folder / "power1_average_interval").write_text("50\n")
            (folder / "power1_oem_info").write_text(f"{label}\n")
        else:
            (folder / "fan1_input").write_text("900\n")
    return tmp_path


def test_a_grace_module_contains_its_sockets(grace):
    """Unnamed, only the module is metered: nothing inside it is added to it."""
    (meter,) = resolve("hwmon")
    (info,) = meter.sensors
    assert (info.label, info.scope, info.kind) == ("Module Power Socket 0", "module", "average")
    assert info.averaging_window_s == pytest.approx(0.05)
    assert meter.read(info).power_w == pytest.approx(500)
    by_label = {s.label: s for s in HwmonMeter.discover()}
    assert by_label["CPU Power Socket 0"].within == "hwmon0:power1"
    assert HwmonMeter.open("Grace Power Socket 0").sensors[0].scope == "package"


def test_garbage_in_a_power_file_is_an_error(grace):
    """No number is no 0 W."""
    meter = HwmonMeter.open("hwmon0:power1")
    (grace / "hwmon0" / "power1_average").write_text("n/a")
    with pytest.raises(SensorError, match="no number"):
        meter.read(meter.sensors[0])


def test_no_power_meter_names_the_tree(tmp_path, monkeypatch):
    """An empty tree is a reason."""
    monkeypatch.setattr(HwmonMeter, "root", tmp_path)
    assert f"{tmp_path} holds no power meter" in resolve("hwmon")[0].reason


DCMI = "\n    Instantaneous power reading:                   220 Watts\n    Sampling period:  1 Seconds.\n"


@pytest.mark.parametrize(
    ("script", "watts", "reason"),
    [
        (f"cat <<'E'{DCMI}E", 220, None),
        ("echo 'Could not open device at /dev/ipmi0' >&2; exit 1", None, "Could not open device"),
        ("echo nothing", None, "no power reading"),
    ],
)
def test_the_node_controller_answers_through_ipmitool(tmp_path, monkeypatch, script, watts, reason):
    """The instantaneous reading is the node's power; anything else is a reason."""
    tool = tmp_path / "ipmitool"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (meter,) = resolve("ipmi")
    if watts is None:
        assert reason in meter.reason
    else:
        assert meter.sensors[0].scope == "node"
        assert meter.read(meter.sensors[0]).power_w == watts


def test_without_ipmitool_the_reason_says_so(monkeypatch, tmp_path):
    """No tool, no number."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert resolve("ipmi")[0].reason == "ipmitool is not installed"


@pytest.fixture
def service(monkeypatch):
    """A Redfish service of one chassis."""
    pages = {
        "/redfish/v1/Chassis": {"Members": [{"@odata.id": "/redfish/v1/Chassis/1U"}]},
        "/redfish/v1/Chassis/1U/Power": {"PowerControl": [{"PowerConsumedWatts": 344}]},
    }
    monkeypatch.setenv("JOULEMARK_REDFISH_URL", "https://bmc.test")

    def fetch(path, _):
        if path not in pages:
            raise SensorError(f"bmc.test: {path}: HTTP Error 404: Not Found")
        return pages[path]

    monkeypatch.setattr(redfish, "fetch", fetch)
    monkeypatch.setattr(redfish_service, "fetch", fetch)
    monkeypatch.setattr(node.NodeMeter, "pause_s", 0.0)
    return pages


def test_redfish_tells_the_power_of_a_chassis(service):
    """The first chassis is metered when none is named."""
    (meter,) = resolve("redfish")
    assert meter.device == "1U"
    assert meter.read(meter.sensors[0]).power_w == 344


@pytest.mark.parametrize(
    "failure",
    [TimeoutError("timed out"), BadStatusLine("garbage"), IncompleteRead(b""), ValueError("no JSON")],
)
def test_a_service_that_answers_late_or_with_garbage_is_unavailable(monkeypatch, failure):
    """Whatever goes wrong on the way is a reason in one line that names the host."""

    def fail(*_, **__):
        raise failure

    monkeypatch.setenv("JOULEMARK_REDFISH_URL", "https://bmc.test")
    monkeypatch.setattr(redfish_service.urllib.request, "build_opener", lambda *_: SimpleNamespace(open=fail))
    assert resolve("redfish")[0].reason.startswith("bmc.test: ")


def test_a_node_controller_that_never_answers_is_given_up(tmp_path, monkeypatch):
    """The tool hangs: unavailable with the reason, and nothing waits for it."""
    tool = tmp_path / "ipmitool"
    tool.write_text("#!/bin/sh\nsleep 600\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(node, "_TIMEOUT_S", 0.2)
    assert "timed out" in resolve("ipmi")[0].reason


@pytest.mark.parametrize(
    ("watts", "said"), [(None, "no Power"), (0, "0 W"), (True, "no Power"), ("344", "no Power")]
)
def test_a_chassis_without_a_power_is_unavailable(service, watts, said):
    """Neither null nor 0 W nor text is a power."""
    service["/redfish/v1/Chassis/1U/Power"]["PowerControl"][0]["PowerConsumedWatts"] = watts
    service["/redfish/v1/Chassis/1U"] = {"EnvironmentMetrics": None}
    assert said in resolve("redfish")[0].reason


def test_redfish_sends_no_password_in_the_clear(monkeypatch):
    """A plain http address is refused before anything is sent."""
    monkeypatch.setenv("JOULEMARK_REDFISH_URL", "http://bmc.test")
    with pytest.raises(SensorUnavailable, match="must be https"):
        RedfishMeter.open("0")
    monkeypatch.delenv("JOULEMARK_REDFISH_URL")
    assert resolve("redfish")[0].reason == "no Redfish service is named"
    with pytest.raises(SensorUnavailable, match="own controller"):
        IpmiMeter.open("elsewhere")


def test_a_file_keeps_its_own_times(tmp_path):
    """The last whole line counts, at the moment that it names."""
    log = tmp_path / "plug.csv"
    before_ns = time.perf_counter_ns()
    moment = time.time() - 2
    after_ns = time.perf_counter_ns()
    log.write_text(f"time,watts\n{moment - 1},100\n{moment},231.5\n{moment + 1},9")
    (meter,) = resolve("meter", devices=[f"file:{log}"])
    got = meter.read(meter.sensors[0])
    assert got.power_w == 231.5
    slack_ns = 50_000_000
    assert before_ns - slack_ns <= got.t0_ns + 2_000_000_000 <= after_ns + slack_ns
    log.write_text(f"time,watts\n{datetime.now(UTC).isoformat()}, 80\n")
    assert meter.read(meter.sensors[0]).power_w == 80


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("time,watts\n1500000000,50\n", "s old"),
        ("", "it is empty"),
        ("time,watts\nyesterday,50\n", "is no time"),
        ("time,watts\nNOW,nan\n", "no number"),
        ("time,watts\nNOW,-5\n", "below 0"),
        ("time,watts\nnan,50\n", "is no time"),
    ],
)
def test_a_file_that_is_not_written_now_is_unavailable(tmp_path, text, said):
    """An old or torn file is a reason."""
    log = tmp_path / "plug.csv"
    log.write_text(text.replace("NOW", str(time.time())))
    assert said in resolve("meter", devices=[f"file:{log}"])[0].reason


def test_a_file_that_pauses_leaves_no_number(tmp_path):
    """Lines every 50 ms, then none for half a second within the block: a gap, and nothing fills it in."""
    log = tmp_path / "plug.csv"
    code = (
        "import sys, time\n"
        "print('time,watts', flush=True)\n"
        "for n in range(60):\n"
        "    if not 30 <= n < 42: print(f'{time.time()},50', flush=True)\n"
        "    time.sleep(0.05)\n"
    )
    with log.open("wb") as file:
        writer = subprocess.Popen([sys.executable, "-c", code], stdout=file)
        while log.read_bytes().count(b"\n") < 2:
            time.sleep(0.01)
        with energy.window("meter", [f"file:{log}"], sample_hz=20) as w:
            writer.wait()
    assert w.result.joules is None
    assert w.result.flags[0] == "sample_gap"


def test_a_command_prints_the_watts():
    """Its output is the power; a failure is a reason, as is a meter that nobody named."""
    (meter,) = resolve("meter", devices=["command:echo 42.5"])
    assert meter.read(meter.sensors[0]).power_w == 42.5
    assert "exit code 1" in resolve("meter", devices=["command:false"])[0].reason
    assert "no external meter is named" in resolve("meter")[0].reason
    with pytest.raises(SensorUnavailable, match="no external meter 'plug'") as caught:
        ExternalMeter.open("plug")
    assert "power.devices=[file:PATH]" in caught.value.remedy


def test_a_metered_block_takes_its_energy_from_an_external_meter():
    """Through a sampler in its own process, at the pace that the meter allows."""
    with energy.window("meter", ["command:echo 50"], sample_hz=20) as w:
        time.sleep(0.6)
    assert w.result.method == "gauge_hold"
    assert w.result.mean_w == pytest.approx(50)
