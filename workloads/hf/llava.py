"""LLaVA: a language model that sees; an image's patches come before the words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from workloads.base import Batch, GenerativeWorkload, Size, Units, WorkloadSpec
from workloads.counting import flops
from workloads.hf import vision
from workloads.hf.base import LIBRARY, TRAITS, HuggingFace, nbytes

if TYPE_CHECKING:
    import torch
    from torch import nn

    from workloads.hf.cache import Cache

FEATURE_LAYER = -2
"""Of the vision transformer: the state before its last block, without the class token."""

BASE = {
    "batch": 1,
    "image": 336,
    "patch": 14,
    "hidden": 1024,
    "layers": 24,
    "heads": 16,
    "seq": 448,
    "prompt": 64,
    "new_tokens": 64,
    "vocab": 32_064,
    "text_hidden": 4096,
    "text_inner": 11_008,
    "text_layers": 32,
    "text_heads": 32,
}


class LLaVA(HuggingFace, GenerativeWorkload):
    """LLaVA 1.5 with Llama 7B (`base`) and 13B (`large`): one image, then `seq` or `prompt` random words.

    The vision transformer is not trained, as in the published instruction tuning. A token is a patch or a
    word that the language model reads, or a word that it writes.
    """

    spec: ClassVar[WorkloadSpec] = WorkloadSpec(
        name="llava",
        title="LLaVA",
        family="multimodal",
        summary="Images and text by LLaVA as transformers has it: training, prefill, decode, generation",
        unit="tokens",
        modes=("train", "prefill", "decode", "generate"),
        sizes={
            "tiny": {
                "batch": 2,
                "image": 32,
                "patch": 8,
                "hidden": 32,
                "layers": 3,
                "heads": 2,
                "seq": 16,
                "prompt": 8,
                "new_tokens": 8,
                "vocab": 512,
                "text_hidden": 64,
                "text_inner": 160,
                "text_layers": 2,
                "text_heads": 4,
            },
            "base": BASE,
            "large": BASE | {"text_hidden": 5120, "text_inner": 13_824, "text_layers": 40, "text_heads": 40},
        },
        train={"optimizer": "adamw", "lr": 2e-5},
        traits=TRAITS | {"numbered"},
        library=LIBRARY,
    )
    config_class = "LlavaConfig"
    model_class = "LlavaForConditionalGeneration"
    block_lists = ("model.vision_tower.encoder.layers", "model.language_model.layers")

    def __init__(self, mode: str, size: Size, *, seed: int = 0, data: Path | None = None) -> None:
        super().__init__(mode, size, seed=seed, data=data)
        for whole, part in (("image", "patch"), ("hidden", "heads"), ("text_hidden", "text_heads")):
            self.check_divides(whole, part)
        if self.n("vocab") < 2:
            raise ValueError(f"llava: vocab {self.n('vocab')} does not hold a word and the image's place")
        if self.n("layers") < 2:
            raise ValueError("llava: the image is read one layer before the last, and there is 1 layer")

    @property
    def _patches(self) -> int:
        return vision.patches(self)

    def config(self) -> dict[str, Any]:
        """CLIP's vision transformer and Llama."""
        text = {
            "model_type": "llama",
            "vocab_size": self.n("vocab"),
            "hidden_size": self.n("text_hidden"),
            "intermediate_size": self.n("text_inner"),
            "num_hidden_layers": self.n("text_layers"),
            "num_attention_heads": self.n("text_heads"),
            "num_key_value_heads": self.n("text_heads"),
            "max_position_embeddings": 4096,
            "pad_token_id": None,
        }
        return {
            "vision_config": vision.config(self) | {"model_type": "clip_vision_model"},
            "text_config": text,
            "image_token_index": self.n("vocab") - 1,
            "vision_feature_layer": FEATURE_LAYER,
            "vision_feature_select_strategy": "default",
        }

    def build_model(self) -> nn.Module:
        """Build the model; the vision transformer's weights take no gradient."""
        model = super().build_model()
        model.get_submodule("model.vision_tower").requires_grad_(requires_grad=False)
        return model

    def make_batch(self, index: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Return `pixel_values` (B, 3, side, side) and `tokens` (B, S), the words alone."""
        import numpy as np

        from workloads.inputs import batches

        random = batches.rng(self.seed, index)
        rows, side = self.n("batch"), self.n("image")
        images = random.standard_normal((rows, 3, side, side), dtype=np.float32)
        length = self.n("seq" if self.mode == "train" else "prompt")
        words = random.integers(0, self.n("vocab") - 1, (rows, length))
        return batches.shard({"pixel_values": images, "tokens": words}, rank, world)

    def _embedded(self, model: Any, batch: Batch) -> torch.Tensor:
        """Return patches and words as the language model reads them, (B, patches + S, d).

        Every image has its place at the front: nothing has to be looked for, as in the library's own way.
        """
        import torch

        features = model.model.get_image_features(
            pixel_values=batch["pixel_values"],
            vision_feature_layer=FEATURE_LAYER,
            vision_feature_select_strategy="default",
        )
        words = model.get_input_embeddings()(batch["tokens"])
        return torch.cat((torch.stack(features.pooler_output), words), 1)

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the mean cross-entropy of the words, each predicted from what comes before it."""
        import torch

        unseen = batch["tokens"].new_full((len(batch["tokens"]), self._patches), -100)
        labels = torch.cat((unseen, batch["tokens"]), 1)
        loss: torch.Tensor = model(inputs_embeds=self._embedded(model, batch), labels=labels).loss
        return loss

    def predict(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the logits (B, patches + S, V) behind every patch and word."""
        logits: torch.Tensor = model(inputs_embeds=self._embedded(model, batch)).logits
        return logits

    def prefill(self, model: nn.Module, batch: Batch, capacity: int) -> tuple[torch.Tensor, Cache]:
        """Read image and prompt; the cache has room for the patches beside `capacity` words."""
        from workloads.hf import cache

        empty = cache.decoder_cache(self.n("text_layers"), self._patches + capacity)
        read = self._embedded(model, batch)
        out = model(inputs_embeds=read, use_cache=True, logits_to_keep=1, **empty.given)
        return out.logits[:, -1], cache.filled(empty)

    def decode(self, model: nn.Module, tokens: torch.Tensor, cache: Any) -> tuple[torch.Tensor, Cache]:
        """Write one word for each image."""
        out = model(input_ids=tokens[:, None], use_cache=True, **cache.given)
        return out.logits[:, -1], cache

    def rewind(self, cache: Any, length: int) -> Cache:
        """Forget the words behind `length`; the image stays."""
        rewound: Cache = cache.rewind(self._patches + length)
        return rewound

    def _text_flops(self, rows: int, seq: int, behind: int, logits: int) -> float:
        """The language model over `seq` positions behind others, and the logits at `logits` of them."""
        hidden, layers = self.n("text_hidden"), self.n("text_layers")
        work = flops.linear(rows * seq, hidden, 4 * hidden + 3 * self.n("text_inner")) * layers
        work += flops.attention(rows, seq, seq, hidden, layers, causal=seq > 1)
        work += flops.attention(rows, seq, behind, hidden, layers)
        return work + flops.linear(rows * logits, hidden, self.n("vocab"))

    def _image_flops(self, rows: int) -> tuple[float, float]:
        """The vision transformer, all blocks of which the library computes, and the projection."""
        hidden, words = self.n("hidden"), self.n("text_hidden")
        project = flops.linear(rows * self._patches, hidden + words, words)
        return vision.forward_flops(self, rows, self.n("layers")), project

    def units(self, batch: Batch) -> Units:
        """Count a step; in training the vision transformer costs its forward pass alone."""
        rows, seq = batch["tokens"].shape
        read = self._patches + seq
        seen, project = self._image_flops(rows)
        if self.mode == "train":
            work = seen + flops.TRAIN_FACTOR * (project + self._text_flops(rows, read, 0, read))
            return Units(rows, rows * read, 0, work, nbytes(batch))
        if self.mode == "decode":
            return self.step_units(rows, seq)
        work = seen + project + self._text_flops(rows, read, 0, 1)
        moved = nbytes(batch)
        if self.mode == "prefill":
            return Units(rows, rows * read, rows, work, moved + 4.0 * self.outputs(batch))
        made = self.n("new_tokens")
        work += sum(self.step_units(rows, seq + done).flops for done in range(made - 1))
        return Units(rows, rows * made, rows, work, moved + 8.0 * rows * made)

    def outputs(self, batch: Batch) -> int:
        """The logits of the last position; of generation the words alone are kept."""
        return len(batch["tokens"]) * self.n("vocab") if self.mode in {"prefill", "decode"} else 0

    def step_units(self, batch_size: int, context: int) -> Units:
        """Count one word an image, over the patches and `context` words."""
        work = self._text_flops(batch_size, 1, self._patches + context, 1)
        return Units(batch_size, batch_size, 0, work, 8.0 * batch_size + 4.0 * batch_size * self.n("vocab"))

    def unread_weights(self, batch: Batch) -> int:
        """Words that are not looked up; of a decode step, and each one of generation, also what sees."""
        from workloads.inputs.batches import distinct

        looked_up = batch["tokens"][:, -1] if self.mode == "decode" else batch["tokens"]
        table = (self.n("vocab") - distinct(looked_up)) * self.n("text_hidden")
        if self.mode == "prefill":
            return table
        seen = self._seeing_weights()
        if self.mode == "decode":
            return table + seen
        later = self.n("new_tokens") - 1
        return table + later * (seen + (self.n("vocab") - len(batch["tokens"])) * self.n("text_hidden"))

    def _seeing_weights(self) -> int:
        """The vision transformer and the projection."""
        hidden, words = self.n("hidden"), self.n("text_hidden")
        block = 12 * hidden**2 + 13 * hidden
        embed = 3 * hidden * self.n("patch") ** 2 + (self._patches + 2) * hidden
        project = hidden * words + words**2 + 2 * words
        return self.n("layers") * block + embed + 4 * hidden + project
