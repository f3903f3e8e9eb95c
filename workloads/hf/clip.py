"""CLIP: images and captions in one space, by a vision and a text transformer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from workloads.base import Batch, Size, Units, WorkloadSpec
from workloads.counting import flops
from workloads.hf import vision
from workloads.hf.base import LIBRARY, TRAITS, HuggingFace, nbytes

if TYPE_CHECKING:
    import torch
    from torch import nn


class CLIP(HuggingFace):
    """CLIP ViT-B/32 (`base`) and ViT-L/14 (`large`): each image belongs to the caption of its own row.

    A sample is a pair. The loss compares all pairs of the batch, so that ranks cannot share it by rows.
    """

    spec: ClassVar[WorkloadSpec] = WorkloadSpec(
        name="clip",
        title="CLIP",
        family="multimodal",
        summary="Images and captions in one space by CLIP as transformers has it: training and inference",
        unit="samples",
        modes=("train", "infer"),
        sizes={
            "tiny": {
                "batch": 4,
                "image": 32,
                "patch": 8,
                "hidden": 64,
                "layers": 2,
                "heads": 4,
                "seq": 16,
                "vocab": 512,
                "text_hidden": 32,
                "text_layers": 2,
                "text_heads": 2,
                "common": 32,
            },
            "base": {
                "batch": 64,
                "image": 224,
                "patch": 32,
                "hidden": 768,
                "layers": 12,
                "heads": 12,
                "seq": 77,
                "vocab": 49_408,
                "text_hidden": 512,
                "text_layers": 12,
                "text_heads": 8,
                "common": 512,
            },
            "large": {
                "batch": 64,
                "image": 224,
                "patch": 14,
                "hidden": 1024,
                "layers": 24,
                "heads": 16,
                "seq": 77,
                "vocab": 49_408,
                "text_hidden": 768,
                "text_layers": 12,
                "text_heads": 12,
                "common": 768,
            },
        },
        train={"optimizer": "adamw", "lr": 5e-4},
        traits=TRAITS - {"samples", "classes"},
        library=LIBRARY,
    )
    config_class = "CLIPConfig"
    model_class = "CLIPModel"
    block_lists = ("vision_model.encoder.layers", "text_model.encoder.layers")

    def __init__(self, mode: str, size: Size, *, seed: int = 0, data: Path | None = None) -> None:
        super().__init__(mode, size, seed=seed, data=data)
        for whole, part in (("image", "patch"), ("hidden", "heads"), ("text_hidden", "text_heads")):
            self.check_divides(whole, part)
        if self.n("vocab") < 2:
            raise ValueError(f"clip: vocab {self.n('vocab')} does not hold a word and the end")

    def config(self) -> dict[str, Any]:
        """A transformer for each side."""
        text = {
            "vocab_size": self.n("vocab"),
            "hidden_size": self.n("text_hidden"),
            "intermediate_size": 4 * self.n("text_hidden"),
            "num_hidden_layers": self.n("text_layers"),
            "num_attention_heads": self.n("text_heads"),
            "max_position_embeddings": self.n("seq"),
            "bos_token_id": 0,
            "eos_token_id": self.n("vocab") - 1,
        }
        return {"vision_config": vision.config(self), "text_config": text, "projection_dim": self.n("common")}

    def make_batch(self, index: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Return `pixel_values` (B, 3, side, side) and `input_ids` (B, S), which close with the end token."""
        import numpy as np

        from workloads.inputs import batches

        random = batches.rng(self.seed, index)
        rows, side = self.n("batch"), self.n("image")
        images = random.standard_normal((rows, 3, side, side), dtype=np.float32)
        words = random.integers(0, self.n("vocab") - 1, (rows, self.n("seq")))
        words[:, -1] = self.n("vocab") - 1
        return batches.shard({"pixel_values": images, "input_ids": words}, rank, world)

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the mean of the cross-entropies of captions given images and of images given captions."""
        loss: torch.Tensor = model(**batch, return_loss=True).loss
        return loss

    def infer(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return how well each image fits each caption, (B, B)."""
        logits: torch.Tensor = model(**batch).logits_per_image
        return logits

    def units(self, batch: Batch) -> Units:
        """Count a step: patches, both transformers, the projections, and all pairs' products."""
        rows, seq = batch["input_ids"].shape
        hidden, words, common = self.n("hidden"), self.n("text_hidden"), self.n("common")
        work = vision.forward_flops(self, rows, self.n("layers"))
        work += flops.encoder_layers(rows * seq, words, 4 * words, self.n("text_layers"))
        work += flops.attention(rows, seq, seq, words, self.n("text_layers"), causal=True)
        work += flops.linear(rows, hidden + words, common) + flops.linear(rows, common, rows)
        moved = nbytes(batch)
        if self.mode == "train":
            return Units(rows, 0, 0, flops.TRAIN_FACTOR * work, moved)
        return Units(rows, 0, rows, work, moved + 4.0 * rows * rows)

    def outputs(self, batch: Batch) -> int:
        """The fit of each pair."""
        return len(batch["input_ids"]) ** 2

    def unread_weights(self, batch: Batch) -> int:
        """Words that no caption has."""
        from workloads.inputs.batches import distinct

        return (self.n("vocab") - distinct(batch["input_ids"])) * self.n("text_hidden")
