"""A CUDA device's ceilings, by our kernels: bandwidth, arithmetic, latency and clock."""

from __future__ import annotations

from collections.abc import Iterator

from harness.shim.ceiling import Ceiling, Ceilings, missing
from harness.shim.cuda import CudaShim
from harness.shim.cuda.arithmetic import PIPELINES
from harness.shim.cuda.memory import BANDWIDTHS, LATENCIES
from harness.shim.cuda.session import Rate
from harness.shim.errors import ArchitectureError

_QUICK_NS = 2_000_000
_FULL_NS = 20_000_000
"""Least device time of one repeat."""


def measure(index: int = 0, *, quick: bool = False) -> Ceilings:
    """Measure every ceiling of one device.

    Args:
        index: which device, as `CUDA_VISIBLE_DEVICES` leaves them.
        quick: shorter repeats.

    Raises:
        ShimError: its subclass says why the device cannot be used.
    """
    with CudaShim(index, target_ns=_QUICK_NS if quick else _FULL_NS) as shim:
        entries = tuple(of(shim))
        return Ceilings(f"cuda:{index}", entries, shim.facts() | {"quick": quick})


def of(shim: CudaShim) -> Iterator[Ceiling]:
    """Measure every ceiling of an opened device."""
    for kind in BANDWIDTHS:
        yield _rate(f"bandwidth.{kind}", shim.bandwidth(kind))
    for kind in shim.arithmetic_kinds():
        how = "fma" if kind in PIPELINES else "matrix"
        # Whole numbers have a rate of their own: it is no FLOP/s.
        name = f"ops.{kind}" if kind.startswith("int") else f"flops.{how}.{kind}"
        try:
            yield _rate(name, shim.arithmetic(kind))
        except ArchitectureError as error:
            yield missing(name, "FLOP/s", str(error))
    for kind in LATENCIES:
        found = shim.latency(kind)
        yield Ceiling(f"latency.{kind}", found.ns * 1e-9, "s", f"{kind} latency, one step after another", n=1)
    clock = shim.sm_clock()
    method = f"cycles over the device's timer, {len(clock.hz)} SMs"
    yield Ceiling("clock.sm", clock.median_hz, "Hz", method, n=len(clock.hz))


def _rate(ceiling_id: str, found: Rate) -> Ceiling:
    """Take the best repeat for the ceiling, and the shim's own figure, of the median one, beside it."""
    clock = "" if found.sm_hz is None else f", at {found.sm_hz / 1e6:.0f} MHz"
    return Ceiling(
        ceiling_id,
        found.work / min(found.repeats_ns) * 1e9,
        found.unit,
        f"kernel {found.path}{clock}",
        median=found.value,
        n=len(found.repeats_ns),
    )
