"""The profiling kernel shim: what a device can do at most, and how exactly the instrument times it."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.system.errors import UsageError

if TYPE_CHECKING:
    from harness.shim.ceiling import Ceilings

__all__ = ["ceilings"]


def ceilings(device: str = "cpu", *, quick: bool = False) -> Ceilings:
    """Measure what a device can do at most: some seconds of work, less with `quick`.

    Args:
        device: `cpu`, `cuda` or `cuda:1`.
        quick: fewer repetitions and smaller working sets; a level that these cannot reach is left out, with
            the reason.

    Raises:
        ValueError: no ceilings can be measured on such a device.
        ShimError: the device's driver refuses, or a routine computed something wrong.
    """
    kind, _, index = device.partition(":")
    # Imported here: loading the shim must cost next to nothing, since every worker does it.
    if kind == "cpu" and not index:
        from harness.shim.cpu.ceilings import measure

        return _with_collectives(measure(quick=quick), kind, len(os.sched_getaffinity(0)), quick=quick)
    if kind == "cuda" and (not index or index.isdecimal()):
        from harness.shim.cuda.ceilings import measure as measure_cuda
        from harness.shim.cuda.driver import load

        found = measure_cuda(int(index or 0), quick=quick)
        return _with_collectives(found, kind, load().device_count(), quick=quick)
    raise UsageError(f"no ceilings are measured on {device!r}: choose cpu, cuda or cuda:N")


def _with_collectives(found: Ceilings, kind: str, devices: int, *, quick: bool) -> Ceilings:
    """Add what the devices of this node reach together: two processes of the CPU, or all GPUs."""
    from harness.shim import collectives

    ranks = min(devices, 2) if kind == "cpu" else devices
    return replace(found, entries=(*found.entries, *collectives.measure(kind, ranks, quick=quick)))
