"""BERT: pre-training step, fine-tuning for classification, and inference."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from workloads.base import Batch, Size, Units, Workload, WorkloadSpec
from workloads.counting import flops

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn

    from workloads.inputs.batches import Bytes, Ints

PAD, CLS, SEP, MASK, FIRST_WORD = range(5)
"""Special tokens; byte 0 of a text is token FIRST_WORD."""
MASKED_SHARE = 0.15
"""Share of the tokens that the masked language model predicts."""
IGNORED = -100
"""Label of an unused prediction slot; torch's cross-entropy leaves it out."""


class Bert(Workload):
    """BERT-base and BERT-large over sequences of uneven length, padded to `seq`; tokens exclude the padding.

    With `shape.shared` all layers have the weights of one, as in ALBERT: less memory, the same arithmetic.
    `train` is the pre-training step: masked words and next sentence. `finetune` and `infer` classify, and in
    a real text the class is the part of the file that a sequence comes from.
    """

    spec: ClassVar[WorkloadSpec] = WorkloadSpec(
        name="bert",
        title="BERT encoder",
        family="text",
        summary="Bidirectional transformer: masked-word and next-sentence training, fine-tuning, inference",
        unit="samples",
        modes=("train", "finetune", "infer"),
        traits=frozenset(
            {
                "compiles",
                "linear",
                "narrows",
                "attention",
                "masked",
                "blocks",
                "samples",
                "tensor",
                "stages",
                "sequence",
                "classes",
            }
        ),
        sizes={
            "tiny": {
                "batch": 8,
                "seq": 64,
                "vocab": 512,
                "positions": 128,
                "hidden": 128,
                "layers": 2,
                "heads": 2,
                "classes": 2,
                "shared": False,
            },
            "base": {
                "batch": 32,
                "seq": 384,
                "vocab": 30522,
                "positions": 512,
                "hidden": 768,
                "layers": 12,
                "heads": 12,
                "classes": 2,
                "shared": False,
            },
            "large": {
                "batch": 32,
                "seq": 384,
                "vocab": 30522,
                "positions": 512,
                "hidden": 1024,
                "layers": 24,
                "heads": 16,
                "classes": 2,
                "shared": False,
            },
        },
        train={"optimizer": "adamw", "lr": 1e-4},
        data=("text",),
    )

    def __init__(self, mode: str, size: Size, *, seed: int = 0, data: Path | None = None) -> None:
        super().__init__(mode, size, seed=seed, data=data)
        if not 8 <= self.n("seq") <= self.n("positions"):
            raise ValueError(f"bert: seq {self.n('seq')} is not within 8 and positions {self.n('positions')}")
        if self.n("hidden") % self.n("heads"):
            raise ValueError(f"bert: hidden {self.n('hidden')} does not divide into {self.n('heads')} heads")
        if self.n("vocab") < FIRST_WORD + (256 if data is not None else 1):
            raise ValueError(f"bert: vocab {self.n('vocab')} does not hold the words and special tokens")

    def build_model(self) -> nn.Module:
        """Build the encoder with the head of the mode."""
        from workloads.models import bert

        if self.mode == "train":
            return bert.BertForPreTraining(**self.shape)
        return bert.BertForClassification(**self.shape, classes=self.n("classes"))

    @property
    def shape(self) -> dict[str, Any]:
        """The encoder's arguments."""
        sizes = {key: self.n(key) for key in ("vocab", "positions", "hidden", "layers", "heads")}
        return {**sizes, "shared": bool(self.size["shared"])}

    @cached_property
    def _text(self) -> Bytes | None:
        from workloads.inputs.sources import read_text

        return None if self.data is None else read_text(self.data, self.n("seq"))

    def _words(self, random: np.random.Generator, length: int) -> tuple[Ints, int]:
        """Return `length` words and, in a text, where they start."""
        from workloads.inputs import batches

        if self._text is None:
            return random.integers(FIRST_WORD, self.n("vocab"), length), 0
        rows, starts = batches.windows(random, self._text, 1, length)
        return rows[0] + FIRST_WORD, int(starts[0])

    def make_batch(self, index: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Return `tokens`, `segments` and `mask` (B, S), and the labels of the mode.

        Pre-training adds `positions` and `words` (B, P), where P is MASKED_SHARE of S, and `next` (B,): 1
        where the second sentence does not follow the first; `word_weight` (B,), equal in all rows, is one
        over the words to predict in an average row of the whole batch. The other modes add `labels` (B,).
        """
        import numpy as np

        from workloads.inputs import batches

        random = batches.rng(self.seed, index)
        rows, seq = self.n("batch"), self.n("seq")
        lengths = batches.lengths(random, rows, seq)
        tokens = np.full((rows, seq), PAD, dtype=np.int64)
        segments = np.zeros((rows, seq), dtype=np.int64)
        extra: dict[str, np.ndarray[Any, Any]]
        if self.mode == "train":
            following = random.integers(0, 2, rows)
            for row, length in enumerate(lengths):
                first = (length - 3) // 2
                words, _ = self._words(random, length - 3)
                if following[row]:
                    words[first:] = self._words(random, length - 3 - first)[0]
                tokens[row, :length] = [CLS, *words[:first], SEP, *words[first:], SEP]
                segments[row, first + 2 : length] = 1
            hidden = self._hide_words(random, tokens)
            weight = rows / int((hidden["words"] != IGNORED).sum())
            extra = {"next": following, "word_weight": np.full(rows, weight, np.float32), **hidden}
        else:
            starts = np.zeros(rows, dtype=np.int64)
            for row, length in enumerate(lengths):
                words, starts[row] = self._words(random, length - 2)
                tokens[row, :length] = [CLS, *words, SEP]
            if self._text is None:
                extra = {"labels": random.integers(0, self.n("classes"), rows)}
            else:
                extra = {"labels": batches.part_of_text(starts, self._text, self.n("classes"))}
        mask = np.arange(seq) < lengths[:, None]
        return batches.shard({"tokens": tokens, "segments": segments, "mask": mask, **extra}, rank, world)

    def _hide_words(self, random: np.random.Generator, tokens: Ints) -> dict[str, Ints]:
        """Choose the words to predict and hide them in place: 8 of 10 masked, 1 random, 1 left as it is."""
        import numpy as np

        rows, seq = tokens.shape
        slots = max(1, round(MASKED_SHARE * seq))
        positions = np.zeros((rows, slots), dtype=np.int64)
        words = np.full((rows, slots), IGNORED, dtype=np.int64)
        for row in range(rows):
            candidates = np.flatnonzero(tokens[row] >= FIRST_WORD)
            chosen = np.sort(random.permutation(candidates)[: max(1, round(MASKED_SHARE * len(candidates)))])
            positions[row, : len(chosen)] = chosen
            words[row, : len(chosen)] = tokens[row, chosen]
            fate = random.random(len(chosen))
            tokens[row, chosen[fate < 0.8]] = MASK
            swapped = chosen[(fate >= 0.8) & (fate < 0.9)]
            tokens[row, swapped] = random.integers(FIRST_WORD, self.n("vocab"), len(swapped))
        return {"positions": positions, "words": words}

    def inputs(self, batch: Batch) -> tuple[torch.Tensor, ...]:
        """Return tokens, segments and mask, and in pre-training the positions of the hidden words."""
        names = ["tokens", "segments", "mask", *(["positions"] if self.mode == "train" else [])]
        return tuple(batch[name] for name in names)

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the masked words' mean cross-entropy plus next sentence's, or that of the classes.

        The mean is over the words of the whole batch: that of equal parts of it is the batch's.
        """
        from torch.nn import functional as F

        outputs = model(*self.inputs(batch))
        if self.mode != "train":
            return F.cross_entropy(outputs, batch["labels"])
        words, following = outputs
        labels = batch["words"].flatten()
        hidden = F.cross_entropy(words.flatten(0, 1), labels, ignore_index=IGNORED, reduction="sum")
        return hidden / len(words) * batch["word_weight"][0] + F.cross_entropy(following, batch["next"])

    def predict(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the logits of the hidden words in pre-training, of the classes otherwise."""
        if self.mode != "train":
            return self.infer(model, batch)
        words: torch.Tensor = model(batch["tokens"], batch["segments"], batch["mask"], batch["positions"])[0]
        return words

    def infer(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return class logits (B, classes)."""
        logits: torch.Tensor = model(batch["tokens"], batch["segments"], batch["mask"])
        return logits

    def blocks(self, model: nn.Module) -> list[nn.Module]:
        """Return the transformer blocks."""
        return list(model.encoder.blocks)  # type: ignore[union-attr, arg-type]

    def outputs(self, batch: Batch) -> int:
        """The logits of the classes."""
        return len(batch["tokens"]) * self.n("classes")

    def unread_weights(self, batch: Batch) -> int:
        """The embeddings of words that do not occur."""
        from workloads.inputs.batches import distinct

        return (self.n("vocab") - distinct(batch["tokens"])) * self.n("hidden")

    def units(self, batch: Batch) -> Units:
        """Count a step. FLOPs include padding and unused prediction slots, which the model computes too."""
        rows, seq = batch["tokens"].shape
        hidden, layers = self.n("hidden"), self.n("layers")
        work = flops.encoder_layers(rows * seq, hidden, 4 * hidden, layers)
        work += flops.attention(rows, seq, seq, hidden, layers)
        work += self.head_flops(batch)
        words = int(batch["mask"].sum())
        moved = float(sum(t.numel() * t.element_size() for t in batch.values()))
        if self.mode == "infer":
            moved -= batch["labels"].numel() * 8.0  # inference does not read them
            return Units(rows, words, rows, work, moved + 4.0 * self.outputs(batch))
        return Units(rows, words, 0, flops.TRAIN_FACTOR * work, moved)

    def head_flops(self, batch: Batch) -> float:
        """The pooler and what is over it; in pre-training the logits of the hidden words too."""
        rows, hidden = len(batch["tokens"]), self.n("hidden")
        if self.mode != "train":
            return flops.linear(rows, hidden, hidden + self.n("classes"))
        words = flops.linear(batch["positions"].numel(), hidden, hidden + self.n("vocab"))
        return words + flops.linear(rows, hidden, hidden + 2)
