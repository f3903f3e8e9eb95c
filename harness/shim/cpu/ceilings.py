"""The CPU's ceilings, by our C routines; where there is no compiler, by torch and labelled so."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

from harness.shim.ceiling import Ceiling, Ceilings, latency, missing, rate
from harness.shim.cpu import routines, torch_ceilings
from harness.system import host, native

CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_MIB = 2**20
_FMA_STEPS = 1 << 18
_CHAIN = 1 << 20
_DOUBLE = 8


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is spent: repetitions, and the largest working sets."""

    reps: int
    arrays_bytes: int
    """Of the triad's three arrays together, all threads."""
    ring_bytes: int
    """Of the largest pointer chase."""


FULL = Effort(reps=20, arrays_bytes=3 * 2**29, ring_bytes=2**30)
QUICK = Effort(reps=10, arrays_bytes=384 * _MIB, ring_bytes=64 * _MIB)


@dataclass(frozen=True, slots=True)
class Cache:
    """One level of data cache, as the first CPU sees it."""

    level: int
    size_bytes: int


def measure(*, quick: bool = False, cpus: Sequence[int] | None = None) -> Ceilings:
    """Measure every ceiling of the CPU, on one thread a usable physical core.

    Args:
        quick: less effort.
        cpus: where the threads run; by default the cores that this process may use.

    Raises:
        CpuShimError: a routine computed something wrong.
    """
    effort = QUICK if quick else FULL
    team = tuple(cpus) if cpus is not None else one_cpu_a_core()
    levels = data_caches()
    arrays = arrays_bytes(effort)
    stolen = host.read_steal()
    try:
        routines.library()
    except native.NotBuiltError as error:
        built, entries = str(error), list(torch_ceilings.without_compiler(arrays, effort.reps))
        facts: dict[str, Any] = {"routines": "library", "reason": built}
    else:
        entries = [
            bandwidth("triad", team, arrays, effort.reps),
            bandwidth("sum", team, arrays, effort.reps),
            *_arithmetic(team, effort),
            *_latencies(team, levels, effort),
            *(_clock(each, effort) for each in team),
        ]
        facts = {"routines": "native", "compiler": native.compiler_path(), "flags": " ".join(routines.FLAGS)}
        facts["pinned_threads"] = routines.run("chain", 1, team, 1).pinned
    entries += torch_ceilings.products(effort.reps)
    after = host.read_steal()
    return Ceilings(
        "cpu",
        tuple(entries),
        facts
        | {
            "cpu": host.cpu_name(),
            "cpus": list(team),
            "cpu_quota": host.cpu_quota(),
            "caches": [f"L{c.level} {c.size_bytes // 1024} KiB" for c in levels],
            "arrays_bytes": arrays,
            "last_cache_bytes": levels[-1].size_bytes if levels else None,
            "steal_ratio": steal_ratio(stolen, after),
            "quick": quick,
        },
    )


def one_cpu_a_core() -> tuple[int, ...]:
    """Return one CPU of each physical core that this process may use, no more than its quota grants."""
    found: list[int] = []
    for each in sorted(os.sched_getaffinity(0)):
        if host.physical_cores({*found, each}) > len(found):
            found.append(each)
    return tuple(found[: host.usable_cores()])


def data_caches(folder: Path = CACHES) -> list[Cache]:
    """Return the levels of data cache, nearest first; none where the kernel names none."""
    found = {}
    for index in folder.glob("index[0-9]*"):
        try:
            kind, level, size = ((index / name).read_text().strip() for name in ("type", "level", "size"))
        except OSError:
            continue
        if kind in {"Data", "Unified"} and size.endswith("K"):
            found[int(level)] = Cache(int(level), int(size[:-1]) * 1024)
    return [found[level] for level in sorted(found)]


def arrays_bytes(effort: Effort) -> int:
    """Return the triad's working set: what the effort allows, and no more than an eighth of the memory."""
    return min(effort.arrays_bytes, os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 8)


def steal_ratio(
    before: tuple[int, int] | tuple[None, None], after: tuple[int, int] | tuple[None, None]
) -> float | None:
    """Return the share of the machine's time that the hypervisor took between two readings."""
    if before[0] is None or after[0] is None or after[1] <= before[1]:
        return None
    return (after[0] - before[0]) / (after[1] - before[1])


