"""Single operators: what one kernel reaches on a device, over any shape and number format.

Shapes are size keys (`workload.shape.columns=…`), number formats the group `precision`.
"""

from __future__ import annotations

import abc
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from workloads.base import Batch, Size, Units, Workload, WorkloadSpec
from workloads.counting import flops

if TYPE_CHECKING:
    import torch
    from torch import nn


def _spec(name: str, title: str, summary: str, **sizes: dict[str, Any]) -> WorkloadSpec:
    return WorkloadSpec(
        name=name, title=title, family="micro", summary=summary, unit="samples", modes=("infer",), sizes=sizes
    )


class Operator(Workload):
    """One operator over normally distributed inputs; a sample is a row of its first input."""

    @abc.abstractmethod
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the inputs, by name, in the order of the operator's arguments."""

    @abc.abstractmethod
    def work(self, rows: int) -> tuple[float, int]:
        """FLOPs over `rows` samples, and the numbers that are written."""

    def make_batch(self, index: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Return the inputs, normally distributed."""
        import numpy as np

        from workloads.inputs import batches

        random = batches.rng(self.seed, index)
        arrays = {
            name: random.standard_normal(shape, dtype=np.float32) for name, shape in self.shapes().items()
        }
        return batches.shard(arrays, rank, world)

    def units(self, batch: Batch) -> Units:
        """Count a step; normalisations and softmax have traffic and no FLOPs that count."""
        rows = len(next(iter(batch.values())))
        work, written = self.work(rows)
        read = sum(tensor.numel() * tensor.element_size() for tensor in batch.values())
        return Units(rows, 0, rows, work, read + 4.0 * written)

    def outputs(self, batch: Batch) -> int:
        """All that is written has the model's number format."""
        return self.work(len(next(iter(batch.values()))))[1]

    def infer(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the operator's result, a row for each sample."""
        result: torch.Tensor = model(*batch.values())
        return result


class MatrixProduct(Operator):
    """(batch, inner) by (inner, columns)."""

    spec: ClassVar[WorkloadSpec] = _spec(
        "matmul",
        "Matrix product",
        "one matrix product of (batch, inner) by (inner, columns)",
        tiny={"batch": 256, "inner": 256, "columns": 256},
        base={"batch": 4096, "inner": 4096, "columns": 4096},
        large={"batch": 16_384, "inner": 16_384, "columns": 16_384},
    )

    def build_model(self) -> nn.Module:
        """Build the right-hand matrix, stored by columns as linear layers are."""
        from torch import nn

        return nn.Linear(self.n("inner"), self.n("columns"), bias=False)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The left-hand matrix."""
        return {"x": (self.n("batch"), self.n("inner"))}

    def work(self, rows: int) -> tuple[float, int]:
        """2·m·k·n."""
        return flops.linear(rows, self.n("inner"), self.n("columns")), rows * self.n("columns")


class Attention(Operator):
    """Softmax(q·kᵀ)·v: causal over `context` positions in `prefill`, one query over them in `decode`."""

    spec: ClassVar[WorkloadSpec] = _spec(
        "attention",
        "Attention",
        "scaled dot-product attention, shape.phase prefill or decode",
        tiny={"batch": 2, "phase": "prefill", "context": 128, "heads": 4, "kv_heads": 4, "head_size": 64},
        base={"batch": 8, "phase": "prefill", "context": 2048, "heads": 32, "kv_heads": 8, "head_size": 128},
        large={
            "batch": 8,
            "phase": "prefill",
            "context": 16_384,
            "heads": 64,
            "kv_heads": 8,
            "head_size": 128,
        },
    )

    def __init__(self, mode: str, size: Size, *, seed: int = 0, data: Path | None = None) -> None:
        super().__init__(mode, size, seed=seed, data=data)
        if size["phase"] not in ("prefill", "decode"):
            raise ValueError(f"attention: phase {size['phase']!r} is not one of prefill, decode")
        if self.n("heads") % self.n("kv_heads"):
            raise ValueError(
                f"attention: {self.n('heads')} heads do not divide among {self.n('kv_heads')} kv_heads"
            )

    @property
    def _queries(self) -> int:
        return self.n("context") if self.size["phase"] == "prefill" else 1

    def build_model(self) -> nn.Module:
        """Build the operator, which has no weights."""
        from workloads.models import operators

        return operators.Attention(causal=self.size["phase"] == "prefill")

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Queries, keys and values (B, heads, positions, head size)."""
        batch, width, context = self.n("batch"), self.n("head_size"), self.n("context")
        stored = (batch, self.n("kv_heads"), context, width)
        return {"q": (batch, self.n("heads"), self._queries, width), "k": stored, "v": stored}

    def work(self, rows: int) -> tuple[float, int]:
        """4·queries·keys·d; the causal half of it in prefill."""
        hidden, queries = self.n("heads") * self.n("head_size"), self._queries
        causal = self.size["phase"] == "prefill"
        work = flops.attention(rows, queries, self.n("context"), hidden, 1, causal=causal)
        return work, rows * queries * hidden


class Softmax(Operator):
    """Softmax over the columns of (batch, columns)."""

    spec: ClassVar[WorkloadSpec] = _spec(
        "softmax",
        "Softmax",
        "softmax over the rows of a matrix",
        tiny={"batch": 256, "columns": 1024},
        base={"batch": 16_384, "columns": 4096},
        large={"batch": 65_536, "columns": 32_768},
    )

    def build_model(self) -> nn.Module:
        """Build the operator."""
        from torch import nn

        return nn.Softmax(dim=-1)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The matrix."""
        return {"x": (self.n("batch"), self.n("columns"))}

    def work(self, rows: int) -> tuple[float, int]:
        """Traffic alone."""
        return 0.0, rows * self.n("columns")


class LayerNorm(Softmax):
    """Layer norm over the columns of (batch, columns), with weight and bias."""

    spec: ClassVar[WorkloadSpec] = _spec(
        "layernorm",
        "Layer norm",
        "layer norm over the rows of a matrix",
        tiny={"batch": 256, "columns": 1024},
        base={"batch": 16_384, "columns": 4096},
        large={"batch": 65_536, "columns": 16_384},
    )

    def build_model(self) -> nn.Module:
        """Build the operator."""
        from torch import nn

        return nn.LayerNorm(self.n("columns"))


class Convolution(Operator):
    """A square convolution, padded to keep the size, channels last."""

    spec: ClassVar[WorkloadSpec] = _spec(
        "convolution",
        "Convolution",
        "one square convolution of `channels` to `channels_out`, padded, channels last",
        tiny={"batch": 4, "image": 32, "channels": 32, "channels_out": 32, "kernel": 3},
        base={"batch": 64, "image": 56, "channels": 256, "channels_out": 256, "kernel": 3},
        large={"batch": 256, "image": 56, "channels": 512, "channels_out": 512, "kernel": 3},
    )

    def __init__(self, mode: str, size: Size, *, seed: int = 0, data: Path | None = None) -> None:
        super().__init__(mode, size, seed=seed, data=data)
        if self.n("kernel") % 2 == 0:
            raise ValueError(f"convolution: kernel {self.n('kernel')} is not odd")

    def build_model(self) -> nn.Module:
        """Build the filters."""
        import torch
        from torch import nn

        kernel = self.n("kernel")
        filters = nn.Conv2d(
            self.n("channels"), self.n("channels_out"), kernel, padding=kernel // 2, bias=False
        )
        return filters.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The images."""
        return {"x": (self.n("batch"), self.n("channels"), self.n("image"), self.n("image"))}

    def make_batch(self, index: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Return the images, channels last."""
        import torch

        batch = super().make_batch(index, rank=rank, world=world)
        return {"x": batch["x"].contiguous(memory_format=torch.channels_last)}

    def work(self, rows: int) -> tuple[float, int]:
        """2·pixels·in·out·kernel²."""
        pixels, wide = rows * self.n("image") ** 2, self.n("channels_out")
        return flops.conv2d(pixels, self.n("channels"), wide, self.n("kernel")), pixels * wide


class Embedding(Operator):
    """Rows of a table, each sample looking `lookups` up."""

    spec: ClassVar[WorkloadSpec] = _spec(
        "embedding",
        "Embedding lookup",
        "random rows of a table",
        tiny={"batch": 256, "lookups": 16, "rows": 10_000, "hidden": 64},
        base={"batch": 8192, "lookups": 64, "rows": 1_000_000, "hidden": 256},
        large={"batch": 65_536, "lookups": 64, "rows": 20_000_000, "hidden": 256},
    )

    def build_model(self) -> nn.Module:
        """Build the table."""
        from torch import nn

        return nn.Embedding(self.n("rows"), self.n("hidden"))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The rows to look up."""
        return {"x": (self.n("batch"), self.n("lookups"))}

    def make_batch(self, index: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Return uniformly drawn row numbers (B, lookups)."""
        from workloads.inputs import batches

        random = batches.rng(self.seed, index)
        drawn = {name: random.integers(0, self.n("rows"), shape) for name, shape in self.shapes().items()}
        return batches.shard(drawn, rank, world)

    def work(self, rows: int) -> tuple[float, int]:
        """Traffic alone."""
        return 0.0, rows * self.n("lookups") * self.n("hidden")

    def unread_weights(self, batch: Batch) -> int:
        """The rows that nobody looks up."""
        from workloads.inputs.batches import distinct

        return (self.n("rows") - distinct(batch["x"])) * self.n("hidden")
