"""The CPU's routines: C kernels on a team of pinned threads, timed by wall clock and by CPU time."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from harness.shim.errors import ShimError
from harness.system import native

Kernel = Literal["triad", "sum", "fma_f32", "fma_f64", "chase", "chain"]
KERNELS: tuple[Kernel, ...] = ("triad", "sum", "fma_f32", "fma_f64", "chase", "chain")
"""In the order of the table in `team.c`."""
CHASE_STEPS = 1 << 16
"""Loads of one repetition of `chase`."""
CHAIN_ADDITIONS = 2
"""Dependent additions for each unit of a `chain`'s size."""
NOT_PINNED = -1
FLAGS = ("-O3", "-march=native")
_FOLDER = Path(__file__).parent


class CpuShimError(ShimError):
    """A routine could not run here, or computed something wrong; the message is one line."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one kernel did: its repetitions' times, and what it computed."""

    wall_ns: tuple[int, ...]
    cpu_ns: tuple[int, ...]
    """CPU time of all threads together."""
    threads: int
    pinned: int
    """Threads that were bound to the CPU asked for."""
    checksums: tuple[float, ...]
    """One a thread: 7n of a triad over n elements, n of a sum, 2 - 2^(1-n) a lane of n fused multiply-adds,
    the cycle's length of a chase."""


@cache
def library() -> ctypes.CDLL:
    """Return the compiled routines.

    Raises:
        NotBuiltError: no compiler, or they do not build.
    """
    sources = sorted(_FOLDER.glob("*.[ch]"))
    lib = native.load("cpu", sources, FLAGS)
    size, i64 = ctypes.c_size_t, ctypes.POINTER(ctypes.c_int64)
    ints, doubles = ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_double)
    lib.team_run.argtypes = [ctypes.c_int, size, ctypes.c_int, ints, ctypes.c_int, i64, i64, doubles]
    lib.barrier_run.argtypes = [size, ctypes.c_int, ints, ctypes.c_int, i64]
    lib.fork_run.argtypes = [ctypes.c_int, ctypes.c_int, i64]
    lib.flush_proof.argtypes = [size, size, doubles, doubles]
    lib.dependent_additions.argtypes = [size]
    lib.dependent_additions.restype = ctypes.c_uint64
    return lib


def run(kernel: Kernel, n: int, cpus: Sequence[int], reps: int) -> Run:
    """Run a kernel on one thread for each of `cpus` (`NOT_PINNED` leaves a thread free), `reps` times.

    Args:
        kernel: `triad` and `sum` work on arrays of n doubles a thread, `fma_f32` and `fma_f64` do n steps,
            `chase` walks a ring of n bytes, `chain` adds 2n times.
        n: size of each thread's part.
        cpus: where the threads run.
        reps: repetitions, each between two barriers of all threads.

    Raises:
        NotBuiltError: no compiler.
        CpuShimError: no memory or threads.
    """
    threads = len(cpus)
    wall, cpu = (ctypes.c_int64 * reps)(), (ctypes.c_int64 * reps)()
    checksums = (ctypes.c_double * threads)()
    pinned = library().team_run(
        KERNELS.index(kernel), n, threads, (ctypes.c_int * threads)(*cpus), reps, wall, cpu, checksums
    )
    if pinned < 0:
        raise CpuShimError(f"{kernel}: no memory or no threads for {threads} parts of size {n}")
    return Run(tuple(wall), tuple(cpu), threads, pinned, tuple(checksums))


def barrier_ns(cpus: Sequence[int], reps: int, meetings: int = 256) -> tuple[float, ...]:
    """Return the time of one meeting of all threads, ns, `reps` times.

    Raises:
        NotBuiltError: no compiler.
        CpuShimError: no memory or threads.
    """
    wall = (ctypes.c_int64 * reps)()
    if library().barrier_run(meetings, len(cpus), (ctypes.c_int * len(cpus))(*cpus), reps, wall) < 0:
        raise CpuShimError(f"barrier: no threads for {len(cpus)} members")
    return tuple(ns / meetings for ns in wall)


def fork_ns(threads: int, reps: int) -> tuple[int, ...]:
    """Return the time to start `threads` idle threads and see them end, ns, `reps` times.

    Raises:
        NotBuiltError: no compiler.
        CpuShimError: no memory or threads.
    """
    wall = (ctypes.c_int64 * reps)()
    if library().fork_run(threads, reps, wall) < 0:
        raise CpuShimError(f"fork: no threads for {threads} members")
    return tuple(wall)


def flush_ns(set_bytes: int, sweep_bytes: int) -> tuple[float, float]:
    """Walk a ring of `set_bytes` warm, read `sweep_bytes` of other memory, walk it again; ns a step of both.

    Raises:
        NotBuiltError: no compiler.
        CpuShimError: no memory.
    """
    warm, cold = ctypes.c_double(), ctypes.c_double()
    if library().flush_proof(set_bytes, sweep_bytes, ctypes.byref(warm), ctypes.byref(cold)) < 0:
        raise CpuShimError(f"flush: no memory for a sweep of {sweep_bytes} bytes")
    return warm.value, cold.value


def triad_streams() -> bool:
    """Return whether the triad's stores bypass the caches on this processor."""
    return bool(library().triad_streams())


def fma_lanes(kernel: Literal["fma_f32", "fma_f64"]) -> int:
    """Return the numbers that one step of a kernel advances, each by one fused multiply-add."""
    return int(library().fma_lanes(4 if kernel == "fma_f32" else 8))
