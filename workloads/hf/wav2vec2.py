"""wav2vec 2.0: raw audio to letters, by convolutions, a transformer and a CTC head."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from workloads.base import Batch, Size, Units, WorkloadSpec
from workloads.counting import flops
from workloads.hf.base import LIBRARY, TRAITS, HuggingFace, nbytes

if TYPE_CHECKING:
    import torch
    from torch import nn

KERNELS = (10, 3, 3, 3, 3, 2, 2)
STRIDES = (5, 2, 2, 2, 2, 2, 2)
"""Of the convolutions that make one position of 320 samples, 20 ms."""
POSITION_KERNEL, POSITION_GROUPS = 128, 16


class Wav2Vec2(HuggingFace):
    """wav2vec2-base (`base`) and -large (`large`) over `audio` random samples of 16 kHz; `text` letters each.

    `stable` norms before each block, with layer norms and biases in the convolutions, as the large one does.
    """

    spec: ClassVar[WorkloadSpec] = WorkloadSpec(
        name="wav2vec2",
        title="wav2vec 2.0",
        family="speech",
        summary="Raw audio to letters by wav2vec 2.0 as transformers has it: training by CTC and inference",
        unit="samples",
        modes=("train", "infer"),
        sizes={
            "tiny": {
                "batch": 2,
                "audio": 8000,
                "text": 8,
                "vocab": 32,
                "channels": 32,
                "hidden": 64,
                "layers": 2,
                "heads": 4,
                "stable": False,
            },
            "base": {
                "batch": 8,
                "audio": 160_000,
                "text": 100,
                "vocab": 32,
                "channels": 512,
                "hidden": 768,
                "layers": 12,
                "heads": 12,
                "stable": False,
            },
            "large": {
                "batch": 8,
                "audio": 160_000,
                "text": 100,
                "vocab": 32,
                "channels": 512,
                "hidden": 1024,
                "layers": 24,
                "heads": 16,
                "stable": True,
            },
        },
        train={"optimizer": "adamw", "lr": 1e-4},
        traits=TRAITS,
        library=LIBRARY,
    )
    config_class = "Wav2Vec2Config"
    model_class = "Wav2Vec2ForCTC"
    block_lists = ("wav2vec2.encoder.layers",)

    def __init__(self, mode: str, size: Size, *, seed: int = 0, data: Path | None = None) -> None:
        super().__init__(mode, size, seed=seed, data=data)
        self.check_divides("hidden", "heads")
        if self.n("hidden") % POSITION_GROUPS:
            raise ValueError(f"wav2vec2: hidden {self.n('hidden')} is not a multiple of {POSITION_GROUPS}")
        if self.n("vocab") < 2:
            raise ValueError(f"wav2vec2: vocab {self.n('vocab')} does not hold the blank and a letter")
        if self._lengths[-1] < 2 * self.n("text"):  # a letter that repeats needs a blank between
            raise ValueError(f"wav2vec2: {self.n('audio')} samples are too few for {self.n('text')} letters")

    @property
    def _lengths(self) -> list[int]:
        """Positions behind each convolution."""
        lengths, length = [], self.n("audio")
        for kernel, stride in zip(KERNELS, STRIDES, strict=True):
            length = max(0, (length - kernel) // stride + 1)
            lengths.append(length)
        return lengths

    def config(self) -> dict[str, Any]:
        """Without masks over the audio and without skipped layers."""
        stable = bool(self.size["stable"])
        dropped = ("hidden_", "activation_", "attention_", "feat_proj_", "final_")
        return {
            "vocab_size": self.n("vocab"),
            "hidden_size": self.n("hidden"),
            "num_hidden_layers": self.n("layers"),
            "num_attention_heads": self.n("heads"),
            "intermediate_size": 4 * self.n("hidden"),
            "conv_dim": (self.n("channels"),) * len(KERNELS),
            "conv_kernel": KERNELS,
            "conv_stride": STRIDES,
            "conv_bias": stable,
            "feat_extract_norm": "layer" if stable else "group",
            "do_stable_layer_norm": stable,
            "num_conv_pos_embeddings": POSITION_KERNEL,
            "num_conv_pos_embedding_groups": POSITION_GROUPS,
            "pad_token_id": 0,
            "ctc_loss_reduction": "mean",
            "apply_spec_augment": False,
            "mask_time_prob": 0.0,
            "layerdrop": 0.0,
        } | {f"{part}dropout": 0.0 for part in dropped}

    def make_batch(self, index: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Return `input_values` (B, audio), and `labels` (B, text) in training."""
        import numpy as np

        from workloads.inputs import batches

        random = batches.rng(self.seed, index)
        rows = self.n("batch")
        arrays: dict[str, Any] = {
            "input_values": random.standard_normal((rows, self.n("audio")), dtype=np.float32)
        }
        if self.mode == "train":
            arrays["labels"] = random.integers(1, self.n("vocab"), (rows, self.n("text")))
        return batches.shard(arrays, rank, world)

    def infer(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the letters' logits of each position, (B, T, vocab)."""
        logits: torch.Tensor = model(**batch).logits
        return logits

    def units(self, batch: Batch) -> Units:
        """Count a step: convolutions, the projection, relative positions, blocks and head."""
        rows = len(batch["input_values"])
        hidden, layers, channels = self.n("hidden"), self.n("layers"), self.n("channels")
        work, width = 0.0, 1
        for kernel, length in zip(KERNELS, self._lengths, strict=True):
            work += flops.linear(rows * length, kernel * width, channels)
            width = channels
        length = self._lengths[-1]
        tokens = rows * length
        work += flops.linear(tokens, channels, hidden)
        # Its padding makes one position more, which is cut off.
        work += flops.linear(rows * (length + 1), POSITION_KERNEL * hidden // POSITION_GROUPS, hidden)
        work += flops.encoder_layers(tokens, hidden, 4 * hidden, layers)
        work += flops.attention(rows, length, length, hidden, layers)
        work += flops.linear(tokens, hidden, self.n("vocab"))
        if self.mode == "train":
            return Units(rows, 0, 0, flops.TRAIN_FACTOR * work, nbytes(batch))
        return Units(rows, 0, rows, work, nbytes(batch) + 4.0 * self.outputs(batch))

    def outputs(self, batch: Batch) -> int:
        """The logits."""
        return len(batch["input_values"]) * self._lengths[-1] * self.n("vocab")
