"""LSTM language model: training, and generation by sampling."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from workloads import flops
from workloads.base import Batch, GenerativeWorkload, Size, Units, WorkloadSpec

if TYPE_CHECKING:
    import torch
    from torch import nn

    from workloads.batches import Bytes


class LSTMLanguageModel(GenerativeWorkload):
    """A recurrent language model; its cache is the state, whose size does not grow with the context.

    Training reads `seq` tokens of each sample; generation reads prompts of `prompt` tokens and makes
    `new_tokens`, which are the tokens it counts.
    """

    spec: ClassVar[WorkloadSpec] = WorkloadSpec(
        name="lstm",
        title="LSTM language model",
        family="text",
        summary="Stacked LSTM with tied embeddings: training, and generation with sampling",
        unit="tokens",
        modes=("train", "generate"),
        sizes={
            "tiny": {
                "batch": 8,
                "seq": 64,
                "prompt": 32,
                "new_tokens": 32,
                "vocab": 256,
                "hidden": 128,
                "layers": 2,
            },
            "base": {
                "batch": 64,
                "seq": 256,
                "prompt": 64,
                "new_tokens": 128,
                "vocab": 32768,
                "hidden": 1024,
                "layers": 2,
            },
            "large": {
                "batch": 128,
                "seq": 512,
                "prompt": 64,
                "new_tokens": 128,
                "vocab": 32768,
                "hidden": 4096,
                "layers": 4,
            },
        },
        train={"optimizer": "adamw", "lr": 3e-3},
        data=("text",),
    )

    def __init__(self, mode: str, size: Size, *, seed: int = 0, data: Path | None = None) -> None:
        super().__init__(mode, size, seed=seed, data=data)
        if data is not None and self.n("vocab") < 256:
            raise ValueError(f"lstm: bytes of a text need a vocab of 256, not {self.n('vocab')}")

    def build_model(self) -> nn.Module:
        """Build the model; the output layer is the embedding."""
        from workloads.nets import lstm

        return lstm.LSTMModel(vocab=self.n("vocab"), hidden=self.n("hidden"), layers=self.n("layers"))

    @cached_property
    def _text(self) -> Bytes | None:
        from workloads.sources import read_text

        return None if self.data is None else read_text(self.data, self._length)

    @property
    def _length(self) -> int:
        return self.n("seq") + 1 if self.mode == "train" else self.n("prompt")

    def make_batch(self, index: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Return `tokens` (B, S), and in training the `targets` that follow them."""
        from workloads import batches

        return batches.language(
            batches.rng(self.seed, index), self._text, self.n("batch"), self._length, self.n("vocab"),
            targets=self.mode == "train", rank=rank, world=world,
        )  # fmt: skip

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the mean cross-entropy of the next token."""
        from torch.nn import functional as F

        logits, _ = model(batch["tokens"])
        return F.cross_entropy(logits.flatten(0, 1), batch["targets"].flatten())

    def prefill(self, model: nn.Module, batch: Batch, capacity: int) -> tuple[torch.Tensor, Any]:
        """Read the prompts; the state holds any number of positions."""
        logits, state = model(batch["tokens"], last_only=True)
        return logits, state

    def decode(self, model: nn.Module, tokens: torch.Tensor, cache: Any) -> tuple[torch.Tensor, Any]:
        """Feed one token for each sequence."""
        logits, state = model(tokens[:, None], cache, last_only=True)
        return logits, state

    def rewind(self, cache: Any, length: int) -> Any:
        """Return the state itself: a step makes a new one and leaves the old as it was."""
        return cache

    def _forward(self, rows: int, steps: int, logits: int) -> float:
        hidden = self.n("hidden")
        cells = flops.recurrent(rows, steps, 4, [(hidden, hidden)] * self.n("layers"))
        return cells + flops.linear(logits, hidden, self.n("vocab"))

    def units(self, batch: Batch) -> Units:
        """Count a step; generation computes logits for the last position of the prompt only."""
        rows, seq = batch["tokens"].shape
        if self.mode == "train":
            work = flops.TRAIN_FACTOR * self._forward(rows, seq, rows * seq)
            return Units(rows, rows * seq, 0, work, 16.0 * rows * seq)
        made = self.n("new_tokens")
        work = self._forward(rows, seq, rows) + (made - 1) * self.step_units(rows, seq).flops
        return Units(rows, rows * made, rows, work, 8.0 * rows * (seq + made))

    def step_units(self, batch_size: int, context: int) -> Units:
        """Count one step of one token a sequence; the context costs nothing more."""
        return Units(batch_size, batch_size, 0, self._forward(batch_size, 1, batch_size), 8.0 * batch_size)
