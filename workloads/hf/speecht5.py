"""SpeechT5: text to speech, from letters to mel frames; what makes them a waveform is not part of it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from workloads.base import Batch, Size, Units, WorkloadSpec
from workloads.counting import flops
from workloads.hf.base import LIBRARY, TRAITS, HuggingFace, nbytes

if TYPE_CHECKING:
    import torch
    from torch import nn

TOGETHER = 2
"""Mel frames that one step of the decoder writes."""
BEFORE, AFTER, AFTER_KERNEL, AFTER_LAYERS = 256, 256, 5, 5
"""Widths of the network before the decoder and of the convolutions after it, their kernel and number."""

BASE = {
    "batch": 8,
    "seq": 128,
    "frames": 512,
    "mels": 80,
    "speaker": 512,
    "vocab": 81,
    "hidden": 768,
    "inner": 3072,
    "layers": 12,
    "decoder_layers": 6,
    "heads": 12,
}


class SpeechT5(HuggingFace):
    """SpeechT5 (`base`) and a larger one: `seq` letters and a speaker's vector become `frames` frames.

    Inference writes all frames, whatever the model thinks of stopping. Dropout before the decoder belongs to
    the model, also in inference; everywhere else there is none.
    """

    spec: ClassVar[WorkloadSpec] = WorkloadSpec(
        name="speecht5",
        title="SpeechT5",
        family="speech",
        summary="Text to speech by SpeechT5 as transformers has it: training, and inference frame by frame",
        unit="samples",
        modes=("train", "infer"),
        sizes={
            "tiny": {
                "batch": 2,
                "seq": 16,
                "frames": 32,
                "mels": 16,
                "speaker": 16,
                "vocab": 81,
                "hidden": 32,
                "inner": 64,
                "layers": 2,
                "decoder_layers": 2,
                "heads": 4,
            },
            "base": BASE,
            "large": BASE | {"hidden": 1024, "inner": 4096, "layers": 24, "heads": 16},
        },
        train={"optimizer": "adamw", "lr": 1e-4},
        traits=TRAITS - {"compiles", "attention", "classes"} | {"numbered"},
        library=LIBRARY,
    )
    config_class = "SpeechT5Config"
    model_class = "SpeechT5ForTextToSpeech"
    block_lists = ("speecht5.encoder.wrapped_encoder.layers", "speecht5.decoder.wrapped_decoder.layers")

    def __init__(self, mode: str, size: Size, *, seed: int = 0, data: Path | None = None) -> None:
        super().__init__(mode, size, seed=seed, data=data)
        self.check_divides("hidden", "heads")
        if self.n("hidden") % 2:
            raise ValueError(
                f"speecht5: sines and cosines of positions need an even hidden, not {self.n('hidden')}"
            )
        if self.n("frames") % TOGETHER:
            raise ValueError(f"speecht5: frames {self.n('frames')} is not a multiple of {TOGETHER}")
        if self.n("vocab") < 4:
            raise ValueError(f"speecht5: vocab {self.n('vocab')} does not hold a letter")

    def config(self) -> dict[str, Any]:
        """No dropout but before the decoder, no layer left out."""
        none = ("hidden_dropout", "activation_dropout", "attention_dropout", "positional_dropout",
                "speech_decoder_postnet_dropout", "encoder_layerdrop", "decoder_layerdrop")  # fmt: skip
        return {
            "vocab_size": self.n("vocab"),
            "hidden_size": self.n("hidden"),
            "encoder_layers": self.n("layers"),
            "decoder_layers": self.n("decoder_layers"),
            "encoder_attention_heads": self.n("heads"),
            "decoder_attention_heads": self.n("heads"),
            "encoder_ffn_dim": self.n("inner"),
            "decoder_ffn_dim": self.n("inner"),
            "num_mel_bins": self.n("mels"),
            "speaker_embedding_dim": self.n("speaker"),
            "reduction_factor": TOGETHER,
            "speech_decoder_prenet_units": BEFORE,
            "speech_decoder_postnet_units": AFTER,
            "speech_decoder_postnet_kernel": AFTER_KERNEL,
            "speech_decoder_postnet_layers": AFTER_LAYERS,
        } | dict.fromkeys(none, 0.0)

    def build_model(self) -> nn.Module:
        """Build the model; its two scalar weights become vectors of one, which ranks can share."""
        from torch import nn

        model = super().build_model()
        for module in model.modules():
            alpha = getattr(module, "alpha", None)
            if isinstance(alpha, nn.Parameter):
                module.alpha = nn.Parameter(alpha.detach().reshape(1))
        return model

    def make_batch(self, index: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Return `input_ids` and `attention_mask` (B, S), `speaker_embeddings` and, in training, `labels`."""
        import numpy as np

        from workloads.inputs import batches

        random = batches.rng(self.seed, index)
        rows, seq = self.n("batch"), self.n("seq")
        arrays: dict[str, Any] = {
            "input_ids": random.integers(3, self.n("vocab"), (rows, seq)),
            "attention_mask": np.ones((rows, seq), np.int64),
            "speaker_embeddings": random.standard_normal((rows, self.n("speaker")), dtype=np.float32),
        }
        if self.mode == "train":
            shape = (rows, self.n("frames"), self.n("mels"))
            arrays["labels"] = random.standard_normal(shape, dtype=np.float32)
        return batches.shard(arrays, rank, world)

    def infer(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return mel frames (B, frames, mels)."""
        rows, seq = batch["input_ids"].shape
        ratio = (self.n("frames") + 0.5) / seq  # the library rounds down
        frames: torch.Tensor = model.generate_speech(  # type: ignore[operator]
            batch["input_ids"],
            speaker_embeddings=batch["speaker_embeddings"],
            attention_mask=batch["attention_mask"],
            minlenratio=ratio,
            maxlenratio=ratio,
        )
        return frames.view(rows, -1, self.n("mels"))

    def _read_flops(self, rows: int) -> float:
        """The encoder with its relative positions, and the decoder's keys and values of the text."""
        hidden, layers, seq = self.n("hidden"), self.n("layers"), self.n("seq")
        work = flops.encoder_layers(rows * seq, hidden, self.n("inner"), layers)
        work += flops.attention(rows, seq, seq, hidden, layers) * 1.5  # q·kᵀ once more, by relative place
        return work + self.n("decoder_layers") * flops.linear(rows * seq, hidden, 2 * hidden)

    def _before_flops(self, positions: int) -> float:
        """The network between the last frame and the decoder."""
        hidden = self.n("hidden")
        work = flops.linear(positions, self.n("mels"), BEFORE) + flops.linear(positions, BEFORE, BEFORE)
        return work + flops.linear(positions, BEFORE + hidden + self.n("speaker"), hidden)

    def _write_flops(self, rows: int, steps: int) -> float:
        """The decoder but for attention over its own positions, and the two heads."""
        hidden, layers = self.n("hidden"), self.n("decoder_layers")
        work = flops.encoder_layers(rows * steps, hidden, self.n("inner"), layers)
        work += layers * flops.linear(rows * steps, hidden, 2 * hidden)
        work += flops.attention(rows, steps, self.n("seq"), hidden, layers)
        return work + flops.linear(rows * steps, hidden, TOGETHER * (self.n("mels") + 1))

    def _after_flops(self, rows: int) -> float:
        """The convolutions over all frames."""
        mels = self.n("mels")
        widths = [mels, *[AFTER] * (AFTER_LAYERS - 1), mels]
        positions = rows * self.n("frames")
        pairs = pairwise(widths)
        return sum(flops.linear(positions, AFTER_KERNEL * fan_in, fan_out) for fan_in, fan_out in pairs)

    def units(self, batch: Batch) -> Units:
        """Count a step; the library runs the network before the decoder over all frames again each time."""
        rows, steps = len(batch["input_ids"]), self.n("frames") // TOGETHER
        hidden, layers = self.n("hidden"), self.n("decoder_layers")
        work = self._read_flops(rows) + self._write_flops(rows, steps) + self._after_flops(rows)
        if self.mode == "train":
            work += self._before_flops(rows * steps)
            work += flops.attention(rows, steps, steps, hidden, layers, causal=True)
            return Units(rows, 0, 0, flops.TRAIN_FACTOR * work, nbytes(batch))
        positions = steps * (steps + 1) // 2
        work += self._before_flops(rows * positions) + flops.attention(rows, 1, positions, hidden, layers)
        return Units(rows, 0, rows, work, nbytes(batch) + 4.0 * self.outputs(batch))

    def outputs(self, batch: Batch) -> int:
        """The frames."""
        return len(batch["input_ids"]) * self.n("frames") * self.n("mels")
