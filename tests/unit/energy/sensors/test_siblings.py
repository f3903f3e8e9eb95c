"""Devices that are there: by which names they are found, and what is said of those that cannot be read."""

from __future__ import annotations

import sys
from dataclasses import asdict
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.energy.doctor import sensor_statuses
from harness.energy.estimation.result import Evidence, device_energy
from harness.energy.sensors import amdsmi, bmc, redfish, redfish_service
from harness.energy.sensors.base import SensorError, SensorUnavailable
from harness.energy.sensors.hwmon import HwmonMeter
from harness.energy.sensors.names import choose, device_of
from harness.energy.sensors.none import NullMeter
from harness.energy.sensors.opening import open_meters
from harness.energy.sensors.rapl import RaplMeter
from harness.energy.sensors.redfish import RedfishMeter
from harness.energy.sensors.registry import get, resolve
from harness.energy.windows import Window
from harness.report.sections.method import metered_devices

CHASSIS = "/redfish/v1/Chassis"


@pytest.fixture
def rapl(tmp_path, monkeypatch):
    """Two packages with memory and a platform domain, more than nine zones."""
    monkeypatch.setattr(RaplMeter, "root", tmp_path)
    names = {f"intel-rapl:{i}": f"package-{i}" for i in range(11)} | {
        "intel-rapl:0:0": "dram",
        "intel-rapl:1:0": "dram",
    }
    for zone, name in names.items():
        (tmp_path / zone).mkdir()
        for file, text in {
            "name": name,
            "energy_uj": "1000000",
            "max_energy_range_uj": "262143328850",
        }.items():
            (tmp_path / zone / file).write_text(f"{text}\n")
    return tmp_path


@pytest.fixture
def hwmon(tmp_path, monkeypatch):
    """Two meters, whose channels have the same names."""
    root = tmp_path / "hwmon"
    monkeypatch.setattr(HwmonMeter, "root", root)
    for chip in (0, 1, 10):
        folder = root / f"hwmon{chip}"
        folder.mkdir(parents=True)
        (folder / "name").write_text("power_meter\n")
        (folder / "power1_average").write_text(f"{100 + chip}000000\n")
    return root


@pytest.fixture
def service(monkeypatch):
    """A service whose pages a test fills."""
    pages: dict = {}

    def fetch(path, _):
        if path not in pages:
            raise SensorError(f"bmc.test: {path}: HTTP Error 404: Not Found")
        return pages[path]

    monkeypatch.setenv("JOULEMARK_REDFISH_URL", "https://bmc.test")
    monkeypatch.setattr(redfish, "fetch", fetch)
    monkeypatch.setattr(redfish_service, "fetch", fetch)
    monkeypatch.setattr(bmc.NodeMeter, "pause_s", 0.0)
    return pages


def fill(pages: dict, watts: dict[str, object]) -> None:
    """Put chassis with a power each into a service."""
    pages.clear()
    pages[CHASSIS] = {"Members": [{"@odata.id": f"{CHASSIS}/{name}"} for name in watts]}
    for name, power in watts.items():
        pages[f"{CHASSIS}/{name}/Power"] = {"PowerControl": [{"PowerConsumedWatts": power}]}


@pytest.fixture
def smi(monkeypatch):
    """Two partitions of one GPU with one UUID, and a GPU of another."""
    amdsmi.library.cache_clear()
    error = type("SmiError", (Exception,), {})
    module = SimpleNamespace(
        AmdSmiException=error,
        amdsmi_init=lambda: None,
        amdsmi_get_processor_handles=lambda: ["a", "b", "c"],
        amdsmi_get_gpu_device_uuid=lambda h: {"a": "same", "b": "same", "c": "UUID-c"}[h],
        amdsmi_get_gpu_device_bdf=lambda h: f"0000:0{'abc'.index(h)}:00.0",
        amdsmi_get_gpu_asic_info=lambda _: {"market_name": "Instinct"},
        amdsmi_get_gpu_driver_info=lambda _: {},
        amdsmi_get_power_cap_info=lambda _: {"max_power_cap": 750_000_000},
        amdsmi_get_energy_count=lambda _: {"energy_accumulator": "N/A"},
        amdsmi_get_power_info=lambda h: {"current_socket_power": 100 + "abc".index(h)},
    )
    monkeypatch.setitem(sys.modules, "amdsmi", module)
    yield module
    amdsmi.library.cache_clear()


