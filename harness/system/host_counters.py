"""What the kernel had counted of this host at one moment.

Threads that were ready and had no CPU (`schedstat`), everybody's CPU time (`/proc/stat`), pressure
(`/proc/pressure/cpu`, or the control group's), throttling by a quota (`cpu.stat`), the CPUs that are online.
What the kernel does not report is None, with the reason; it is never 0.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.system.process import descendants_of

PROC, SYS, CGROUP = Path("/proc"), Path("/sys/devices/system/cpu"), Path("/sys/fs/cgroup")
_LARGEST = 1 << 16
"""Bytes read of any of the kernel's files but `/proc/stat`."""
_TICK_NS = 10**9 // os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class HostCounters:
    """What the kernel had counted at one moment, for this process, its descendants and their CPUs."""

    at_ns: int
    threads: Mapping[int, tuple[int, int]] | None
    """By thread id: ns on a CPU, ns ready without one."""
    own_ns: int | None
    """CPU time of this process and its descendants, ended ones too."""
    busy_ns: int | None
    """CPU time of everybody on the CPUs that this process may use."""
    pressure_ns: int | None
    """Time in which some task was ready and had no CPU."""
    quota_periods: int | None
    """Periods of the control group's quota; None without a quota."""
    throttled_periods: int | None
    throttled_ns: int | None
    cpus: str | None
    """CPUs that are online and that this process may use."""
    unknown: Mapping[str, str] = field(default_factory=dict)
    """By quantity, why the kernel does not report it."""


def read_counters(proc: Path = PROC, sys_cpu: Path = SYS, cgroup: Path = CGROUP) -> HostCounters:
    """Read what the kernel has counted so far. It takes well under a millisecond for a hundred threads."""
    unknown: dict[str, str] = {}
    allowed = os.sched_getaffinity(0)
    threads, own_ns = _own(proc, unknown)
    busy = _busy_ns(proc, allowed, unknown)
    groups = _groups(proc, cgroup)
    pressure = _pressure_ns(proc, groups, unknown)
    quota = _quota(groups, cgroup, unknown)
    online = _text(f"{sys_cpu}/online")
    if online is None:
        unknown["cpus_changed"] = "the kernel does not say which CPUs are online"
    return HostCounters(
        at_ns=time.monotonic_ns(),
        threads=threads,
        own_ns=own_ns,
        busy_ns=busy,
        pressure_ns=pressure,
        quota_periods=quota.get("nr_periods"),
        throttled_periods=quota.get("nr_throttled"),
        throttled_ns=quota.get("throttled_ns"),
        cpus=None if online is None else f"{online.strip()} of them {_ranges(allowed)}",
        unknown=unknown,
    )


def _own(proc: Path, unknown: dict[str, str]) -> tuple[dict[int, tuple[int, int]] | None, int | None]:
    """Return the threads of this process and its descendants, and the CPU time of all of them."""
    threads: dict[int, tuple[int, int]] = {}
    own_ns, counted = 0, False
    for process in (os.getpid(), *descendants_of(os.getpid(), proc)):
        folder = f"{proc}/{process}"
        mine = {task: counts for task in _tasks(folder) if (counts := _schedstat(folder, task)) is not None}
        threads |= mine
        spent = _stat_ns(folder)
        counted = counted or spent is not None or bool(mine)
        # Ended threads count in the process's own time alone, which has the coarse tick of the scheduler.
        living, ended_children = spent or (0, 0)
        own_ns += max(living, sum(ran for ran, _ in mine.values())) + ended_children
    if not threads:
        unknown["delay_share"] = "the kernel keeps no schedstat, or does not show it here"
    if not counted:
        unknown["others_cpus"] = "the kernel does not report the CPU time of this process"
    return threads or None, own_ns if counted else None


def _tasks(process: str) -> list[int]:
    try:
        return [int(task) for task in os.listdir(f"{process}/task") if task.isdigit()]  # noqa: PTH208
    except OSError:
        return []  # it ended meanwhile


def _schedstat(process: str, task: int) -> tuple[int, int] | None:
    fields = (_text(f"{process}/task/{task}/schedstat") or "").split()
    if len(fields) < 2 or not (fields[0].isdigit() and fields[1].isdigit()):
        return None
    return int(fields[0]), int(fields[1])


