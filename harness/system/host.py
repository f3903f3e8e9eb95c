"""The CPU as the operating system shows it: usable cores, its name, peak memory, time that was stolen."""

from __future__ import annotations

import math
import os
import resource
from functools import cache
from pathlib import Path

SYS_CPU = Path("/sys/devices/system/cpu")
CGROUP_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")
CPUINFO = Path("/proc/cpuinfo")
PROC_STAT = Path("/proc/stat")


def physical_cores(cpus: set[int], topology: Path = SYS_CPU) -> int:
    """Count the physical cores behind `cpus`: two hyper-threads of one core count once.

    A CPU whose topology the kernel does not report counts as a core of its own.
    """
    return len({_core(cpu, topology) for cpu in cpus})


@cache
def _core(cpu: int, topology: Path) -> tuple[str, str]:
    """Return the package and the core of a CPU, which do not change: workers are forked with them known."""
    folder = topology / f"cpu{cpu}" / "topology"
    try:
        package = (folder / "physical_package_id").read_text().strip()
        return package, (folder / "core_id").read_text().strip()
    except OSError:
        return "cpu", str(cpu)


def cpu_quota(cpu_max: Path = CGROUP_CPU_MAX) -> float | None:
    """Return the CPUs that the control group grants a second, or None when it sets no limit."""
    try:
        quota, period = cpu_max.read_text().split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else int(quota) / int(period)


def usable_cores() -> int:
    """Return the physical cores that this process may use: its affinity, and no more than its quota."""
    cores = physical_cores(os.sched_getaffinity(0))
    quota = cpu_quota()
    return cores if quota is None else max(1, min(cores, math.floor(quota)))


def cpu_name(cpuinfo: Path = CPUINFO) -> str | None:
    """Return the processor's model name, or None where the kernel reports none (most Arm machines)."""
    try:
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return None


def reset_peak_rss(clear_refs: Path = Path("/proc/self/clear_refs")) -> bool:
    """Let the kernel's peak of resident memory start from now; False where it does not allow that."""
    try:
        clear_refs.write_text("5")
    except OSError:
        return False
    return True


def peak_rss_bytes(status: Path = Path("/proc/self/status")) -> int:
    """Return this process's peak resident memory in bytes, since its start or the last reset."""
    try:
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def read_steal(stat: Path = PROC_STAT) -> tuple[int, int] | tuple[None, None]:
    """Return stolen and total jiffies of all CPUs since boot, or (None, None) where there are none."""
    try:
        with stat.open(encoding="ascii") as lines:
            fields = lines.readline().split()
    except OSError:
        return None, None
    # cpu user nice system idle iowait irq softirq steal guest guest_nice; the guests are within user and nice
    if len(fields) < 9 or fields[0] != "cpu":
        return None, None
    jiffies = [int(field) for field in fields[1:9]]
    return jiffies[7], sum(jiffies)
