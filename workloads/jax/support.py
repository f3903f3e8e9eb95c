"""What cannot run under XLA, each with its reason: plain data for the plan. Imports no JAX."""

from __future__ import annotations

from workloads.base import SERVE, WorkloadSpec
from workloads.optimize import EAGER
from workloads.transform import Cell

PRECISIONS = ("fp32", "bf16")
MOST_UNROLLED = 64
"""Tokens of a generation, whose steps XLA unrolls into one program."""
UNTRACEABLE = {
    "copy": "it copies between host and device, which a traced program does not",
    "collectives": "it exchanges between processes; under XLA devices share one process (parallel=mesh)",
    "dataloading": "it works on the host",
    "checkpoint": "it works on the host",
    "optimizer": "it is an update by torch's optimizers, where XLA compiles its own",
    "noop": "it tests the harness's own loop",
    "spin": "it tests the harness's own loop",
    "fasterrcnn": "the number of its boxes depends on the values",
    "user": "your own model may hold what XLA cannot trace; it runs on cpu and cuda",
}


def untraceable(spec: WorkloadSpec) -> str | None:
    """Return why XLA cannot run a workload, None when it can."""
    if (reason := UNTRACEABLE.get(spec.name)) is not None:
        return f"{spec.name} does not run on xla: {reason}"
    if "differentiates" in spec.traits:
        return f"{spec.name} does not run on xla: its inference takes gradients by torch's autograd"
    if spec.library is not None:
        return f"{spec.name} does not run on xla: models of {spec.library} are not adapted"
    return None


def refusal(cell: Cell) -> str | None:
    """Return why a combination cannot work under XLA, None when it can."""
    if (reason := untraceable(cell.workload)) is not None:
        return reason
    if cell.mode == SERVE:
        return "an engine's batch changes with every step; XLA compiles one shape"
    if cell.precision not in PRECISIONS:
        return f"device=xla runs in {' and '.join(PRECISIONS)}, not in {cell.precision}"
    if cell.optimize != EAGER:
        return "device=xla takes optimize=eager alone: XLA compiles every step by itself"
    if cell.mode == "generate" and int(cell.size["new_tokens"]) > MOST_UNROLLED:
        return f"XLA unrolls a generation into one program: at most {MOST_UNROLLED} new tokens"
    if int(cell.size.get("beams", 1)) > 1:
        return "device=xla has no search by beams"
    return None