def _stat_ns(process: str) -> tuple[int, int] | None:
    """Return the CPU time of a process, all threads, and of its children that have ended, in ns."""
    fields = (_text(f"{process}/stat") or "").rpartition(")")[2].split()
    if len(fields) < 15 or not all(field.isdigit() for field in fields[11:15]):
        return None
    user, system, children_user, children_system = (int(field) * _TICK_NS for field in fields[11:15])
    return user + system, children_user + children_system


def _busy_ns(proc: Path, allowed: Iterable[int], unknown: dict[str, str]) -> int | None:
    names = {f"cpu{cpu}" for cpu in allowed}
    try:
        lines = (proc / "stat").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError as error:
        unknown["others_cpus"] = f"/proc/stat: {error.strerror}"
        return None
    jiffies = 0
    counted = 0
    for line in lines:
        name, _, rest = line.partition(" ")
        fields = rest.split()
        # user nice system idle iowait irq softirq: what is neither idle nor waiting for a disk is busy
        if name in names and len(fields) >= 7 and all(field.isdigit() for field in fields[:7]):
            user, nice, system, _idle, _iowait, irq, softirq = map(int, fields[:7])
            jiffies += user + nice + system + irq + softirq
            counted += 1
    if not counted:
        unknown["others_cpus"] = "/proc/stat names none of the CPUs that this process may use"
        return None
    return jiffies * _TICK_NS


def _pressure_ns(proc: Path, groups: Iterable[tuple[str, Path]], unknown: dict[str, str]) -> int | None:
    unified = next((folder for kind, folder in groups if kind == "unified"), None)
    own = None if unified is None else _text(f"{unified}/cpu.pressure")
    text = own or _text(f"{proc}/pressure/cpu")
    for line in (text or "").splitlines():
        total = line.rpartition("total=")[2]
        if line.startswith("some ") and total.isdigit():
            return int(total) * 1000
    unknown["pressure_share"] = "the kernel keeps no pressure (PSI)"
    return None


def _quota(groups: Iterable[tuple[str, Path]], cgroup: Path, unknown: dict[str, str]) -> dict[str, int]:
    """Return the counts of the nearest control group that has a quota; none without one."""
    seen = False
    for _kind, folder in groups:
        for place in (folder, *folder.parents):
            text = _text(f"{place}/cpu.stat")
            if text is not None:
                seen = True
                counts = _pairs(text)
                if counts.get("nr_periods"):
                    micro = counts.get("throttled_usec")
                    nano = counts.get("throttled_time")
                    held = micro * 1000 if micro is not None else nano
                    return counts if held is None else counts | {"throttled_ns": held}
            if place == cgroup:
                break
    if not seen:
        unknown["throttled_share"] = "no control group with cpu.stat is visible"
    return {}


def _groups(proc: Path, cgroup: Path) -> list[tuple[str, Path]]:
    """Return this process's control groups of the CPU: `unified` (v2) and `cpu` (v1)."""
    found: list[tuple[str, Path]] = []
    for line in (_text(f"{proc}/self/cgroup") or "").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        inside = path.lstrip("/")
        if ".." in inside.split("/"):
            inside = ""  # a group outside this namespace shows its own files at the root
        if number == "0" and not controllers:
            found.append(("unified", cgroup / inside))
        elif "cpu" in controllers.split(","):
            mount = cgroup / controllers if (cgroup / controllers).is_dir() else cgroup / "cpu"
            found.append(("cpu", mount / inside))
    return found


def _pairs(text: str) -> dict[str, int]:
    fields = (line.split() for line in text.splitlines())
    return {each[0]: int(each[1]) for each in fields if len(each) == 2 and each[1].isdigit()}


def _text(path: str) -> str | None:
    # Read around every span, by many small files: a file object takes longer to make than such a file takes.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        data = b""
        while len(data) < _LARGEST and (more := os.read(descriptor, _LARGEST)):
            data += more
        return data[:_LARGEST].decode("ascii", errors="replace")
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _ranges(cpus: Iterable[int]) -> str:
    return ",".join(map(str, sorted(cpus)))
