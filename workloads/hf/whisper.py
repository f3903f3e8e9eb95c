"""Whisper: speech to text, an encoder over log-mel frames and a decoder that writes tokens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from workloads.base import Batch, Size, WorkloadSpec
from workloads.counting import flops
from workloads.hf.base import LIBRARY, TRAITS
from workloads.hf.seq2seq import Seq2Seq

if TYPE_CHECKING:
    import torch

KERNEL = 3
"""Width of the two convolutions over the frames; the second halves their number."""


class Whisper(Seq2Seq):
    """Whisper-small (`base`) and Whisper-large-v3 (`large`) over synthetic log-mel frames, 30 s of 3,000.

    A token is one that is written; the decoder begins with `prompt` special ones.
    """

    spec: ClassVar[WorkloadSpec] = WorkloadSpec(
        name="whisper",
        title="Whisper",
        family="speech",
        summary="Speech to text by Whisper as transformers has it: training and generation",
        unit="samples",
        modes=("train", "generate"),
        sizes={
            "tiny": {
                "batch": 2,
                "frames": 64,
                "mels": 16,
                "prompt": 4,
                "target_seq": 16,
                "new_tokens": 8,
                "vocab": 512,
                "hidden": 64,
                "inner": 128,
                "layers": 2,
                "heads": 4,
                "positions": 64,
            },
            "base": {
                "batch": 16,
                "frames": 3000,
                "mels": 80,
                "prompt": 4,
                "target_seq": 128,
                "new_tokens": 64,
                "vocab": 51_865,
                "hidden": 768,
                "inner": 3072,
                "layers": 12,
                "heads": 12,
                "positions": 448,
            },
            "large": {
                "batch": 16,
                "frames": 3000,
                "mels": 128,
                "prompt": 4,
                "target_seq": 128,
                "new_tokens": 64,
                "vocab": 51_866,
                "hidden": 1280,
                "inner": 5120,
                "layers": 32,
                "heads": 20,
                "positions": 448,
            },
        },
        train={"optimizer": "adamw", "lr": 1e-4},
        traits=TRAITS | {"numbered"},
        library=LIBRARY,
    )
    config_class = "WhisperConfig"
    model_class = "WhisperForConditionalGeneration"
    block_lists = ("model.encoder.layers", "model.decoder.layers")

    def __init__(self, mode: str, size: Size, *, seed: int = 0, data: Path | None = None) -> None:
        super().__init__(mode, size, seed=seed, data=data)
        self.check_divides("hidden", "heads")
        if self.n("frames") % 2:
            raise ValueError(f"whisper: frames {self.n('frames')} is odd")
        if self.n("vocab") < 2:
            raise ValueError(f"whisper: vocab {self.n('vocab')} does not hold a word and the end")
        wanted = self.n("target_seq") if mode == "train" else self.n("prompt") + self.n("new_tokens") - 1
        if wanted > self.n("positions"):
            raise ValueError(
                f"whisper {mode}: {wanted} positions wanted, the decoder has {self.n('positions')}"
            )

    @property
    def attention_width(self) -> int:
        """The hidden width."""
        return self.n("hidden")

    @property
    def source_length(self) -> int:
        """Half of the frames."""
        return self.n("frames") // 2

    @property
    def prompt_length(self) -> int:
        """Start, language, task, no timestamps."""
        return self.n("prompt")

    def config(self) -> dict[str, Any]:
        """As many layers and heads on both sides; the special tokens are the last that there are."""
        end = self.n("vocab") - 1
        layers, heads, inner = self.n("layers"), self.n("heads"), self.n("inner")
        return {
            "vocab_size": self.n("vocab"),
            "num_mel_bins": self.n("mels"),
            "d_model": self.n("hidden"),
            "encoder_layers": layers,
            "decoder_layers": layers,
            "encoder_attention_heads": heads,
            "decoder_attention_heads": heads,
            "encoder_ffn_dim": inner,
            "decoder_ffn_dim": inner,
            "max_source_positions": self.source_length,
            "max_target_positions": self.n("positions"),
            "pad_token_id": end,
            "bos_token_id": end,
            "eos_token_id": end,
            "decoder_start_token_id": end,
            "suppress_tokens": [],
            "begin_suppress_tokens": [],
        } | {f"{part}dropout": 0.0 for part in ("", "attention_", "activation_")}

    def make_batch(self, index: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Return `input_features` (B, mels, frames), and `labels` (B, T) or the prompt `tokens` (B, P)."""
        import numpy as np

        from workloads.inputs import batches

        random = batches.rng(self.seed, index)
        rows = self.n("batch")
        frames = random.standard_normal((rows, self.n("mels"), self.n("frames")), dtype=np.float32)
        name, length = ("labels", "target_seq") if self.mode == "train" else ("tokens", "prompt")
        words = random.integers(0, self.n("vocab") - 1, (rows, self.n(length)))
        return batches.shard({"input_features": frames, name: words}, rank, world)

    def source(self, batch: Batch) -> dict[str, torch.Tensor]:
        """The frames."""
        return {"input_features": batch["input_features"]}

    def beginning(self, batch: Batch) -> torch.Tensor:
        """The prompt."""
        return batch["tokens"]

    def trained_tokens(self, batch: Batch) -> int:
        """The tokens written."""
        return batch["labels"].numel()

    def embed_flops(self, rows: int) -> float:
        """Two convolutions along time."""
        hidden, pixels = self.n("hidden"), rows * self.n("frames")
        return flops.linear(pixels, KERNEL * self.n("mels"), hidden) + flops.linear(
            pixels // 2, KERNEL * hidden, hidden
        )

    def projection_biases(self) -> int:
        """Whisper's keys have none."""
        return self.n("hidden")

    def encoder_weights(self) -> int:
        """Convolutions, positions, blocks with biases for all but the keys, and a norm."""
        hidden, inner = self.n("hidden"), self.n("inner")
        convolutions = KERNEL * (self.n("mels") + hidden) * hidden + 2 * hidden
        block = 4 * hidden**2 + 2 * hidden * inner + 8 * hidden + inner
        return convolutions + self.source_length * hidden + self.n("layers") * block + 2 * hidden