def test_the_id_1_is_a_chassis_before_it_is_a_place(service):
    """The only chassis is called 1; of three the one called 1, unnamed too; and never another's 55 W."""
    fill(service, {"1": 93})
    for named in ([], ["1"]):
        (meter,) = resolve("redfish", devices=named)
        assert meter.read(meter.sensors[0]).power_w == 93
    fill(service, {"1": 300, "2": 70, "3": 55})
    for named in ([], ["1"]):
        (meter,) = resolve("redfish", devices=named)
        again = get("redfish").open(meter.locate())  # as the sampler's process does
        assert again.read(again.sensors[0]).power_w == 300
    assert (
        "no chassis of the Redfish service 0; there are: 1; 2; 3"
        in resolve("redfish", devices=["0"])[0].reason
    )


def test_other_chassis_are_listed(service):
    """What is not metered unasked is named by the list, with its id."""
    fill(service, {"1": 300, "2": 70, "broken": None})
    ids = [info.id for info in RedfishMeter.discover()]
    assert ids == ["redfish:1:node:instant", "redfish:2:node:instant"]
    assert len(resolve("redfish")) == 1


@pytest.mark.parametrize(
    ("pages", "watts"),
    [
        (  # the first chassis are a controller and a board
            {
                CHASSIS: {"Members": [None, *({"@odata.id": f"{CHASSIS}/{n}"} for n in ("bmc", "box"))]},
                f"{CHASSIS}/bmc/Power": {"PowerControl": []},
                f"{CHASSIS}/bmc": {"Power": None},
                f"{CHASSIS}/box/Power": {
                    "PowerControl": [None, {"PowerConsumedWatts": None}, {"PowerConsumedWatts": 380}]
                },
            },
            380,
        ),
        (
            {
                CHASSIS: {"Members": [{"@odata.id": f"{CHASSIS}/node"}]},
                f"{CHASSIS}/node": {
                    "EnvironmentMetrics": {"@odata.id": f"{CHASSIS}/node/EnvironmentMetrics"}
                },
                f"{CHASSIS}/node/EnvironmentMetrics": {"PowerWatts": {"Reading": 412.0}},
            },
            412,
        ),
        (  # a collection of several pages
            {
                CHASSIS: {"Members": [], "Members@odata.nextLink": f"{CHASSIS}?$skip=1"},
                f"{CHASSIS}?$skip=1": {"Members": [{"@odata.id": f"{CHASSIS}/2/"}]},
                f"{CHASSIS}/2/Power": {"PowerControl": [{"PowerConsumedWatts": 210}]},
            },
            210,
        ),
    ],
)
def test_a_service_is_read_as_services_are_written(service, pages, watts):
    """Null entries, several members, EnvironmentMetrics, pages."""
    service.update(pages)
    (meter,) = resolve("redfish")
    assert meter.read(meter.sensors[0]).power_w == watts
    assert meter.sensors[0].taken.startswith(CHASSIS)


def test_a_power_that_is_switched_off_is_none(service):
    """The service says that the reading is of a part that is absent."""
    fill(service, {"1": 93})
    service[f"{CHASSIS}/1/Power"]["PowerControl"][0]["Status"] = {"State": "Absent"}
    service[f"{CHASSIS}/1"] = {}
    assert "Absent" in resolve("redfish")[0].reason


def test_a_redirect_to_elsewhere_is_not_followed():
    """The password stays with the service; within it a redirect is followed."""
    handler = redfish_service._SameService()
    request = redfish_service.urllib.request.Request("https://bmc.test/redfish/v1/Chassis")
    with pytest.raises(OSError, match="not followed"):
        handler.redirect_request(request, None, 308, "", {}, "https://elsewhere.test/redfish/v1/Chassis/")
    again = handler.redirect_request(request, None, 301, "", {}, "https://bmc.test/redfish/v1/Chassis/")
    assert again.full_url == "https://bmc.test/redfish/v1/Chassis/"


@pytest.mark.parametrize("source", ["rapl", "hwmon"])
def test_a_sibling_that_cannot_be_read_leaves_no_total(source, request):
    """One of several holds no number: no energy, the reason names it, and doctor is not content."""
    root = request.getfixturevalue(source)
    broken = {"rapl": root / "intel-rapl:1" / "energy_uj", "hwmon": root / "hwmon1" / "power1_average"}[
        source
    ]
    broken.write_text("n/a\n")
    with Window(resolve(source), None, 0.0) as window:
        pass
    name = {"rapl": "intel-rapl:1", "hwmon": "hwmon1:power1"}[source]
    assert window.result.joules is None
    assert name in window.result.reason
    assert name in {d.device for d in window.result.devices}
    (status,) = [s for s in sensor_statuses() if s.name == source]
    assert any(name in line for line in status.missing)


