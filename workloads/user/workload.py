"""The workload `user`: the user's own model, trained or run forward."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from workloads.base import Batch, Size, Units, UnsupportedError, Workload, WorkloadSpec
from workloads.counting import flops
from workloads.user.source import Source

if TYPE_CHECKING:
    import torch
    from torch import nn


class Origin(Protocol):
    """What each kind of source gives."""

    def build(self) -> nn.Module:
        """Return a new model on torch's current default device."""

    def inputs(self, index: int) -> Mapping[str, Any]:
        """Return batch `index` by name; torch's random state has been set for it."""

    def run(self, model: nn.Module, batch: Batch) -> Any:
        """Call the model on a batch."""

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor | None:
        """Return the training loss, None where the source has none."""


class User(Workload):
    """A model that this package knows nothing of; a sample is a row of the first input.

    FLOPs are counted by torch on the `meta` device, without the causal half of attention's work being taken
    off; a model that cannot run there has none. With `exact`, inputs of another batch than the size's are an
    error.
    """

    spec: ClassVar[WorkloadSpec] = WorkloadSpec(
        name="user",
        title="Own model",
        family="user",
        summary="Your own model: workload.factory=module:function, workload.program or workload.folder",
        unit="samples",
        modes=("train", "infer"),
        sizes={
            "tiny": {"batch": 8, "seq": 128},
            "base": {"batch": 32, "seq": 512},
            "large": {"batch": 128, "seq": 2048},
        },
        train={"optimizer": "adamw", "lr": 1e-4},
        traits=frozenset({"compiles", "linear", "samples"}),
    )

    def __init__(
        self,
        mode: str,
        size: Size,
        *,
        seed: int = 0,
        data: Path | None = None,
        source: Source | None = None,
        exact: bool = False,
    ) -> None:
        super().__init__(mode, size, seed=seed, data=data)
        self._source = source
        self._exact = exact
        self._made: Origin | None = None
        self._flops: dict[tuple[torch.Size, ...], float] = {}

    @property
    def _origin(self) -> Origin:
        if self._made is None:
            self._made = self._open()
        return self._made

    def _open(self) -> Origin:
        if self._source is None:
            raise ValueError("workload user: no workload.factory, workload.program or workload.folder")
        if self._source.kind == "factory":
            from workloads.user.factory import Factory

            return Factory(self._source, self.size)
        if self._source.kind == "program":
            from workloads.user.program import Program

            return Program(self._source)
        from workloads.hf.folder import Folder

        return Folder(Path(self._source.name).expanduser(), self.n("batch"), self.n("seq"))

    def build_model(self) -> nn.Module:
        """Build the user's model."""
        return self._origin.build()

    def make_batch(self, index: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Return the user's inputs, drawn from a random state of their own."""
        import torch

        from workloads.inputs import batches

        origin = self._origin  # opening it may draw random numbers too
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(batches.rng(self.seed, index).integers(2**62)))
            inputs = origin.inputs(index)
        rows = _rows(inputs)
        if self._exact and rows != self.n("batch"):
            raise ValueError(
                f"workload user: a batch of {self.n('batch')} was asked for, the inputs have {rows}"
            )
        part = slice(rank * rows // world, (rank + 1) * rows // world)
        return {name: each.detach().cpu()[part] for name, each in inputs.items()}

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the user's loss, or the one that the model itself returns."""
        loss = self._origin.loss(model, batch)
        if loss is None:
            raise UnsupportedError("the model has no training loss: return one as the factory's third value")
        if getattr(loss, "ndim", None) != 0:
            said = getattr(loss, "shape", type(loss).__name__)
            raise ValueError(f"workload user: the loss is a tensor without dimensions, not {said}")
        return loss

    def infer(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the first tensor of the model's output."""
        return _first_tensor(self._origin.run(model, batch))

    def units(self, batch: Batch) -> Units:
        """Count a step by running it without memory."""
        rows = len(next(iter(batch.values())))
        moved = float(sum(tensor.numel() * tensor.element_size() for tensor in batch.values()))
        shapes = tuple(tensor.shape for tensor in batch.values())
        if shapes not in self._flops:
            self._flops[shapes] = self._counted(batch)
        work = self._flops[shapes]
        if self.mode == "train":
            return Units(rows, 0, 0, flops.TRAIN_FACTOR * work, moved)
        return Units(rows, 0, rows, work, moved)

    def _counted(self, batch: Batch) -> float:
        import torch

        from workloads.counting.torch_counter import counted

        shadow = {name: tensor.to("meta") for name, tensor in batch.items()}
        try:
            with torch.device("meta"), torch.no_grad():
                model = self.build_model()
                return counted(lambda: self._origin.run(model, shadow))
        except Exception:  # noqa: BLE001 - a model may read values, which are not there without memory
            return 0.0


def _rows(inputs: Any) -> int:
    """Return how many samples there are, in each of the inputs.

    Raises:
        ValueError: the inputs are no tensors by name, or do not have as many rows each.
    """
    import torch

    if not isinstance(inputs, Mapping) or not inputs:
        raise ValueError(f"workload user: inputs are a mapping of names to tensors, not {inputs!r:.50}")
    for name, each in inputs.items():
        if not isinstance(each, torch.Tensor):
            raise ValueError(  # noqa: TRY004 - what the user's function returns is a value
                f"workload user: inputs are tensors by name, and {name} is of type {type(each).__name__}: "
                "let a module around the model take its parts one by one"
            )
    rows = {name: len(each) if each.ndim else 0 for name, each in inputs.items()}
    count = next(iter(rows.values()))
    if count == 0 or set(rows.values()) != {count}:
        shapes = ", ".join(f"{name} {tuple(each.shape)}" for name, each in inputs.items())
        raise ValueError(f"workload user: the first dimension of every input is the samples: {shapes}")
    return count


def _first_tensor(output: Any) -> torch.Tensor:
    """Return the first tensor of nested containers and dataclasses.

    Raises:
        ValueError: there is none.
    """
    found = next(_tensors(output), None)
    if found is None:
        raise ValueError(f"workload user: the model's output holds no tensor, it is {output!r:.50}")
    return found


def _tensors(output: Any) -> Iterator[torch.Tensor]:
    import torch

    if isinstance(output, torch.Tensor):
        yield output
        return
    parts: Iterable[Any] = ()
    if isinstance(output, Mapping):
        parts = output.values()
    elif isinstance(output, list | tuple):
        parts = output
    elif dataclasses.is_dataclass(output):
        parts = (getattr(output, field.name) for field in dataclasses.fields(output))
    for part in parts:
        yield from _tensors(part)
