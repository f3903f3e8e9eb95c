"""Which combinations can work: one function for the plan and for the compatibility matrix. Loads no torch."""

from __future__ import annotations

from workloads import optimize
from workloads.base import SERVE, TRAINING
from workloads.compress.registry import COMPRESSORS
from workloads.jax.support import refusal as xla_refusal
from workloads.parallel.registry import STRATEGIES
from workloads.transform import NONE, Cell, lacks_library, spec_refusal


def refusal(cell: Cell) -> str | None:
    """Return why this combination cannot work, or None when it can.

    Raises:
        KeyError: no such compressor or strategy.
    """
    spec = cell.workload
    if cell.mode not in spec.modes:
        return f"{spec.name} has no mode {cell.mode}; it has {', '.join(spec.modes)}"
    if (reason := _precision_refusal(cell)) is not None:
        return reason
    if cell.accumulate > 1 and cell.mode not in TRAINING:
        return f"workload.accumulate={cell.accumulate} needs a training mode"
    if int(cell.size.get("batch", cell.accumulate)) % cell.accumulate:
        return f"batch {cell.size['batch']} does not split into {cell.accumulate} equal micro-batches"
    if (reason := optimize.refusal(cell.optimize, spec, cell.mode, cell.device)) is not None:
        return reason
    optimizer = cell.optimizer or str(spec.train.get("optimizer"))
    if (reason := optimize.update_refusal(cell.optimize, optimizer, cell.precision)) is not None:
        return reason
    if cell.device == "cuda" and (reason := _kernel_refusal(cell)) is not None:
        return reason
    if (reason := lacks_library(spec)) is not None:
        return reason
    if cell.device != "xla" and "jax" in spec.traits:
        return f"{spec.name} is written in JAX: device=xla"
    if cell.device == "tpu" and cell.optimize.compile is not None:
        return "torch_tpu puts its own compiler in the place of torch.compile: device=tpu runs eager"
    if cell.device == "xla" and (reason := xla_refusal(cell)) is not None:
        return reason
    if cell.size.get("pinned") and cell.device != "cuda":
        return f"pinned memory serves copies to and from CUDA devices, not {cell.device}"
    if "ranks" in spec.traits and cell.parallel != "group":
        return f"{spec.name} is an exchange between ranks: parallel=group"
    if cell.compress != NONE and (reason := _compress_refusal(cell)) is not None:
        return reason
    if cell.parallel == NONE:
        return None if cell.ranks == 1 else f"parallel.ranks={cell.ranks} needs a parallel strategy"
    if cell.mode == SERVE and cell.parallel != "tensor":
        return "an engine serves in one process, or with its matrices split: parallel=none or tensor"
    strategy = STRATEGIES.get(cell.parallel)
    if cell.compress not in (NONE, *strategy.spec.compress):
        return f"{cell.parallel} does not work with compress {cell.compress}"
    if strategy.spreads_weights and cell.optimize.update == "fused" and optimizer == "sgd":
        return "torch has no SGD in one kernel over spread weights (optimize.update)"
    return spec_refusal(strategy, cell)


def _compress_refusal(cell: Cell) -> str | None:
    compressor = COMPRESSORS.get(cell.compress)
    if not compressor.differentiable and "differentiates" in cell.workload.traits:
        return f"{cell.compress} lets no gradients through, and {cell.workload.name} takes some in inference"
    return spec_refusal(compressor, cell)


def _kernel_refusal(cell: Cell) -> str | None:
    """Refuse what torch's CUDA kernels have in half precision alone; training in fp8 attends in bf16."""
    back_end, precision = cell.optimize.attention, cell.precision
    if back_end in {"flash", "cudnn"} and precision in {"fp32", "tf32"}:
        return f"the attention back end {back_end} takes bf16 and fp16 on CUDA, not {precision}"
    if cell.optimize.cuda_graphs and "experts" in cell.workload.traits and precision != "bf16":
        return (
            f"optimize.cuda_graphs captures what reads nothing back; in {precision} torch reads back how many"
            " rows each expert has (bf16 it multiplies on the device alone)"
        )
    return None


def _precision_refusal(cell: Cell) -> str | None:
    spec, precision = cell.workload, cell.precision
    if precision not in spec.precisions:
        return f"{spec.name} cannot run with precision {precision}; it can with {', '.join(spec.precisions)}"
    if precision in {"tf32", "fp8"} and cell.device != "cuda":
        return f"precision {precision} exists on CUDA devices only"
    if precision == "fp8" and cell.mode not in TRAINING:
        return "precision fp8 is a way to train; compress=fp8 stores the weights in fp8"
    if precision == "fp8" and "linear" not in spec.traits:
        return f"precision fp8 needs linear layers, which {spec.name} lacks"
    lstm = "recurrent" in spec.traits and cell.size.get("cell") == "lstm"
    if lstm and precision == "fp16" and cell.device == "cpu" and cell.mode in TRAINING:
        return "torch trains no nn.LSTM in fp16 on the CPU; nn.GRU and nn.RNN it does (workload.shape.cell)"
    return None