def test_memory_that_cannot_be_read_is_named_and_no_part_of_the_packages(rapl):
    """The packages' total does not lack it; the record names it."""
    (rapl / "intel-rapl:1:0" / "energy_uj").write_text("n/a\n")
    gone = [m for m in resolve("rapl") if isinstance(m, NullMeter)]
    assert [(m.device, m.label, m.scope) for m in gone] == [("intel-rapl:1:0", "package-1 dram", "memory")]
    assert not Window(resolve("rapl"), None, 0.0)._counts(gone[0])


def test_a_gpu_that_is_lost_is_named(smi):
    """Its driver lists it and it reports nothing: the sum of the others is no total."""
    reports = smi.amdsmi_get_power_info
    smi.amdsmi_get_power_info = lambda h: {} if h == "b" else reports(h)
    assert [isinstance(m, NullMeter) for m in resolve("amdsmi")] == [False, False, True]


@pytest.mark.parametrize(
    ("source", "name", "several"),
    [("rapl", "dram", "intel-rapl:0:0, intel-rapl:1:0"), ("hwmon", "power1", "hwmon0:power1, hwmon1:power1")],
)
def test_a_name_that_could_mean_several_is_refused_with_the_list(source, name, several, request):
    """Two memories are called dram, three channels power1."""
    request.getfixturevalue(source)
    (meter,) = resolve(source, devices=[name])
    assert "could mean more than one" in meter.reason
    assert several in meter.reason


def test_a_device_that_is_named_twice_is_counted_once(rapl):
    """By its id, its name and its number."""
    names = ["rapl:intel-rapl:1:package:counter", "intel-rapl:1", "package-1", 1]
    assert [m.device for m in open_meters(RaplMeter, names)] == ["intel-rapl:1"]


def test_partitions_that_share_a_uuid_are_told_apart(smi):
    """By their PCI addresses; the other keeps its UUID."""
    assert [m.device for m in resolve("amdsmi")] == ["0000:00:00.0", "0000:01:00.0", "UUID-c"]
    assert resolve("amdsmi")[0].sensors[0].rated_w == 750.0


@pytest.mark.parametrize("source", ["rapl", "hwmon", "amdsmi", "redfish", "ipmi"])
def test_an_id_names_the_same_device_from_the_list_to_the_report(
    source, request, tmp_path, monkeypatch, service
):
    """List, configuration, the sampler's process, the record and the report: one device."""
    if source in {"rapl", "hwmon"}:
        request.getfixturevalue(source)
    if source == "amdsmi":
        request.getfixturevalue("smi")
    if source == "redfish":
        fill(service, {"2": 70, "1": 93, "10": 55, "self": 40})
    if source == "ipmi":
        (tmp_path / "ipmitool").write_text("#!/bin/sh\necho 'Instantaneous power reading: 220 Watts'\n")
        (tmp_path / "ipmitool").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    for info in get(source).discover():
        (meter,) = resolve(source, devices=[info.id])
        assert meter.device == info.device
        again = get(source).open(meter.locate())
        assert again.sensors == meter.sensors
        kept = asdict(device_energy(Evidence(meter), (0, 10**9), in_total=True))
        record = SimpleNamespace(evidence={"energy": {"devices": [kept]}})
        assert f"{source}:{info.device}" in metered_devices([record])
        assert info.id == f"{source}:{info.device}:{info.scope}:{info.kind}"


def test_an_external_meter_is_opened_by_the_users_words_and_listed_without_them():
    """Its command line may hold what is private: a list has the program and a digest."""
    (meter,) = resolve("meter", devices=["command:echo 50"])
    assert get("meter").open(meter.locate()).sensors == meter.sensors
    (shown,) = {sensor.device for sensor in meter.sensors}
    assert shown.startswith("command:echo#")
    assert "50" not in shown.split("#")[0]


WORDS = st.text("0123456789abcdef:.-", min_size=1, max_size=6)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=5, unique=True))
def test_whatever_devices_are_called_their_own_names_mean_them(names):
    """An id is an id before it is a place, and a listed id is read back, whatever it looks like."""
    devices = {name: [f"label {place % 2}"] for place, name in enumerate(names)}
    for place, name in enumerate(names):
        assert choose(name, "device", devices) == name
        assert device_of("src", f"src:{name}:node:instant") == name
        assert device_of("src", f"src:{name}:gpu:clock:sm") == name
        if str(place) not in devices:
            if any(n.isdecimal() for n in names):
                with pytest.raises(SensorUnavailable):
                    choose(str(place), "device", devices)
            else:
                assert choose(str(place), "device", devices) == name
