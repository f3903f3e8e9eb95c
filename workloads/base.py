"""The protocol between a workload and the harness: plain data that loads without torch, and a class."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = [
    "MODES",
    "PRECISIONS",
    "SERVE",
    "TRAINING",
    "TRAITS",
    "Batch",
    "GenerativeWorkload",
    "Scalar",
    "Size",
    "Units",
    "UnsupportedError",
    "Workload",
    "WorkloadSpec",
]

Scalar = int | float | str | bool
Size = Mapping[str, Scalar]
"""Sizes of one model and its batch, by name: `layers`, `hidden`, `batch`, `seq`, …"""
Batch = dict[str, "torch.Tensor"]

SERVE = "serve"
"""The mode in which an engine answers requests as they come; `harness.serving` drives it."""
MODES = ("train", "finetune", "infer", "prefill", "decode", "generate", SERVE)
TRAINING = ("train", "finetune")
PRECISIONS = ("fp32", "tf32", "bf16", "fp16", "fp8")

TRAITS = {
    "compiles": "torch.compile applies to its model",
    "linear": "most weights lie in nn.Linear layers",
    "recurrent": "most weights lie in nn.LSTM, nn.GRU or nn.RNN, as the size `cell` says",
    "convolution": "it convolves images, (B, C, H, W), by nn.Conv2d",
    "batch_norm": "it holds batch norm, whose statistics are those of the rank's own samples",
    "attention": "it attends by scaled_dot_product_attention",
    "masked": "it attends under masks, which the flash back end takes on the CPU alone",
    "biased": "it attends under a bias that it learns, of which the flash back end takes no gradient",
    "kv_cache": "it keeps keys and values of the positions behind it, in a cache that may grow",
    "narrows": "its inner layers can lose neurons or channels, see `workloads.models.narrow`",
    "prefix": "a model of transformers that attends to keys and values before its input",
    "blocks": "`blocks` lists repeated blocks, to shard or to checkpoint",
    "samples": "its training loss is the mean over independent samples, so that ranks may share a batch",
    "tensor": "its modules say how their matrices split over ranks, see `workloads.models.tensor_split`",
    "stages": "its model is cut at its blocks by `workloads.models.pipeline_stages.Staged`",
    "sequence": "its sequence can be split over ranks",
    "experts": "it holds experts that can lie on different ranks",
    "tables": "it holds embedding tables that can lie on different ranks",
    "ranks": "its step is an exchange between ranks, for the strategy `group`",
    "differentiates": "its inference takes gradients through the model",
    "numbered": "its blocks know their number, under which a cache keeps what they read",
    "jax": "its model is written in JAX, for device=xla alone",
    "classes": "its outputs are logits over classes or a vocabulary, in the last dimension",
}
"""Properties of a workload that transformations ask for."""


class UnsupportedError(Exception):
    """A combination that cannot work. The message is the reason that the plan and the report show."""


@dataclass(frozen=True, slots=True)
class Units:
    """What one step processes. FLOPs are those of the uncompressed eager model, two per multiply-add."""

    samples: int
    tokens: int = 0
    """Tokens that are not padding; 0 where the work has none."""
    requests: int = 0
    flops: float = 0.0
    """Model FLOPs of the step in its mode (training: three times the forward pass)."""
    least_bytes: float = 0.0
    """The least memory traffic: every weight and input read once, every output written once."""
    bytes: int = 0
    """What a step whose purpose it is copies, sends, reads or writes; 0 elsewhere."""

    def __add__(self, other: Units) -> Units:
        return Units(
            self.samples + other.samples,
            self.tokens + other.tokens,
            self.requests + other.requests,
            self.flops + other.flops,
            self.least_bytes + other.least_bytes,
            self.bytes + other.bytes,
        )

    def times(self, count: int) -> Units:
        """Return the units of `count` such steps."""
        return Units(
            self.samples * count,
            self.tokens * count,
            self.requests * count,
            self.flops * count,
            self.least_bytes * count,
            self.bytes * count,
        )


@dataclass(frozen=True, slots=True)
class WorkloadSpec:
    """A workload as plain data, for `list` and `plan`; loading it never imports torch."""

    name: str
    title: str
    family: str
    """The field it comes from; `micro` for single operators, `user` and `selftest`."""
    summary: str
    unit: str
    """The headline item of throughput: `samples` or `tokens`."""
    modes: tuple[str, ...]
    sizes: Mapping[str, Size]
    """`tiny` (seconds on two CPU cores), `base` (one accelerator), `large` (several). Every size of a
    workload has the same keys; `batch` is always one of them."""
    train: Mapping[str, Scalar] = field(default_factory=dict)
    """Training defaults: `optimizer` (`sgd`, `adamw`) and `lr`."""
    data: tuple[str, ...] = ()
    """Kinds of real data it reads: `text` (a file, bytes as tokens), `images` (a folder)."""
    precisions: tuple[str, ...] = PRECISIONS
    traits: frozenset[str] = frozenset({"compiles"})
    """What compression, parallelism and optimisation may count on, from TRAITS."""
    single_threaded: bool = False
    """True when one step never uses more than one CPU thread, whatever the settings."""
    library: str | None = None
    """A package that it needs, which an extra of this project brings."""


class Workload(abc.ABC):
    """One workload in one mode and size. Constructing it touches no device and builds nothing."""

    spec: ClassVar[WorkloadSpec]

    def __init__(self, mode: str, size: Size, *, seed: int = 0, data: Path | None = None) -> None:
        self.mode = mode
        self.size = size
        self.seed = seed
        self.data = data

    def n(self, key: str) -> int:
        """The size `key` as a whole number."""
        return int(self.size[key])

    @abc.abstractmethod
    def build_model(self) -> nn.Module:
        """Build the model with torch's current default device (`meta` included) and random state."""

    @abc.abstractmethod
    def make_batch(self, index: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Return batch `index` on the CPU: random, the same for equal (seed, index, rank, world).

        `size["batch"]` samples belong to the world; a rank gets its share.
        """

    @abc.abstractmethod
    def units(self, batch: Batch) -> Units:
        """Count what one step on `batch` processes, from its shapes and padding mask."""

    def inputs(self, batch: Batch) -> tuple[torch.Tensor, ...]:
        """Return what the training loss calls the model with; a workload with the trait `stages` has it."""
        raise UnsupportedError(f"{self.spec.name} has no stages")

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the scalar training loss; no `.item()`, no device call."""
        raise UnsupportedError(f"{self.spec.name} has no training loss")

    def infer(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the outputs of one forward pass without gradients."""
        raise UnsupportedError(f"{self.spec.name} has no inference mode")

    def predict(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return what the model makes of a batch of any mode, in one forward pass: its error shows there."""
        return self.infer(model, batch)

    def outputs(self, batch: Batch) -> int:
        """Count the numbers in the model's own format that `units` took for four bytes; 0 where few."""
        return 0

    def unread_weights(self, batch: Batch) -> int:
        """Count the weights that a step without training never reads: rows that nobody looks up."""
        return 0

    def blocks(self, model: nn.Module) -> list[nn.Module]:
        """Return the repeated blocks, the units to shard or to checkpoint; none by default."""
        return []


class GenerativeWorkload(Workload):
    """A workload that also continues sequences: prefill, then one token per step from a cache."""

    kv_cache: Literal["static", "growing"] = "static"
    """Whether a new cache holds all positions at once, or grows with every token."""

    @abc.abstractmethod
    def prefill(self, model: nn.Module, batch: Batch, capacity: int) -> tuple[torch.Tensor, Any]:
        """Read the prompts `batch["tokens"]`; return the logits (B, V) of the last position and a new cache.

        The cache holds up to `capacity` positions. A recurrent model returns its state.
        """

    @abc.abstractmethod
    def decode(self, model: nn.Module, tokens: torch.Tensor, cache: Any) -> tuple[torch.Tensor, Any]:
        """Feed one token for each sequence, shape (B,); return logits (B, V) and the advanced cache."""

    @abc.abstractmethod
    def rewind(self, cache: Any, length: int) -> Any:
        """Return the cache as it was after `length` positions, so that decode steps repeat the same work."""

    def reorder(self, cache: Any, rows: torch.Tensor) -> Any:
        """Return the cache of these rows, (R,), for a search by beams; a row may come several times.

        An equal number of rows changes places within the beams of a sample only.
        """
        raise UnsupportedError(f"{self.spec.name} has no search by beams")

    @abc.abstractmethod
    def step_units(self, batch_size: int, context: int) -> Units:
        """Count one decode step over `batch_size` sequences with `context` positions behind them."""
