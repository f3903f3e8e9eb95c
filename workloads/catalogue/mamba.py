"""Mamba-2: a state-space language model; training, prefill, decoding from a state, generation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from workloads.base import Batch, Size, Units, WorkloadSpec
from workloads.catalogue.language_model import RecurrentLanguageModel
from workloads.counting import flops

if TYPE_CHECKING:
    from torch import nn

KERNEL = 4
"""Positions that the convolution before the recurrence sees."""


class Mamba(RecurrentLanguageModel):
    """Mamba-2 of 130 M (`base`) and 2.7 B (`large`); its cache is a state that the context does not grow.

    Sequences are read in chunks of `chunk` positions, so `seq` and `prompt` are multiples of it.
    """

    spec: ClassVar[WorkloadSpec] = WorkloadSpec(
        name="mamba",
        title="State-space model",
        family="text",
        summary="State-space language model (Mamba-2): training, prefill, decode, generation",
        unit="tokens",
        modes=("train", "prefill", "decode", "generate", "serve"),
        traits=frozenset({"compiles", "linear", "blocks", "samples", "classes"}),
        sizes={
            "tiny": {
                "batch": 4,
                "seq": 64,
                "prompt": 64,
                "new_tokens": 16,
                "vocab": 256,
                "hidden": 128,
                "layers": 2,
                "state": 32,
                "head_size": 32,
                "chunk": 16,
            },
            "base": {
                "batch": 8,
                "seq": 1024,
                "prompt": 512,
                "new_tokens": 128,
                "vocab": 50_288,
                "hidden": 768,
                "layers": 24,
                "state": 128,
                "head_size": 64,
                "chunk": 256,
            },
            "large": {
                "batch": 8,
                "seq": 2048,
                "prompt": 512,
                "new_tokens": 128,
                "vocab": 50_288,
                "hidden": 2560,
                "layers": 64,
                "state": 128,
                "head_size": 64,
                "chunk": 256,
            },
        },
        train={"optimizer": "adamw", "lr": 1e-3},
        data=("text",),
    )

    def __init__(self, mode: str, size: Size, *, seed: int = 0, data: Path | None = None) -> None:
        super().__init__(mode, size, seed=seed, data=data)
        read = "seq" if mode == "train" else "prompt"
        if self.n(read) % self.n("chunk"):
            raise ValueError(f"mamba: {read} {self.n(read)} is not a multiple of chunk {self.n('chunk')}")
        if 2 * self.n("hidden") % self.n("head_size"):
            raise ValueError(
                f"mamba: {2 * self.n('hidden')} does not divide into heads of {self.n('head_size')}"
            )

    def build_model(self) -> nn.Module:
        """Build the model; the output layer is the token embedding."""
        from workloads.models import mamba

        keys = ("vocab", "hidden", "layers", "state", "head_size", "chunk")
        return mamba.Mamba(**{key: self.n(key) for key in keys})

    def blocks(self, model: nn.Module) -> list[nn.Module]:
        """Return the blocks."""
        return list(model.blocks)  # type: ignore[arg-type]

    def _layer_flops(self, tokens: int) -> float:
        """Projections in and out, and the convolution, of one layer."""
        hidden, state = self.n("hidden"), self.n("state")
        inner = 2 * hidden
        mixed = inner + 2 * state
        work = flops.linear(tokens, hidden, inner + mixed + inner // self.n("head_size"))
        return work + 2.0 * tokens * mixed * KERNEL + flops.linear(tokens, inner, hidden)

    def _scan_flops(self, rows: int, seq: int) -> float:
        """The chunks' products of one layer, as they are computed (Dao and Gu 2024, section 6)."""
        inner, state, chunk = 2 * self.n("hidden"), self.n("state"), self.n("chunk")
        chunks = seq // chunk
        within = flops.linear(chunk, state, chunk) + flops.linear(chunk, chunk, inner)
        across = 2 * flops.linear(chunk, state, inner)
        return rows * (chunks * (within + across) + flops.linear(chunks + 1, chunks + 1, inner * state))

    def units(self, batch: Batch) -> Units:
        """Count a step; logits are computed for every position in training, else for the last one only."""
        rows, seq = batch["tokens"].shape
        read = 8.0 * rows * seq
        if self.mode == "decode":
            return self.step_units(rows, seq)
        blocks = self.n("layers") * (self._layer_flops(rows * seq) + self._scan_flops(rows, seq))
        hidden, vocab = self.n("hidden"), self.n("vocab")
        if self.mode == "train":
            forward = blocks + flops.linear(rows * seq, hidden, vocab)
            return Units(rows, rows * seq, 0, flops.TRAIN_FACTOR * forward, 2 * read)
        first = blocks + flops.linear(rows, hidden, vocab)
        if self.mode == "prefill":
            return Units(rows, rows * seq, rows, first, read)
        made = self.n("new_tokens")
        work = first + (made - 1) * self.step_units(rows, seq).flops
        return Units(rows, rows * made, rows, work, read + 8.0 * rows * made)

    def step_units(self, batch_size: int, context: int) -> Units:
        """Count one step of one token a sequence; the state's own update is no matrix product."""
        work = self.n("layers") * self._layer_flops(batch_size)
        work += flops.linear(batch_size, self.n("hidden"), self.n("vocab"))
        return Units(batch_size, batch_size, 0, work, 8.0 * batch_size)
