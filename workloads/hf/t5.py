"""T5: translation and summary by an encoder-decoder transformer with relative positions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from workloads.base import Batch, Size, WorkloadSpec
from workloads.hf.base import LIBRARY, TRAITS
from workloads.hf.seq2seq import Seq2Seq

if TYPE_CHECKING:
    import torch

BEGIN, FIRST_WORD = 0, 2
BUCKETS = 32
"""Distances that the relative positions tell apart."""


class T5(Seq2Seq):
    """T5-base (`base`) and T5-3B (`large`) over random words, `seq` read and `target_seq` written."""

    spec: ClassVar[WorkloadSpec] = WorkloadSpec(
        name="t5",
        title="T5",
        family="text",
        summary="Translation and summary by T5 as transformers has it: training and generation",
        unit="tokens",
        modes=("train", "generate"),
        sizes={
            "tiny": {
                "batch": 4,
                "seq": 32,
                "target_seq": 16,
                "new_tokens": 8,
                "vocab": 512,
                "hidden": 64,
                "inner": 128,
                "layers": 2,
                "heads": 4,
                "head_size": 16,
            },
            "base": {
                "batch": 16,
                "seq": 512,
                "target_seq": 128,
                "new_tokens": 64,
                "vocab": 32_128,
                "hidden": 768,
                "inner": 3072,
                "layers": 12,
                "heads": 12,
                "head_size": 64,
            },
            "large": {
                "batch": 16,
                "seq": 512,
                "target_seq": 128,
                "new_tokens": 64,
                "vocab": 32_128,
                "hidden": 1024,
                "inner": 16_384,
                "layers": 24,
                "heads": 32,
                "head_size": 128,
            },
        },
        train={"optimizer": "adamw", "lr": 3e-4},
        traits=TRAITS | {"biased", "prefix", "numbered"},
        library=LIBRARY,
    )
    config_class = "T5Config"
    model_class = "T5ForConditionalGeneration"
    block_lists = ("encoder.block", "decoder.block")
    prompt_length = 1

    def __init__(self, mode: str, size: Size, *, seed: int = 0, data: Path | None = None) -> None:
        super().__init__(mode, size, seed=seed, data=data)
        if self.n("vocab") <= FIRST_WORD:
            raise ValueError(f"t5: vocab {self.n('vocab')} does not hold a word")

    @property
    def attention_width(self) -> int:
        """Heads times head size, which T5 does not tie to the hidden width."""
        return self.n("heads") * self.n("head_size")

    @property
    def source_length(self) -> int:
        """The words that are read."""
        return self.n("seq")

    def config(self) -> dict[str, Any]:
        """T5 as first published: one embedding for input and output."""
        return {
            "vocab_size": self.n("vocab"),
            "d_model": self.n("hidden"),
            "d_kv": self.n("head_size"),
            "d_ff": self.n("inner"),
            "num_layers": self.n("layers"),
            "num_heads": self.n("heads"),
            "relative_attention_num_buckets": BUCKETS,
            "dropout_rate": 0.0,
            "decoder_start_token_id": BEGIN,
        }

    def make_batch(self, index: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Return `input_ids` (B, S) and `labels` (B, T) in training, else `tokens` (B, S)."""
        from workloads.inputs import batches

        random = batches.rng(self.seed, index)
        rows, words = self.n("batch"), (FIRST_WORD, self.n("vocab"))
        read = random.integers(*words, (rows, self.n("seq")))
        if self.mode != "train":
            return batches.shard({"tokens": read}, rank, world)
        written = random.integers(*words, (rows, self.n("target_seq")))
        return batches.shard({"input_ids": read, "labels": written}, rank, world)

    def source(self, batch: Batch) -> dict[str, torch.Tensor]:
        """The words."""
        return {"input_ids": batch["tokens"]}

    def beginning(self, batch: Batch) -> torch.Tensor:
        """The padding token, with which T5 begins."""
        return batch["tokens"].new_full((len(batch["tokens"]), 1), BEGIN)

    def trained_tokens(self, batch: Batch) -> int:
        """Words read and written."""
        return batch["input_ids"].numel() + batch["labels"].numel()

    def encoder_weights(self) -> int:
        """Blocks without biases, two norms each, relative positions once, and a norm."""
        hidden = self.n("hidden")
        block = 4 * hidden * self.attention_width + 2 * hidden * self.n("inner") + 2 * hidden
        return self.n("layers") * block + BUCKETS * self.n("heads") + hidden
