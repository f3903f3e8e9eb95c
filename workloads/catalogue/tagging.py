"""Token classification, as named entities are recognised: fine-tuning and inference of BERT."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from workloads.base import Batch, WorkloadSpec
from workloads.catalogue.bert import FIRST_WORD, IGNORED, Bert
from workloads.counting import flops

if TYPE_CHECKING:
    import torch
    from torch import nn


class Tagging(Bert):
    """BERT-base and BERT-large with one linear layer over every word's state, nine classes as CoNLL-2003 has.

    A word's class is the remainder of its number: it can be learnt, and needs no annotated text.
    """

    spec: ClassVar[WorkloadSpec] = replace(
        Bert.spec,
        name="ner",
        title="Token classification",
        summary="A class for every word, as for named entities: fine-tuning and inference of BERT",
        modes=("finetune", "infer"),
        sizes={name: {**size, "classes": 9} for name, size in Bert.spec.sizes.items()},
    )

    def build_model(self) -> nn.Module:
        """Build the encoder with the head over its words."""
        from workloads.models import bert

        return bert.BertForTagging(**self.shape, classes=self.n("classes"))

    def make_batch(self, index: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Return `tokens`, `segments`, `mask` and `labels` (B, S), which leave special tokens out."""
        import torch

        batch = super().make_batch(index, rank=rank, world=world)
        words = batch["tokens"] - FIRST_WORD
        return {**batch, "labels": torch.where(words >= 0, words % self.n("classes"), IGNORED)}

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the words' cross-entropy, a position of the batch."""
        from torch.nn import functional as F

        logits, labels = self.infer(model, batch).flatten(0, 1), batch["labels"].flatten()
        return F.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum") / len(labels)

    def infer(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return class logits of all words, (B, S, classes)."""
        return super().infer(model, batch)

    def outputs(self, batch: Batch) -> int:
        """The logits."""
        return batch["tokens"].numel() * self.n("classes")

    def head_flops(self, batch: Batch) -> float:
        """A linear layer over every position."""
        return flops.linear(batch["tokens"].numel(), self.n("hidden"), self.n("classes"))
