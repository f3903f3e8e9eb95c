"""Make a workload runnable: one `step` for its mode and precision, and what is known of that step.

A step launches work and returns: it reads nothing back from the device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol, cast

import torch
from torch import nn

from workloads.base import SERVE, TRAINING, Batch, Units, UnsupportedError, Workload
from workloads.compress.base import Compressor
from workloads.counting.storage import parameter_count, tree_bytes, weights_bytes
from workloads.engine import trained
from workloads.engine.build import build
from workloads.engine.compile import REPLAYED, Compiled, lasting, within_steps
from workloads.engine.inference import inference_step
from workloads.engine.precision import autocast, gradient_scaler
from workloads.engine.setup import Setup
from workloads.inputs.batches import to_device
from workloads.optimize import Optimize, update_refusal
from workloads.parallel.base import Strategy
from workloads.parallel.traffic import traffic_evidence
from workloads.training import LossHistory, Mark, Training, make_optimizer, update_of


class Compiler(Protocol):
    """What compiles a model: `workloads.engine.compile.Compiled`, or that of another engine."""

    @property
    def within(self) -> int:
        """How often it worked within `watch`."""

    @property
    def seconds(self) -> float | None:
        """What it took ahead of the first step; None where it works in that step."""

    def watch(self) -> AbstractContextManager[None]:
        """Count its work meanwhile."""


RING = 4
"""Batches kept on the device; steps take them in turn, so that no step waits for data."""


@dataclass
class PreparedWorkload:
    """A workload ready to run on one device."""

    step: Callable[[int, Mark], object]
    """Run iteration `index`; marks name moments inside it (`first_token`).

    What it returns is what a device that cannot be waited for itself waits for."""
    units: Callable[[int], Units]
    """What iteration `index` processes."""
    model: nn.Module
    output: Callable[[], torch.Tensor]
    """The last step's result: the loss, the logits, or the tokens that were generated."""
    check: Callable[[], dict[str, Any]]
    """Evidence, after at least one step: `output_ok`, and `output_reason` (None when it is)."""
    losses: Callable[[], list[float]]
    """The first training loss and the last few thousand, oldest first; reads them back from the device.

    Every rank calls it: they are the whole batch's."""
    weights_bytes: int
    """On this rank, as are the optimizer's and the cache's."""
    parameters: int
    """Of the whole model."""
    optimizer_bytes: Callable[[], int]
    kv_cache_bytes: int
    update: str | None
    """How the optimizer walks its tensors; None without training, and where another process updates."""
    evidence: Callable[[], dict[str, Any]]
    """What the record says of the compression and of the spreading."""
    compiler: Compiler | None = field(repr=False)
    """What compiles the model; None when it was not asked."""
    outputs: Callable[[], object] = tuple
    """All that the last step wrote: its result and, in training, the weights."""
    devices: int = 1
    """How many devices this process drives."""

    @property
    def compile_s(self) -> float | None:
        """What compiling took ahead of the first step; None where nothing was."""
        return None if self.compiler is None else self.compiler.seconds

    @property
    def compiled(self) -> str | None:
        """What the compiler made of the model so far; None when it was not asked."""
        return None if self.compiler is None else str(self.compiler)


