"""Token classification: every word has a class, and nothing else."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from workloads.catalogue.bert import FIRST_WORD
from workloads.inputs.sources import SHIPPED


def test_words_have_the_class_of_their_number_and_special_tokens_none(make):
    """Padding, first and last token are no words."""
    batch = make("ner", "finetune", data=SHIPPED).make_batch(0)
    words = batch["tokens"] >= FIRST_WORD
    assert torch.equal(batch["labels"] >= 0, words)
    assert torch.equal(batch["labels"][words], (batch["tokens"][words] - FIRST_WORD) % 9)
    assert (batch["mask"].sum(1) - words.sum(1)).tolist() == [2] * 8


def test_the_loss_is_that_of_the_words(make):
    """Their cross-entropy summed, over all positions, so that parts of a batch have its mean."""
    workload = make("ner", "finetune")
    model, batch = workload.build_model(), workload.make_batch(0)
    logits = workload.infer(model, batch)
    words = batch["labels"] >= 0
    expected = F.cross_entropy(logits[words], batch["labels"][words], reduction="sum") / words.numel()
    torch.testing.assert_close(workload.loss(model, batch), expected)


def test_padding_changes_no_word_s_class(make):
    """The same row among longer ones has the same logits."""
    workload = make("ner", "infer")
    model, batch = workload.build_model().eval(), workload.make_batch(0)
    length = int(batch["mask"][0].sum())
    alone = {key: batch[key][:1, :length] for key in ("tokens", "segments", "mask")}
    whole = workload.infer(model, batch)
    assert whole.shape == (8, 64, 9)
    torch.testing.assert_close(workload.infer(model, alone)[0], whole[0, :length], rtol=1e-4, atol=1e-5)
