"""Pipeline stages: equal losses, weights spread, refusals."""

from __future__ import annotations

import pytest

CASES = {
    2: [
        ("gpt", "gpipe", "train"),
        ("gpt", "interleaved", "train"),
        ("gpt", "zero_bubble", "train"),
        ("llama", "zero_bubble", "train"),
        ("moe", "1f1b", "train"),
        ("bert", "1f1b", "finetune"),
        ("bert", "1f1b", "train"),
        ("ner", "gpipe", "finetune"),
        ("vit", "interleaved", "train"),
        ("mlp", "gpipe", "train"),
    ],
    4: [("gpt", "1f1b", "train")],
}


@pytest.mark.parametrize("world", CASES)
def test_every_schedule_gives_the_single_processs_losses(on_ranks, losses_of, single_losses, world):
    """Tied weights, masks and experts, cut at every kind of block."""

    def work(ranks):
        return [
            losses_of(name, "pipeline", ranks, mode=mode, settings={"schedule": schedule})
            for name, schedule, mode in CASES[world]
        ]

    for found in on_ranks(world, work):
        for (name, _, mode), losses in zip(CASES[world], found, strict=True):
            assert losses == pytest.approx(single_losses(name, mode=mode), rel=1e-6)


def test_a_rank_holds_its_stages_alone(on_ranks, job_of):
    """Together the ranks hold the model once, and the tied embedding twice; the batch counts once."""
    whole = job_of("gpt")

    def work(ranks):
        job = job_of("gpt", "pipeline", ranks, settings={"schedule": "interleaved"})
        freed = sum(p.numel() == 0 for p in job.model[0]._staged[0].parameters())
        held = sum(p.numel() for p in job.model.parameters())
        assert job.parameters == whole.parameters
        return held, freed, job.units(0).tokens, job.evidence()["parallel"]

    first, second = on_ranks(2, work)
    assert first[0] + second[0] == whole.parameters + whole.model.token.weight.numel()
    assert first[1] > 0
    assert (first[2], second[2]) == (whole.units(0).tokens, 0)
    # (p-1)/(v·m+p-1) with 2 ranks, 2 stages each and 4 micro-batches
    expected = {"pipeline": 2, "stages": 4, "micro_batches": 4, "bubble_share": 1 / 9}
    assert first[3] == second[3] == expected


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"ranks": 1}, "at least 2 ranks"),
        ({"ranks": 8}, "4 blocks, fewer than the pipeline's 8 stages"),
        ({"parallel_settings": {"micro_batches": 3}}, "batch 4 does not split into 3"),
        ({"accumulate": 2}, "leave workload.accumulate at 1"),
        (
            {"ranks": 4, "parallel_settings": {"micro_batches": 2}},
            "1f1b needs as many micro-batches as stages, 4: micro_batches is 2",
        ),
        ({"workload": "bert", "mode": "finetune", "size": {"shared": True}}, "share one weight"),
        (
            {
                "ranks": 3,
                "size": {"layers": 6, "batch": 14},
                "parallel_settings": {"schedule": "interleaved", "micro_batches": 7},
            },
            "7 micro-batches do not go round 3 ranks",
        ),
        ({"workload": "resnet"}, "lacks: stages"),
    ],
)
def test_what_cannot_be_cut_is_refused(refused, options, reason):
    """The reason names the number that does not divide."""
    assert reason in refused("pipeline", **{"ranks": 2} | options)
