"""Masked image generation: training on masked tokens, and generation by unmasking in rounds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from workloads.base import Batch, Size, Units, Workload, WorkloadSpec
from workloads.counting import flops

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn

TEMPERATURE = 4.5
"""Of the noise that helps to choose which tokens stay."""
IGNORED = -100
"""Target of a token that is not masked; torch's cross-entropy leaves it out."""


class MaskGIT(Workload):
    """MaskGIT's transformer (`base`) over the `seq` tokens of a picture of a class.

    Training masks a random share of them, by the published cosine. Inference makes whole pictures: `rounds`
    passes, each of which keeps the tokens that it is surest of. The tokens stand for what an image tokenizer
    makes and turns back into pixels; it is not part of the work.
    """

    spec: ClassVar[WorkloadSpec] = WorkloadSpec(
        name="maskgit",
        title="Masked image generation",
        family="generative",
        summary="Bidirectional transformer over image tokens: masked training, generation by unmasking",
        unit="samples",
        modes=("train", "infer"),
        sizes={
            "tiny": {
                "batch": 4,
                "seq": 64,
                "rounds": 4,
                "codes": 128,
                "classes": 10,
                "hidden": 128,
                "layers": 2,
                "heads": 4,
            },
            "base": {
                "batch": 64,
                "seq": 256,
                "rounds": 8,
                "codes": 1024,
                "classes": 1000,
                "hidden": 768,
                "layers": 24,
                "heads": 8,
            },
            "large": {
                "batch": 64,
                "seq": 1024,
                "rounds": 12,
                "codes": 1024,
                "classes": 1000,
                "hidden": 1024,
                "layers": 24,
                "heads": 16,
            },
        },
        train={"optimizer": "adamw", "lr": 1e-3},
        traits=frozenset({"compiles", "linear", "attention", "blocks", "samples"}),
    )

    def __init__(self, mode: str, size: Size, *, seed: int = 0, data: Path | None = None) -> None:
        super().__init__(mode, size, seed=seed, data=data)
        if self.n("hidden") % self.n("heads"):
            raise ValueError(
                f"maskgit: hidden {self.n('hidden')} does not divide into {self.n('heads')} heads"
            )
        if self.n("rounds") > self.n("seq"):
            raise ValueError(f"maskgit: {self.n('rounds')} rounds are more than {self.n('seq')} tokens")

    def build_model(self) -> nn.Module:
        """Build the transformer."""
        from workloads.models import maskgit

        keys = ("codes", "classes", "hidden", "layers", "heads")
        return maskgit.MaskGIT(positions=self.n("seq"), **{key: self.n(key) for key in keys})

    def make_batch(self, index: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Return `tokens` (B, S), masked, and `labels` (B,); with `targets` (B, S) or `noise` (B, rounds, S).

        To train, the cosine of a uniform share of a picture's tokens is masked, one at least; to generate,
        all are, and the noise is Gumbel's.
        """
        import numpy as np

        from workloads.inputs import batches

        random = batches.rng(self.seed, index)
        rows, seq, codes = self.n("batch"), self.n("seq"), self.n("codes")
        labels = random.integers(0, self.n("classes"), rows)
        arrays: dict[str, np.ndarray[Any, Any]]
        if self.mode == "train":
            tokens = random.integers(0, codes, (rows, seq))
            count = np.ceil(seq * np.cos(np.pi / 2 * random.random(rows)))
            place = random.random((rows, seq)).argsort(1).argsort(1)
            masked = place < count[:, None]
            arrays = {
                "tokens": np.where(masked, codes, tokens),
                "targets": np.where(masked, tokens, IGNORED),
            }
        else:
            noise = random.gumbel(size=(rows, self.n("rounds"), seq)).astype(np.float32)
            arrays = {"noise": noise, "tokens": np.full((rows, seq), codes)}
        return batches.shard({**arrays, "labels": labels}, rank, world)

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the masked tokens' cross-entropy, a position of all pictures."""
        from torch.nn import functional as F

        logits, targets = self.predict(model, batch).flatten(0, 1), batch["targets"].flatten()
        return F.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="sum") / len(targets)

    def infer(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the tokens of whole pictures, (B, S)."""
        from workloads.models.maskgit import unmask

        tokens, labels, noise = batch["tokens"], batch["labels"], batch["noise"]
        return unmask(model, tokens, labels, noise, mask=self.n("codes"), temperature=TEMPERATURE)

    def predict(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the logits of one pass, (B, S, codes): generation's first."""
        logits: torch.Tensor = model(batch["tokens"], batch["labels"])
        return logits

    def blocks(self, model: nn.Module) -> list[nn.Module]:
        """Return the transformer blocks."""
        return list(model.blocks)  # type: ignore[arg-type]

    def unread_weights(self, batch: Batch) -> int:
        """The embeddings of classes that do not occur."""
        from workloads.inputs.batches import distinct

        return (self.n("classes") - distinct(batch["labels"])) * self.n("hidden")

    def units(self, batch: Batch) -> Units:
        """Count a step; generation is a pass for each round."""
        rows, seq, hidden, layers = len(batch["labels"]), self.n("seq"), self.n("hidden"), self.n("layers")
        work = flops.encoder_layers(rows * (seq + 1), hidden, 4 * hidden, layers)
        work += flops.attention(rows, seq + 1, seq + 1, hidden, layers)
        work += flops.linear(rows * seq, hidden, hidden + self.n("codes"))
        moved = float(sum(tensor.numel() * tensor.element_size() for tensor in batch.values()))
        if self.mode == "train":
            return Units(rows, 0, 0, flops.TRAIN_FACTOR * work, moved)
        return Units(rows, 0, rows, self.n("rounds") * work, moved + 8.0 * rows * seq)
