"""Which combinations can work: one function for the plan and for the compatibility matrix. Loads no torch."""

from __future__ import annotations

from workloads.compress.registry import COMPRESSORS
from workloads.parallel.registry import STRATEGIES
from workloads.setup import NONE
from workloads.transform import Cell, lacks_library, spec_refusal


def refusal(cell: Cell) -> str | None:
    """Return why this combination cannot work, or None when it can.

    Raises:
        KeyError: no such compressor or strategy.
    """
    spec = cell.workload
    if cell.mode not in spec.modes:
        return f"{spec.name} has no mode {cell.mode}; it has {', '.join(spec.modes)}"
    if cell.precision not in spec.precisions:
        able = ", ".join(spec.precisions)
        return f"{spec.name} cannot run with precision {cell.precision}; it can with {able}"
    if cell.precision == "tf32" and cell.device == "cpu":
        return "precision tf32 exists on CUDA devices only"
    if cell.accumulate > 1 and cell.mode not in ("train", "finetune"):
        return f"workload.accumulate={cell.accumulate} needs a training mode"
    if cell.optimize.get("compile") and "compiles" not in spec.traits:
        return f"{spec.name} cannot be compiled"
    if (reason := lacks_library(spec)) is not None:
        return reason
    if cell.compress != NONE and (reason := spec_refusal(COMPRESSORS.get(cell.compress), cell)) is not None:
        return reason
    if cell.parallel == NONE:
        return None if cell.ranks == 1 else f"parallel.ranks={cell.ranks} needs a parallel strategy"
    strategy = STRATEGIES.get(cell.parallel)
    if cell.compress not in (NONE, *strategy.spec.compress):
        return f"{cell.parallel} does not work with compress {cell.compress}"
    return spec_refusal(strategy, cell)
