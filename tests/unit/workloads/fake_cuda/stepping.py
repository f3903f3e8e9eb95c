"""Prepare and step cells of the CUDA matrix on fake tensors: shapes, formats and devices, no numbers.

    LD_PRELOAD=device.so python stepping.py < cells.json

`device.so` is `device.cpp`, compiled. This prints a line of JSON for each cell: what went wrong, or what
crossed between host and device within a step; null where nothing did.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import torch
from torch import distributed
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.distributed import device_mesh
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from harness.planning.compatibility import Matrix
from workloads import registry
from workloads.base import TRAINING
from workloads.engine import inference, trained
from workloads.engine import job as engine_job
from workloads.engine.setup import Chosen, Setup
from workloads.inputs import files
from workloads.models import moe
from workloads.parallel.base import Ranks

MATRIX = Matrix("cuda")
DEVICE = torch.device("cuda:0")
FORMULAS = torch.library.Library("aten", "IMPL")


class Crossings(TorchDispatchMode):
    """Notes each operation with tensors on both sides: each waits, or makes the host wait."""

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        result = func(*args, **(kwargs or {}))
        tensors = [t for t in tree_leaves((args, kwargs, result)) if isinstance(t, torch.Tensor)]
        # A number on the host becomes an argument of the kernel; a copy of one does not.
        copied = getattr(func, "overloadpacket", None) in {torch.ops.aten._to_copy, torch.ops.aten.to}
        kinds = {t.device.type for t in tensors if t.numel() and (t.dim() or copied)}
        if len(kinds) > 1:
            self.found.append(str(func))
        return result


def on_host(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of the host's own, which knows real tensors alone."""

    def call(*args: Any, **named: Any) -> Any:
        with unset_fake_temporarily():
            return function(*args, **named)

    return call


def converted(
    module: torch.nn.Module, change: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True
) -> torch.nn.Module:
    """Change every weight and buffer; torch would swap the tensors, which fake ones do not survive."""
    del recurse
    made: dict[torch.nn.Parameter, torch.nn.Parameter] = {}
    for part in module.modules():
        for name, weight in part._parameters.items():
            if weight is not None and weight not in made:
                with torch.no_grad():
                    made[weight] = torch.nn.Parameter(change(weight), weight.requires_grad)
            if weight is not None:
                part._parameters[name] = made[weight]
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = change(buffer)
        if isinstance(part, torch.nn.RNNBase):
            part._init_flat_weights()
    return module


def copied(tensor: torch.Tensor, memo: dict[int, Any]) -> torch.Tensor:
    """Return a deep copy; torch would copy memory that is not there."""
    if id(tensor) not in memo:
        made = tensor.detach().clone()
        memo[id(tensor)] = (
            torch.nn.Parameter(made, tensor.requires_grad) if isinstance(tensor, torch.nn.Parameter) else made
        )
    copy: torch.Tensor = memo[id(tensor)]
    return copy


def stand_in() -> None:
    """Replace what fake tensors cannot do, each by as much of it as has a shape and a device."""
    torch.nn.Module._apply = converted
    FakeTensor.__deepcopy__ = copied
    torch.cuda.amp.common.amp_definitely_not_available = lambda: False
    torch.amp.grad_scaler.amp_definitely_not_available = lambda: False
    torch.cuda.is_bf16_supported = lambda *_, **__: True
    torch.cuda.get_device_capability = lambda *_: (9, 0)
    torch.nn.init.trunc_normal_ = lambda tensor, **_: tensor  # reads back, before any step

    def draw(tensor: torch.Tensor, *_: Any, generator: torch.Generator | None = None) -> torch.Tensor:
        assert generator is None or generator.device == tensor.device
        return tensor

    torch.Tensor.exponential_ = draw

    # torch's kernels without a formula for shapes
    FORMULAS.impl("_fused_sgd_", lambda *_, **__: None, "Meta")

    def product(x: torch.Tensor, weight: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
        assert x.device == weight.device == ends.device
        return x @ weight[0].T

    moe._wide_product = product

    torch.utils._device._device_constructors()  # remembers the real ones
    made = torch.tensor

    def tensor(data: Any, **named: Any) -> torch.Tensor:
        with torch.inference_mode(mode=False):  # in which it goes around fake tensors
            return made(data, **named)

    torch.tensor = tensor

    device_mesh.init_device_mesh = on_host(device_mesh.init_device_mesh)
    torch.cuda.current_stream = lambda: SimpleNamespace(synchronize=lambda: None)
    measured = inference.rehearsed_cache_bytes

    def rehearsed(workload: Any, dtype: Any, batch: Mapping[str, torch.Tensor], *rest: Any) -> int:
        shapes = {k: torch.empty(v.shape, dtype=v.dtype, device="meta") for k, v in batch.items()}
        return measured(workload, dtype, shapes, *rest)

    inference.rehearsed_cache_bytes = on_host(rehearsed)
    loaded = files.load
    trained.load = lambda _model: None

    def load(*args: Any, **named: Any) -> Iterator[torch.Tensor]:
        reader = on_host(loaded)(*args, **named)
        while True:
            read = on_host(next)(reader)
            yield torch.empty(read.shape, dtype=read.dtype)

    files.load = load


@contextmanager
def group(ranks: int) -> Iterator[None]:
    """Be the first of so many ranks, of which no other exists: what they would send is not there either."""
    distributed.init_process_group("fake", rank=0, world_size=ranks, store=FakeStore())
    try:
        yield
    finally:
        distributed.destroy_process_group()


def step(chosen: Mapping[str, str]) -> str | None:
    """Prepare a cell and run it; return what is wrong, or what passed between host and device."""
    cell = MATRIX.cell(chosen)
    workload = registry.get(cell.workload.name)(cell.mode, cell.size)
    for name in ("make_batch", "units", "unread_weights"):
        setattr(workload, name, on_host(getattr(workload, name)))
    setup = Setup(
        device=str(DEVICE),
        precision=cell.precision,
        optimize=cell.optimize,
        compress=Chosen(cell.compress, cell.compress_settings),
        parallel=Chosen(cell.parallel, cell.parallel_settings),
        ranks=Ranks(0, cell.ranks),
    )
    crossings, doing = Crossings(), "prepare"
    try:
        with group(cell.ranks), FakeTensorMode(allow_non_fake_inputs=True):
            job = engine_job.prepare(workload, setup)
            doing = "step"
            with crossings:
                for index in range(2 if cell.mode in TRAINING else 1):  # the second finds optimizer state
                    job.step(index, lambda _mark: None)
            held = (*job.model.parameters(), *job.model.buffers(), job.output())
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what this cell does
        while error.__cause__ is not None:
            error = error.__cause__
        return f"{doing}: {type(error).__name__}: {error}".partition("\n")[0][:200]
    strays = {str(tensor.device) for tensor in held} - {str(DEVICE)}
    if strays:
        return f"tensors on {', '.join(strays)}"
    return f"step: {', '.join(dict.fromkeys(crossings.found))}" if crossings.found else None


if __name__ == "__main__":
    logging.disable()
    torch.set_num_threads(1)
    stand_in()
    for cell in json.load(sys.stdin):
        print(json.dumps(step(cell)), flush=True)
