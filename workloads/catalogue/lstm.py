"""LSTM, GRU and plain recurrent language models: training, and generation by sampling."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from workloads.base import Batch, Size, Units, WorkloadSpec
from workloads.catalogue.language_model import RecurrentLanguageModel
from workloads.counting import flops

if TYPE_CHECKING:
    from torch import nn

GATES = {"lstm": 4, "gru": 3, "rnn": 1}
"""Matrix products of each kind of cell; `rnn` is the plain one, with tanh."""


class LSTMLanguageModel(RecurrentLanguageModel):
    """A recurrent language model; its cache is the state, whose size does not grow with the context.

    `shape.cell` chooses LSTM, GRU or a plain RNN. Generation makes `new_tokens`, the tokens it counts.
    """

    spec: ClassVar[WorkloadSpec] = WorkloadSpec(
        name="lstm",
        title="Recurrent language model",
        family="text",
        summary="Stacked LSTM, GRU or RNN with tied embeddings: training, and generation with sampling",
        unit="tokens",
        modes=("train", "generate"),
        traits=frozenset({"compiles", "recurrent", "samples", "classes"}),
        sizes={
            "tiny": {
                "batch": 8,
                "seq": 64,
                "prompt": 32,
                "new_tokens": 32,
                "vocab": 256,
                "hidden": 128,
                "layers": 2,
                "cell": "lstm",
            },
            "base": {
                "batch": 64,
                "seq": 256,
                "prompt": 64,
                "new_tokens": 128,
                "vocab": 32768,
                "hidden": 1024,
                "layers": 2,
                "cell": "lstm",
            },
            "large": {
                "batch": 128,
                "seq": 512,
                "prompt": 64,
                "new_tokens": 128,
                "vocab": 32768,
                "hidden": 4096,
                "layers": 4,
                "cell": "lstm",
            },
        },
        train={"optimizer": "adamw", "lr": 3e-3},
        data=("text",),
    )

    def __init__(self, mode: str, size: Size, *, seed: int = 0, data: Path | None = None) -> None:
        super().__init__(mode, size, seed=seed, data=data)
        if size["cell"] not in GATES:
            raise ValueError(f"lstm: cell {size['cell']!r} is not one of {', '.join(GATES)}")

    def build_model(self) -> nn.Module:
        """Build the model; the output layer is the embedding."""
        from workloads.models import lstm

        cell = str(self.size["cell"])
        return lstm.RecurrentModel(
            cell=cell, vocab=self.n("vocab"), hidden=self.n("hidden"), layers=self.n("layers")
        )

    def _forward(self, rows: int, steps: int, logits: int) -> float:
        hidden = self.n("hidden")
        cells = flops.recurrent(
            rows, steps, GATES[str(self.size["cell"])], [(hidden, hidden)] * self.n("layers")
        )
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
