"""Ulysses: the same losses and logits from parts of the sequences."""

from __future__ import annotations

import pytest
import torch

CASES = {
    2: [
        ("gpt", "train"),
        ("llama", "train"),
        ("moe", "train"),
        ("bert", "finetune"),
        ("bert", "train"),
        ("ner", "finetune"),
    ],
    4: [("gpt", "train")],
}


@pytest.mark.parametrize("world", CASES)
def test_parts_of_sequences_give_the_single_processs_losses(on_ranks, losses_of, single_losses, world):
    """Learned and rotary positions, shared keys, experts, padding masks."""

    def work(ranks):
        return [losses_of(name, "sequence", ranks, mode=mode) for name, mode in CASES[world]]

    for found in on_ranks(world, work):
        for (name, mode), losses in zip(CASES[world], found, strict=True):
            assert losses == pytest.approx(single_losses(name, mode=mode), rel=1e-6)


@pytest.mark.parametrize(("name", "mode"), [("gpt", "prefill"), ("llama", "prefill"), ("bert", "infer")])
def test_outputs_without_training_are_the_single_processs_on_every_rank(on_ranks, job_of, name, mode):
    """A rank's cache holds its own positions; the last position's logits reach all."""

    def outputs(job):
        job.step(0, lambda _name: None)
        return job.output().clone(), job.kv_cache_bytes

    whole, cache_bytes = outputs(job_of(name, mode=mode))
    for found, own_bytes in on_ranks(2, lambda ranks: outputs(job_of(name, "sequence", ranks, mode=mode))):
        torch.testing.assert_close(found, whole, rtol=1e-5, atol=1e-5)
        assert own_bytes == cache_bytes // 2


def test_a_rank_takes_its_part_of_the_tokens_and_one_counts_all(on_ranks, job_of):
    """The units are those of the whole batch, once."""
    whole = job_of("gpt").units(0)

    def work(ranks):
        job = job_of("gpt", "sequence", ranks)
        return job.units(0).tokens, job.evidence()["parallel"]

    assert on_ranks(2, work) == [
        (whole.tokens, {"sequence": 2}),
        (0, {"sequence": 2}),
    ]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"ranks": 3}, "heads 4 does not divide by 3 ranks"),
        ({"workload": "llama", "ranks": 4}, "kv_heads 2 does not divide by 4 ranks"),
        ({"size": {"seq": 63}}, "seq 63 does not divide by 2 ranks"),
        ({"mode": "prefill", "size": {"prompt": 2}}, "fewer than 2 positions"),
        ({"workload": "bert", "mode": "finetune", "size": {"shared": True}}, "share one weight"),
        ({"workload": "vit"}, "vit lacks: sequence"),
        ({"mode": "decode"}, "no meaning in mode decode"),
    ],
)
def test_what_does_not_divide_is_refused(refused, options, reason):
    """The reason names the number."""
    assert reason in refused("sequence", **{"ranks": 2} | options)
