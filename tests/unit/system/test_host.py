"""What the operating system says of the CPU, from written files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.system import host


def write_topology(root: Path, cores: dict[int, tuple[int, int]]) -> Path:
    """Write CPUs with their package and core as the kernel does."""
    for cpu, (package, core) in cores.items():
        folder = root / f"cpu{cpu}" / "topology"
        folder.mkdir(parents=True)
        (folder / "physical_package_id").write_text(f"{package}\n")
        (folder / "core_id").write_text(f"{core}\n")
    return root


def test_hyper_threads_of_one_core_count_once(tmp_path):
    """Eight CPUs on two packages of two cores are four cores; core ids repeat between packages."""
    cores = {cpu: (cpu // 4, cpu % 2) for cpu in range(8)}
    topology = write_topology(tmp_path, cores)
    assert host.physical_cores(set(range(8)), topology) == 4
    assert host.physical_cores({0, 2}, topology) == 1
    assert host.physical_cores({0, 4}, topology) == 2


def test_without_topology_every_cpu_is_a_core(tmp_path):
    """A kernel that reports no topology leaves the affinity to count."""
    assert host.physical_cores({0, 1, 5}, tmp_path) == 3


@pytest.mark.parametrize(
    ("text", "quota"), [("max 100000\n", None), ("150000 100000\n", 1.5), ("garbage\n", None)]
)
def test_quota_of_the_control_group(tmp_path, text, quota):
    """A limit is CPUs a second; `max` and what cannot be read are no limit."""
    (tmp_path / "cpu.max").write_text(text)
    assert host.cpu_quota(tmp_path / "cpu.max") == quota
    assert host.cpu_quota(tmp_path / "absent") is None


@pytest.mark.parametrize(("quota", "cores"), [(None, 4), (2.5, 2), (0.5, 1), (16.0, 4)])
def test_usable_cores_respect_the_quota(monkeypatch, quota, cores):
    """Threads beyond the quota would only wait, so whole granted CPUs bound the cores; one is the least."""
    monkeypatch.setattr(host, "physical_cores", lambda _cpus: 4)
    monkeypatch.setattr(host, "cpu_quota", lambda: quota)
    assert host.usable_cores() == cores


def test_cpu_name_is_the_model_or_unknown(tmp_path):
    """The model name as the kernel writes it; a kernel that writes none gives None."""
    (tmp_path / "x86").write_text("processor\t: 0\nmodel name\t: Some CPU @ 2.00GHz\n")
    (tmp_path / "arm").write_text("processor\t: 0\nBogoMIPS\t: 50.00\n")
    assert host.cpu_name(tmp_path / "x86") == "Some CPU @ 2.00GHz"
    assert host.cpu_name(tmp_path / "arm") is None
    assert host.cpu_name(tmp_path / "absent") is None


def test_steal_is_read_from_the_kernels_totals(tmp_path):
    """Steal is the eighth column; guests are within user time and not added again."""
    (tmp_path / "stat").write_text("cpu  100 1 20 500 4 5 6 64 30 2\ncpu0 1 2 3\n")
    assert host.read_steal(tmp_path / "stat") == (64, 700)


@pytest.mark.parametrize("text", ["", "cpu 1 2 3\n", "intr 5\n"])
def test_steal_that_is_not_told_is_none(tmp_path, text):
    """An old, empty or absent file gives None, not 0."""
    (tmp_path / "stat").write_text(text)
    assert host.read_steal(tmp_path / "stat") == (None, None)
    assert host.read_steal(tmp_path / "absent") == (None, None)


def test_peak_memory_is_the_kernels_high_water_mark(tmp_path):
    """VmHWM in kibibytes; without it the process's peak since its start, which is never 0."""
    (tmp_path / "status").write_text("VmPeak:\t 999 kB\nVmHWM:\t    2048 kB\n")
    assert host.peak_rss_bytes(tmp_path / "status") == 2048 * 1024
    assert host.peak_rss_bytes(tmp_path / "absent") > 1024 * 1024


def test_a_refused_reset_of_peak_memory_says_so(tmp_path):
    """Where the kernel's file cannot be written the answer is False."""
    (tmp_path / "clear_refs").write_text("")
    assert host.reset_peak_rss(tmp_path / "clear_refs")
    assert not host.reset_peak_rss(tmp_path / "no" / "clear_refs")


def test_peak_memory_of_a_process_covers_what_it_touched():
    """64 MiB written after a reset raise the peak by about as much, in a process that frees nothing."""
    code = """
from harness.system import host
if not host.reset_peak_rss():
    print("refused")
    raise SystemExit
before = host.peak_rss_bytes()
block = b"x" * (64 << 20)
print(host.peak_rss_bytes() - before)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    said = ran.stdout.strip()
    if said == "refused":
        pytest.skip("the kernel does not let this process reset its peak")
    assert 60 << 20 < int(said) < 140 << 20
