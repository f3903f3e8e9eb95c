"""Llama: a decoder-only language model with rotary positions, shared keys and a gated network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from workloads.base import Size, WorkloadSpec
from workloads.catalogue.language_model import DECODER_TRAITS, DecoderLanguageModel
from workloads.counting import flops

if TYPE_CHECKING:
    from torch import nn


class Llama(DecoderLanguageModel):
    """Llama 3: `base` is the 8B model, `large` the 70B; both in 8192 positions."""

    spec: ClassVar[WorkloadSpec] = WorkloadSpec(
        name="llama",
        title="Llama decoder",
        family="text",
        summary="Decoder-only transformer (Llama 3, GQA): training, prefill, decode from a cache, generation",
        unit="tokens",
        modes=("train", "prefill", "decode", "generate", "serve"),
        traits=DECODER_TRAITS | {"narrows", "tensor"},
        sizes={
            "tiny": {
                "batch": 4,
                "seq": 64,
                "prompt": 64,
                "new_tokens": 16,
                "vocab": 256,
                "positions": 256,
                "hidden": 128,
                "inner": 352,
                "layers": 4,
                "heads": 4,
                "kv_heads": 2,
                "theta": 500_000,
            },
            "base": {
                "batch": 4,
                "seq": 2048,
                "prompt": 1024,
                "new_tokens": 128,
                "vocab": 128_256,
                "positions": 8192,
                "hidden": 4096,
                "inner": 14_336,
                "layers": 32,
                "heads": 32,
                "kv_heads": 8,
                "theta": 500_000,
            },
            "large": {
                "batch": 8,
                "seq": 2048,
                "prompt": 1024,
                "new_tokens": 128,
                "vocab": 128_256,
                "positions": 8192,
                "hidden": 8192,
                "inner": 28_672,
                "layers": 80,
                "heads": 64,
                "kv_heads": 8,
                "theta": 500_000,
            },
        },
        train={"optimizer": "adamw", "lr": 1e-3},
        data=("text",),
    )

    def __init__(self, mode: str, size: Size, *, seed: int = 0, data: Path | None = None) -> None:
        super().__init__(mode, size, seed=seed, data=data)
        heads, kv_heads = self.n("heads"), self.n("kv_heads")
        if heads % kv_heads:
            raise ValueError(f"llama: {heads} heads do not divide among {kv_heads} kv_heads")
        if self.n("hidden") // heads % 2:
            raise ValueError(
                f"llama: rotary positions need an even head size, not {self.n('hidden') // heads}"
            )

    tied = False

    def build_model(self) -> nn.Module:
        """Build the model; the output layer has weights of its own."""
        from workloads.models import llama

        keys = ("vocab", "hidden", "inner", "layers", "heads", "kv_heads", "theta")
        return llama.Llama(**{key: self.n(key) for key in keys})

    def block_flops(self, tokens: int) -> float:
        """Query and output of d², key and value of d·d·kv_heads/heads each, and three products d·inner."""
        hidden, inner = self.n("hidden"), self.n("inner")
        kv = hidden // self.n("heads") * self.n("kv_heads")
        layer = flops.linear(tokens, hidden, 2 * hidden + 2 * kv) + flops.linear(tokens, hidden, 3 * inner)
        return self.n("layers") * layer