def bandwidth(kernel: Literal["triad", "sum"], team: Sequence[int], total_bytes: int, reps: int) -> Ceiling:
    """Measure one kernel over three arrays of `total_bytes` together.

    A triad moves 24 bytes per element (two read, one written), a sum 8; with plain stores a triad's true
    traffic is a third larger, and the method says which it was.

    Raises:
        CpuShimError: the checksum is wrong.
    """
    n = total_bytes // (3 * _DOUBLE * len(team)) // 64 * 64
    ran = routines.run(kernel, n, team, reps)
    require(kernel, ran.checksums, (7.0 if kernel == "triad" else 1.0) * n)
    moved = (3 if kernel == "triad" else 1) * _DOUBLE * n * len(team)
    how = "triad a = b + s*c" if kernel == "triad" else "read sweep"
    if kernel == "triad":
        how += ", streaming stores" if routines.triad_streams() else ", plain stores"
    each = n * _DOUBLE / _MIB
    method = f"{how}, arrays of {each:.0f} MiB per thread"
    name = "triad" if kernel == "triad" else "read"
    return rate(f"bandwidth.{name}", "B/s", moved, ran.wall_ns, method, cpu_ns=ran.cpu_ns, threads=len(team))


def fma(kernel: Literal["fma_f32", "fma_f64"], team: Sequence[int], steps: int, reps: int) -> Ceiling:
    """Measure fused multiply-adds from registers: two FLOPs a lane and step.

    Raises:
        CpuShimError: the checksum is wrong.
    """
    lanes = routines.fma_lanes(kernel)
    ran = routines.run(kernel, steps, team, reps)
    require(kernel, ran.checksums, lanes * (2.0 - 2.0 ** (1 - steps)))
    precision = "fp32" if kernel == "fma_f32" else "fp64"
    return rate(
        f"flops.fma.{precision}",
        "FLOP/s",
        2.0 * lanes * steps * len(team),
        ran.wall_ns,
        f"fused multiply-adds from registers, {lanes} lanes",
        cpu_ns=ran.cpu_ns,
        threads=len(team),
    )


def chase(level: str, set_bytes: int, where: int, reps: int) -> Ceiling:
    """Measure loads that depend on each other, in a random cycle over `set_bytes`.

    Raises:
        CpuShimError: the cycle does not hold every line.
    """
    ran = routines.run("chase", set_bytes, [where], reps)
    require("chase", ran.checksums, set_bytes // 64)
    each = [ns / routines.CHASE_STEPS for ns in ran.wall_ns]
    return latency(f"latency.{level}", each, f"pointer chase over {set_bytes / 1024:.0f} KiB")


def require(kernel: str, checksums: Sequence[float], expected: float) -> None:
    """Hold every thread's result to the known answer.

    Raises:
        CpuShimError: one differs.
    """
    for found in checksums:
        if found != expected:
            raise routines.CpuShimError(f"{kernel}: the result is {found:.17g} and must be {expected:.17g}")


def _arithmetic(team: Sequence[int], effort: Effort) -> Iterator[Ceiling]:
    yield fma("fma_f32", team, _FMA_STEPS, effort.reps)
    yield fma("fma_f64", team, _FMA_STEPS, effort.reps)


def _latencies(team: Sequence[int], levels: Sequence[Cache], effort: Effort) -> Iterator[Ceiling]:
    for cache in levels:
        set_bytes = min(cache.size_bytes // 2, effort.ring_bytes) // 64 * 64
        inner = max((c.size_bytes for c in levels if c.level < cache.level), default=0)
        if set_bytes <= inner:
            why = f"a ring of {set_bytes // _MIB} MiB lies in a nearer cache"
            yield missing(f"latency.L{cache.level}", "s", why)
        else:
            yield chase(f"L{cache.level}", set_bytes, team[0], effort.reps)
    last = levels[-1].size_bytes if levels else 0
    if effort.ring_bytes < 2 * last:
        why = f"{effort.ring_bytes // _MIB} MiB are less than twice the last cache of {last // _MIB} MiB"
        yield missing("latency.memory", "s", why)
    else:
        yield chase("memory", effort.ring_bytes, team[0], effort.reps)
    forks = routines.fork_ns(len(team), 10 * effort.reps)
    yield latency("latency.fork", forks, "threads started and joined", threads=len(team))
    if len(team) > 1:
        meetings = routines.barrier_ns(team, effort.reps)
        yield latency("latency.barrier", meetings, "spinning barrier of all threads", threads=len(team))
    else:
        yield missing("latency.barrier", "s", "one core has nobody to meet")


def _clock(where: int, effort: Effort) -> Ceiling:
    ran = routines.run("chain", _CHAIN, [where], effort.reps)
    additions = routines.CHAIN_ADDITIONS * _CHAIN
    return Ceiling(
        f"clock.cpu{where}",
        additions / (min(ran.wall_ns) * 1e-9),
        "Hz",
        "dependent additions, one per cycle",
        median=additions / (median(ran.wall_ns) * 1e-9),
        per_cpu_s=additions / (min(ran.cpu_ns) * 1e-9) if min(ran.cpu_ns) > 0 else None,
        n=effort.reps,
        provenance="derived",
    )
