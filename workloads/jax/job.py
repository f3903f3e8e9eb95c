"""Make a workload runnable by XLA: the counterpart of `workloads.engine.job`, one compiled program a step.

The model is the workload's own, built by torch on the CPU with the same seed: its weights are those of every
other device. torchax traces it once, and torch takes no part in a step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

from workloads.base import TRAINING, Batch, UnsupportedError, Workload
from workloads.counting.storage import parameter_count, weights_bytes
from workloads.engine import trained
from workloads.engine.build import Built, build
from workloads.engine.job import RING, PreparedWorkload, check_output, count_units, ring_batches
from workloads.engine.setup import Setup
from workloads.inputs.batches import to_device
from workloads.jax import mesh, support
from workloads.jax.bridge import environment
from workloads.jax.compiles import CompileWatch
from workloads.jax.inference import Model, inference_step
from workloads.jax.optimizers import optimizer
from workloads.jax.stateless import Stateless
from workloads.jax.training import TrainingStep, torch_loss
from workloads.training import Mark

MATMUL = "highest"
"""fp32 products in fp32: what JAX would do on the CPU by itself, and on a TPU only when it is asked to."""


@dataclass(frozen=True, slots=True)
class _Work:
    """What a step is made of."""

    workload: Workload
    setup: Setup
    built: Built
    stateless: Stateless
    ring: Sequence[Sequence[Batch]]
    placement: mesh.Placement
    watch: CompileWatch


def prepare(workload: Workload, setup: Setup, *, first_device: int = 0) -> PreparedWorkload:
    """Build the model, compile its step ahead of time, and return the job that runs it.

    Args:
        workload: In the trial's mode.
        setup: Of the trial; its `device` counts for nothing, JAX's own devices do.
        first_device: Index among them of the first that is used.

    Raises:
        UnsupportedError: XLA cannot trace this work, or not in this way.
        ValueError: a setting is out of range, or the batches differ in shape.
    """
    if (reason := support.untraceable(workload.spec)) is not None:
        raise UnsupportedError(reason)
    environment()
    jax.config.update("jax_default_matmul_precision", MATMUL if setup.precision == "fp32" else None)
    training = workload.mode in TRAINING
    built = build(workload, replace(setup, device="cpu"), pretrained=not training and trained.fits(workload))
    micro = ring_batches(workload, setup.strategy(), setup.accumulate)
    _same_shapes([part for parts in micro for part in parts])
    ring = [[to_device(part, torch.device("cpu"), built.cast_to) for part in parts] for parts in micro]
    work = _Work(
        workload, setup, built, Stateless(built.model), ring, _placement(setup, first_device), CompileWatch()
    )
    step, last, cache_bytes, state = (_training if training else _inference)(work)

    passes = workload.n("new_tokens") if workload.mode == "generate" else 1
    stored = float(weights_bytes(built.model) * passes + cache_bytes)
    width = 2 if built.cast_to is not None else 4
    counted = [count_units(workload, parts, stored, width) for parts in micro]
    samples = counted[0].samples
    return PreparedWorkload(
        step=step,
        units=lambda turn: counted[turn % RING],
        model=built.model,
        output=lambda: torch_of(last()),
        check=lambda: check_output(
            [torch_of(last())] if last() is not None else [], samples, training=training
        ),
        losses=state.losses if state is not None else list,
        weights_bytes=weights_bytes(built.model),
        parameters=parameter_count(built.model),
        optimizer_bytes=lambda: 0 if state is None else _bytes(state.optimizer_state),
        kv_cache_bytes=cache_bytes,
        update="xla" if training else None,
        evidence=lambda: {"xla": _evidence(work)},
        compiler=work.watch,
        devices=work.placement.devices,
    )


def torch_of(array: Any) -> torch.Tensor:
    """Copy an array to the CPU as a torch tensor, bf16 as fp32: numpy has no such format."""
    copied = np.array(array.astype(jnp.float32) if array.dtype == jnp.bfloat16 else array)
    return torch.from_numpy(copied)


_Parts = tuple[Callable[[int, Mark], Any], Callable[[], Any], int, TrainingStep | None]
"""A step, its last result, the bytes of its cache, and the state of a training."""


def _training(work: _Work) -> _Parts:
    workload, setup, spec = work.workload, work.setup, work.workload.spec.train
    name = setup.optimizer or spec.get("optimizer")
    lr = setup.lr if setup.lr is not None else spec.get("lr")
    if name is None or lr is None:
        raise ValueError(f"{workload.spec.name} has no training defaults: give an optimizer and lr")
    autocast = torch.bfloat16 if setup.precision == "bf16" else None
    weights = work.stateless.state()
    written = getattr(workload, "jax_loss", None)
    step = TrainingStep(
        torch_loss(workload, work.stateless, autocast) if written is None else written(),
        weights.trained,
        weights.carried,
        [[work.stateless.arrays(part) for part in parts] for parts in work.ring],
        optimizer(str(name), float(lr)),
        work.placement,
        work.watch,
    )
    return step, lambda: step.last, 0, step


def _inference(work: _Work) -> _Parts:
    placement, weights = work.placement, work.stateless.state()
    model = Model(
        work.workload,
        work.stateless,
        jax.tree.map(placement.weight, weights.trained | weights.carried),
        [jax.tree.map(placement.batch, work.stateless.arrays(parts[0])) for parts in work.ring],
        work.watch,
    )
    run, cache_bytes = inference_step(model, temperature=work.setup.temperature, top_k=work.setup.top_k)
    last: list[Any] = [None]

    def step(index: int, mark: Mark) -> Any:
        last[0], outputs = run(index, mark)
        return outputs

    return step, lambda: last[0], cache_bytes, None


def _placement(setup: Setup, first: int) -> mesh.Placement:
    settings: Mapping[str, Any] = setup.parallel.settings if setup.parallel.name == "mesh" else {}
    layout: mesh.Layout = "split" if settings.get("weights") == "split" else "whole"
    return mesh.placement(first, int(settings.get("devices", 1)), layout)


def _same_shapes(parts: Sequence[Batch]) -> None:
    shapes = [{name: (tuple(t.shape), t.dtype) for name, t in part.items()} for part in parts]
    if any(each != shapes[0] for each in shapes):
        raise ValueError("the batches differ in shape, and XLA compiles for one shape")


def _bytes(tree: Any) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def _evidence(work: _Work) -> dict[str, Any]:
    device = work.placement.mesh.devices.flat[0]
    return {
        "platform": device.platform,
        "device_kind": device.device_kind,
        "devices": work.placement.devices,
        "weights": work.placement.layout,
        "matmul_precision": jax.config.jax_default_matmul_precision or "default",
        "programs": work.watch.evidence(),
    }