def prepare(workload: Workload, setup: Setup) -> PreparedWorkload:
    """Build the model and its batches on the device, and return the job that runs them on this rank.

    The model is built whole, compressed and cast, spread and compiled, in this order. It begins with the
    trained weights, where there are some, and no training is asked for.

    Raises:
        UnsupportedError: the precision, mode, compressor or strategy cannot work here.
        ValueError: a setting is out of range, or the data cannot be used.
        OSError: the data cannot be read.
    """
    if workload.mode not in workload.spec.modes or workload.mode == SERVE:  # `serve.prepare_engine` has it
        raise UnsupportedError(f"{workload.spec.name} has no mode {workload.mode!r}")
    training = workload.mode in TRAINING
    if setup.accumulate > 1 and not training:
        raise ValueError(f"accumulate {setup.accumulate} has no meaning in mode {workload.mode}")
    device, strategy = torch.device(setup.device), setup.strategy()
    built = build(workload, setup, pretrained=not training and trained.fits(workload))
    parameters, whole = parameter_count(built.model), weights_bytes(built.model)
    model = strategy.place(workload, built.model)
    micro = ring_batches(workload, strategy, setup.accumulate)
    ring = [[to_device(strategy.share(part), device, built.cast_to) for part in parts] for parts in micro]

    how, losses, last = setup.optimize.compile, LossHistory(), list[torch.Tensor]()
    optimizer: torch.optim.Optimizer | None = None
    cache_bytes, traffic = 0, dict[str, Any]()
    if training:
        given = _training(workload, setup, strategy, built.compressor, model, ring, losses, last)
        optimizer = given.optimizer
        # Half numbers are half as wide, and a pass that is run again exchanges again.
        plain = setup.precision in {"fp32", "tf32"} and not setup.optimize.checkpoint
        traffic = traffic_evidence(strategy.traffic(given)) if plain and setup.ranks.world > 1 else {}
        step = strategy.train_step(given)
    else:
        single = [parts[0] for parts in ring]
        step, cache_bytes = inference_step(workload, model, single, last, setup)
    compiler = None if how is None else Compiled(built.model, how)
    step = within_steps(step) if how in REPLAYED else step

    passes = workload.n("new_tokens") if workload.mode == "generate" else 1
    # Of the whole model and cache: the rank that counts a share of the batch does so for all that share it.
    cached = cache_bytes * (setup.ranks.world // strategy.shard[1])
    stored = float(whole * passes + cached - (tree_bytes(micro[0]) - tree_bytes(ring[0])))
    counted = [count_units(workload, parts, stored, 2 if built.cast_to is not None else 4) for parts in micro]
    return PreparedWorkload(
        step=step,
        units=lambda turn: counted[turn % RING] if strategy.counts else Units(0),
        model=model,
        output=lambda: last[0],
        outputs=lambda: (list(last), list(model.parameters()) if training else []),
        check=lambda: check_output(last, counted[0].samples, training=training),
        losses=lambda: strategy.world_losses(losses.stacked()).tolist(),
        weights_bytes=weights_bytes(model),
        parameters=parameters,
        optimizer_bytes=lambda: _state_bytes(optimizer),
        kv_cache_bytes=cache_bytes,
        update=None if optimizer is None else update_of(_inner(optimizer)),
        evidence=lambda: built.evidence | strategy.evidence() | ({"traffic": traffic} if traffic else {}),
        compiler=compiler,
    )


def _training(
    workload: Workload,
    setup: Setup,
    strategy: Strategy,
    compressor: Compressor,
    model: nn.Module,
    ring: list[list[Batch]],
    losses: LossHistory,
    last: list[torch.Tensor],
) -> Training:
    """Return what a strategy trains with: the optimizer, the loss, and how numbers are cast."""
    device = torch.device(setup.device)
    name = setup.optimizer or str(workload.spec.train.get("optimizer"))
    walk = _update(setup.optimize, name, setup.precision)
    loss = partial(compressor.loss, workload)
    return Training(
        workload,
        model,
        ring,
        strategy.optimizer(make_optimizer(workload, setup.optimizer, setup.lr, **walk), model),
        lasting(loss) if setup.optimize.compile in REPLAYED else loss,
        autocast(device, setup.precision),
        gradient_scaler(device, setup.precision),
        losses,
        last,
        compressor.updated,
    )


def _update(wanted: Optimize, optimizer: str, precision: str) -> dict[str, bool]:
    """Return torch's words for how the optimizer walks its tensors; `auto` is one kernel where that is right.

    Raises:
        UnsupportedError: one kernel was asked for, and is wrong.
    """
    if wanted.update == "auto":
        return {"fused": update_refusal(Optimize(update="fused"), optimizer, precision) is None}
    if (reason := update_refusal(wanted, optimizer, precision)) is not None:
        raise UnsupportedError(reason)
    return {"foreach": wanted.update == "foreach", "fused": wanted.update == "fused"}


def ring_batches(workload: Workload, strategy: Strategy, accumulate: int) -> list[list[Batch]]:
    """Return the ring's batches for this rank's shard, each as its micro-batches.

    Raises:
        ValueError: a batch does not split so.
    """
    index, count = strategy.shard
    return [split(workload.make_batch(turn, rank=index, world=count), accumulate) for turn in range(RING)]


def split(batch: Batch, parts: int) -> list[Batch]:
    """Return a batch as equal micro-batches.

    Raises:
        ValueError: it does not split so.
    """
    rows = len(next(iter(batch.values()))) if batch else 0
    if parts == 1:
        return [batch]
    if parts < 1 or rows % parts:
        raise ValueError(f"batch {rows} does not split into {parts} equal micro-batches")
    size = rows // parts
    return [{k: v[i * size : (i + 1) * size] for k, v in batch.items()} for i in range(parts)]


def count_units(workload: Workload, parts: Sequence[Batch], stored: float, width: int) -> Units:
    """Count a ring entry, its traffic with the `stored` bytes.

    The workload takes all numbers for fp32, and every weight for read; a number is `width` bytes here.
    """
    units = sum((workload.units(part) for part in parts[1:]), workload.units(parts[0]))
    traffic = units.least_bytes + stored
    if workload.mode not in TRAINING:  # training writes every weight
        traffic -= (4 - width) * workload.outputs(parts[0]) + width * workload.unread_weights(parts[0])
    return replace(units, least_bytes=traffic)


def _state_bytes(optimizer: torch.optim.Optimizer | None) -> int:
    if optimizer is None:
        return 0
    return sum(tree_bytes(state) for state in cast("dict[Any, Any]", _inner(optimizer).state).values())


def _inner(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Return the optimizer of this rank's states, which ZeRO keeps apart."""
    return getattr(optimizer, "optim", optimizer)


def check_output(last: Sequence[torch.Tensor], samples: int, *, training: bool) -> dict[str, Any]:
    """Judge the last step's result: one finite loss, or a finite row for each sample."""
    if not last:
        reason: str | None = "no step has run"
    elif training and last[0].numel() != 1:
        reason = f"the loss has shape {tuple(last[0].shape)}, not one value"
    elif not training and (last[0].dim() == 0 or len(last[0]) != samples):
        reason = f"the output has shape {tuple(last[0].shape)} for {samples} samples"
    elif not bool(torch.isfinite(last[0]).all()):
        reason = "the loss is not finite" if training else "the output is not finite"
    else:
        reason = None
    return {"output_ok": reason is None, "output_reason": reason}
