"""GPT: a decoder-only language model; training, prefill, decoding from a cache, generation."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from workloads.base import WorkloadSpec
from workloads.catalogue.language_model import DECODER_TRAITS, DecoderLanguageModel
from workloads.counting import flops

if TYPE_CHECKING:
    from torch import nn

    from workloads.base import Batch


class GPT(DecoderLanguageModel):
    """GPT-2: `base` is the published small model, `large` the XL; `gpt3` is the shape of GPT-3 175B.

    GPT-3 alternated dense with banded attention; here all of it is dense.
    """

    spec: ClassVar[WorkloadSpec] = WorkloadSpec(
        name="gpt",
        title="GPT decoder",
        family="text",
        summary="Decoder-only transformer (GPT-2): training, prefill, decode with a KV cache, generation",
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
                "layers": 4,
                "heads": 4,
            },
            "base": {
                "batch": 8,
                "seq": 1024,
                "prompt": 512,
                "new_tokens": 128,
                "vocab": 50257,
                "positions": 1024,
                "hidden": 768,
                "layers": 12,
                "heads": 12,
            },
            "large": {
                "batch": 8,
                "seq": 1024,
                "prompt": 512,
                "new_tokens": 128,
                "vocab": 50257,
                "positions": 1024,
                "hidden": 1600,
                "layers": 48,
                "heads": 25,
            },
            "gpt3": {
                "batch": 8,
                "seq": 2048,
                "prompt": 1024,
                "new_tokens": 128,
                "vocab": 50257,
                "positions": 2048,
                "hidden": 12288,
                "layers": 96,
                "heads": 96,
            },
        },
        train={"optimizer": "adamw", "lr": 1e-3},
        data=("text",),
    )

    def build_model(self) -> nn.Module:
        """Build the model; the output layer is the token embedding."""
        from workloads.models import gpt

        return gpt.GPT(**{key: self.n(key) for key in ("vocab", "positions", "hidden", "layers", "heads")})

    def block_flops(self, tokens: int) -> float:
        """Query, key, value, output, and a feed-forward network four times as wide."""
        return flops.encoder_layers(tokens, self.n("hidden"), 4 * self.n("hidden"), self.n("layers"))

    def unread_weights(self, batch: Batch) -> int:
        """The positions that no token has, in every pass."""
        prompt, passes, read = batch["tokens"].shape[1], 1, 0
        if self.mode == "generate":
            passes, read = self.n("new_tokens"), self.n("new_tokens") - 1
        read += 1 if self.mode == "decode" else prompt
        return super().unread_weights(batch) + (passes * self.n("positions") - read) * self.n("hidden")
