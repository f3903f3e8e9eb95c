"""RAPL over a made-up powercap tree."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.energy.estimation.result import EnergyResult
from harness.energy.sampling.sampler import Sampler
from harness.energy.sampling.ticks import Host
from harness.energy.sensors.base import SensorError, SensorUnavailable
from harness.energy.sensors.rapl import RaplMeter
from harness.energy.sensors.registry import resolve
from harness.energy.windows import Window

RANGE_UJ = 262_143_328_850


def zone(root: Path, path: str, name: str, energy_uj: int = 1_000_000) -> Path:
    """Write one domain, flat as sysfs shows them by links."""
    folder = root / path
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "energy_uj").write_text(f"{energy_uj}\n")
    (folder / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
    return folder


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A tree with two packages, cores, memory, the platform and the second interface to package 0."""
    monkeypatch.setattr(RaplMeter, "root", tmp_path)
    zone(tmp_path, "intel-rapl:0", "package-0")
    zone(tmp_path, "intel-rapl:0:0", "core")
    zone(tmp_path, "intel-rapl:0:1", "dram")
    zone(tmp_path, "intel-rapl:1", "package-1")
    zone(tmp_path, "intel-rapl:2", "psys")
    zone(tmp_path, "intel-rapl-mmio:0", "package-0")
    (tmp_path / "intel-rapl").mkdir()
    return tmp_path


@pytest.fixture
def spend(root, monkeypatch):
    """Meter a block of exactly one second in which domains spend the given energies."""
    clock = [0]
    monkeypatch.setattr("harness.energy.sensors.rapl.perf_counter_ns", lambda: clock[0])

    def run(spent_uj: dict[str, int], devices: tuple[str, ...] = ()) -> EnergyResult:
        window = Window(resolve("rapl", devices=devices), None, 0.0, host=Host(lambda: clock[0]))
        with window:
            clock[0] += 10**9
            for path, uj in spent_uj.items():
                file = root / path / "energy_uj"
                file.write_text(str((int(file.read_text()) + uj) % RANGE_UJ))
        return window.result

    return run


def test_only_domains_that_answer_a_question_are_found(root):
    """Packages, memory and platform are sensors; cores and the doubled interface are not."""
    found = {info.device: (info.scope, info.within) for info in RaplMeter.discover()}
    assert found == {
        "intel-rapl:0": ("package", "intel-rapl:2"),
        "intel-rapl:0:1": ("memory", "intel-rapl:2"),
        "intel-rapl:1": ("package", "intel-rapl:2"),
        "intel-rapl:2": ("node", None),
    }


def test_all_packages_are_added_and_memory_stands_apart(spend):
    """The total is both packages; memory is reported beside it and never summed into it."""
    spent = {"intel-rapl:0": 7_000_000, "intel-rapl:1": 5_000_000, "intel-rapl:0:1": 2_000_000}
    result = spend(spent)
    assert result.joules == pytest.approx(12.0)
    assert result.mean_w == pytest.approx(12.0)
    assert {d.label: (d.joules, d.in_total) for d in result.devices} == {
        "package-0": (pytest.approx(7.0), True),
        "package-1": (pytest.approx(5.0), True),
        "package-0 dram": (pytest.approx(2.0), False),
    }


@pytest.mark.parametrize("order", [("psys", "0"), ("0", "psys")])
def test_a_platform_and_its_package_are_never_summed(spend, order):
    """Both named: the first is the total, the other stands beside it."""
    result = spend({"intel-rapl:2": 8_000_000, "intel-rapl:0": 3_000_000}, order)
    assert result.joules == pytest.approx(8.0 if order[0] == "psys" else 3.0)
    assert [d.in_total for d in result.devices] == [True, False]


def test_a_wrapped_counter_is_unwrapped(root, spend):
    """A counter that passes its range still gives the energy spent."""
    (root / "intel-rapl:0" / "energy_uj").write_text(str(RANGE_UJ - 1_000_000))
    assert spend({"intel-rapl:0": 1_500_000}, ("package-0",)).joules == pytest.approx(1.5)


def test_a_counter_set_back_is_no_wrap(spend):
    """A step back that would mean a quarter of a megawatt is a reset: flagged, without a number."""
    result = spend({"intel-rapl:0": -500_000}, ("0",))
    assert result.joules is None
    assert result.flags == ("counter_reset",)


def test_a_counter_that_did_not_move_is_no_zero(spend):
    """Nothing counted is nothing known."""
    result = spend({})
    assert result.joules is None
    assert result.mean_w is None
    assert "counter_still" in result.flags


def test_without_samples_there_is_a_number_but_no_uncertainty(spend):
    """The update period is unknown without a trace, so no uncertainty is made up."""
    result = spend({"intel-rapl:0": 10**6, "intel-rapl:1": 10**6})
    assert result.joules == pytest.approx(2.0)
    assert result.u_joules is None
    assert "update_period_unknown" in result.flags


def test_no_domain_is_unavailable_with_the_reason(tmp_path, monkeypatch):
    """An empty tree: no number, and the reason names the tree."""
    monkeypatch.setattr(RaplMeter, "root", tmp_path)
    window = Window(resolve("auto", "cpu"), sample_hz=100.0, guard_s=0.5)
    with window:
        pass
    assert window.result.joules is None
    assert window.result.reason == f"no sensor: {tmp_path} holds no readable RAPL domain"


def test_permission_denied_is_a_reason_with_a_remedy(root, monkeypatch):
    """The kernel lets only root read the counters by default."""
    opened = os.open

    def refuse(path, *args):
        if str(path).endswith("energy_uj"):
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *args)

    monkeypatch.setattr("harness.energy.sensors.rapl.os.open", refuse)
    with pytest.raises(SensorUnavailable, match="Permission denied") as caught:
        RaplMeter.discover()
    assert "chmod" in caught.value.remedy
    (meter,) = resolve("auto", "cpu")
    assert meter.reason.startswith("no sensor: cannot read")


def test_garbage_in_a_counter_is_an_error(root):
    """A file without a number is an error of the sensor, not 0 J."""
    meter = RaplMeter.open("intel-rapl:0")
    (root / "intel-rapl:0" / "energy_uj").write_text("n/a\n")
    with pytest.raises(SensorError, match="no number"):
        meter.read(meter.sensors[0])


@pytest.mark.parametrize("sampler", ["native", "process"])
def test_both_samplers_read_the_files(root, monkeypatch, sampler):
    """The native thread and the process read the same joules; a vanished counter is an error row, not a 0."""
    if sampler == "process":
        monkeypatch.setattr(RaplMeter, "native", lambda self, sensor: None)
    running = Sampler([RaplMeter.open("0")], 200.0)
    assert running.kind == sampler
    (samples,) = running.stop()
    assert set(samples.value) == {1.0}
    assert set(samples.status) == {0}
    assert all(a <= b for a, b in zip(samples.t0_ns, samples.t1_ns, strict=True))
    assert running.stop() == ()
