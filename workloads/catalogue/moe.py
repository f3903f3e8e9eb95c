"""Mixture of experts: a decoder-only language model whose feed-forward networks are chosen token by token."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from workloads.base import Batch, Size, WorkloadSpec
from workloads.catalogue.language_model import DECODER_TRAITS
from workloads.catalogue.llama import Llama
from workloads.counting import flops

if TYPE_CHECKING:
    from torch import nn


class MixtureOfExperts(Llama):
    """Mixtral: `base` is 8x7B, `large` 8x22B; every token goes through `active` of its layer's experts.

    No token is dropped. Training has no balancing loss. The least traffic takes as many experts for read as
    the tokens could choose.
    """

    spec: ClassVar[WorkloadSpec] = WorkloadSpec(
        name="moe",
        title="Mixture of experts",
        family="text",
        summary="Decoder-only transformer with experts (Mixtral): training, prefill, decode, generation",
        unit="tokens",
        modes=("train", "prefill", "decode", "generate", "serve"),
        traits=DECODER_TRAITS | {"experts"},
        sizes={
            "tiny": {
                "batch": 4,
                "seq": 64,
                "prompt": 64,
                "new_tokens": 16,
                "vocab": 256,
                "positions": 256,
                "hidden": 128,
                "inner": 256,
                "layers": 2,
                "heads": 4,
                "kv_heads": 2,
                "theta": 1_000_000,
                "experts": 4,
                "active": 2,
            },
            "base": {
                "batch": 4,
                "seq": 2048,
                "prompt": 1024,
                "new_tokens": 128,
                "vocab": 32_000,
                "positions": 32_768,
                "hidden": 4096,
                "inner": 14_336,
                "layers": 32,
                "heads": 32,
                "kv_heads": 8,
                "theta": 1_000_000,
                "experts": 8,
                "active": 2,
            },
            "large": {
                "batch": 8,
                "seq": 2048,
                "prompt": 1024,
                "new_tokens": 128,
                "vocab": 32_768,
                "positions": 65_536,
                "hidden": 6144,
                "inner": 16_384,
                "layers": 56,
                "heads": 48,
                "kv_heads": 8,
                "theta": 1_000_000,
                "experts": 8,
                "active": 2,
            },
        },
        train={"optimizer": "adamw", "lr": 1e-3},
        data=("text",),
    )

    def __init__(self, mode: str, size: Size, *, seed: int = 0, data: Path | None = None) -> None:
        super().__init__(mode, size, seed=seed, data=data)
        if self.n("active") > self.n("experts"):
            raise ValueError(f"moe: active {self.n('active')} is more than the {self.n('experts')} experts")
        for key in ("hidden", "inner"):
            if self.n(key) % 8:
                raise ValueError(f"moe: {key} {self.n(key)} is not a multiple of 8, as grouped products need")

    def build_model(self) -> nn.Module:
        """Build the model; the output layer has weights of its own."""
        from workloads.models import moe

        keys = ("vocab", "hidden", "inner", "layers", "heads", "kv_heads", "theta", "experts", "active")
        return moe.MixtureOfExperts(**{key: self.n(key) for key in keys})

    def block_flops(self, tokens: int) -> float:
        """Attention's products as in Llama, the router, and `active` networks of three products d·inner."""
        hidden, active = self.n("hidden"), self.n("active")
        kv = hidden // self.n("heads") * self.n("kv_heads")
        layer = flops.linear(tokens, hidden, 2 * hidden + 2 * kv + self.n("experts"))
        layer += flops.linear(tokens * active, hidden, 3 * self.n("inner"))
        return self.n("layers") * layer

    def unread_weights(self, batch: Batch) -> int:
        """Beside embeddings, the experts that the tokens of a pass are too few to choose."""
        rows, seq = batch["tokens"].shape
        made = self.n("new_tokens") if self.mode == "generate" else 1
        first = rows if self.mode == "decode" else rows * seq
        experts, active = self.n("experts"), self.n("active")
        idle = max(0, experts - first * active) + (made - 1) * max(0, experts - rows * active)
        return super().unread_weights(batch) + idle * self.n("layers") * 3 * self.n("hidden") * self.n(
            "inner"
        )
