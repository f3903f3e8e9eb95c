"""Ceilings through torch: the matrix product, and what stands in where no C compiler is. Labelled as such.

A library's figure is what the library reaches, which may be less than the hardware can.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from harness.shim.ceiling import Ceiling, missing, rate
from harness.shim.errors import ShimError

if TYPE_CHECKING:
    import torch

LABEL = "library ceiling"
_SIZES = {"fp32": 1024, "bf16": 2048}
_TOLERANCE = {"fp32": 1e-4, "bf16": 2e-2}


class LibraryWrongError(ShimError):
    """The library's result is not the right one."""


def products(reps: int) -> Iterator[Ceiling]:
    """Measure the matrix product of torch on its present threads, each precision proved by Freivalds' check.

    Raises:
        LibraryWrongError: a product is wrong.
    """
    import torch

    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        n = _SIZES[precision]
        generator = torch.Generator().manual_seed(0)
        a, b = (torch.randn(n, n, generator=generator).to(dtype) for _ in range(2))
        out = torch.empty(n, n, dtype=dtype)
        wall, used = _timed(lambda a=a, b=b, out=out: torch.mm(a, b, out=out), reps)  # type: ignore[misc]
        if (error := product_error(a, b, out)) > _TOLERANCE[precision]:
            raise LibraryWrongError(f"torch.mm in {precision} is wrong: relative error {error:.2g}")
        yield rate(
            f"flops.matmul.{precision}",
            "FLOP/s",
            2.0 * n**3,
            wall,
            f"{LABEL}: torch.mm of {n} x {n}",
            cpu_ns=used,
            threads=torch.get_num_threads(),
        )


def product_error(a: torch.Tensor, b: torch.Tensor, product: torch.Tensor) -> float:
    """Return the relative error of a product on a random vector (Freivalds): (a·b)·v against a·(b·v)."""
    import torch

    v = torch.randn(b.shape[1], dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    right = a.double() @ (b.double() @ v)
    return float((product.double() @ v - right).norm() / right.norm())


def without_compiler(arrays_bytes: int, reps: int) -> Iterator[Ceiling]:
    """Measure the triad by torch's own loop, and say what cannot be measured so."""
    import torch

    n = arrays_bytes // 12  # three arrays of four bytes
    a, b, c = torch.zeros(n), torch.ones(n), torch.full((n,), 2.0)
    wall, used = _timed(lambda: torch.add(b, c, alpha=3.0, out=a), reps)
    if float(a.min()) != 7.0 or float(a.max()) != 7.0:
        raise LibraryWrongError("torch.add with alpha is wrong")
    yield rate(
        "bandwidth.triad",
        "B/s",
        12.0 * n,
        wall,
        f"{LABEL}: torch.add with alpha, arrays of {4 * n / 2**20:.0f} MiB",
        cpu_ns=used,
        threads=torch.get_num_threads(),
    )
    reason = "it needs a C compiler"
    yield missing("bandwidth.read", "B/s", reason)
    yield missing("flops.fma.fp32", "FLOP/s", reason)
    yield missing("flops.fma.fp64", "FLOP/s", reason)
    for name in ("L1", "L2", "L3", "memory", "fork", "barrier"):
        yield missing(f"latency.{name}", "s", reason)
    yield missing("clock.cpu0", "Hz", reason)


def _timed(work: Callable[[], object], reps: int) -> tuple[list[int], list[int]]:
    """Return the wall and the CPU time of each repetition, after two that warm up."""
    work(), work()
    wall, used = [], []
    for _ in range(reps):
        cpu, begin = time.process_time_ns(), time.perf_counter_ns()
        work()
        wall.append(time.perf_counter_ns() - begin)
        used.append(time.process_time_ns() - cpu)
    return wall, used
