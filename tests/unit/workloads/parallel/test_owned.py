"""Experts and embedding tables that lie on different ranks."""

from __future__ import annotations

import pytest
import torch

CASES = [
    ("moe", "expert", {}),
    ("dlrm", "tables", {"lr": 0.1}),
    ("dlrm", "tables", {"lr": 0.1, "accumulate": 2}),
]


@pytest.mark.parametrize("world", [2, 4])
def test_owned_weights_give_the_single_processs_losses(on_ranks, losses_of, single_losses, world):
    """Gradients of owned and of shared weights are those of the whole batch's mean."""

    def work(ranks):
        return [losses_of(name, strategy, ranks, **options) for name, strategy, options in CASES]

    for found in on_ranks(world, work):
        for (name, _, options), losses in zip(CASES, found, strict=True):
            assert losses == pytest.approx(single_losses(name, **options), rel=1e-6)


def test_tables_that_do_not_divide_by_the_ranks_are_spread_unevenly(on_ranks, losses_of, single_losses):
    """Eight tables on three ranks: three, three and two."""
    size = {"batch": 255}

    def work(ranks):
        return losses_of("dlrm", "tables", ranks, lr=0.1, size=size)

    for losses in on_ranks(3, work):
        assert losses == pytest.approx(single_losses("dlrm", lr=0.1, size=size), rel=1e-6)


@pytest.mark.parametrize(
    ("name", "strategy", "mode"),
    [("moe", "expert", "prefill"), ("moe", "expert", "generate"), ("dlrm", "tables", "infer")],
)
def test_outputs_without_training_are_the_ranks_rows_of_the_single_processs(
    on_ranks, job_of, name, strategy, mode
):
    """Each rank answers its own samples, and counts them."""

    def outputs(job):
        job.step(0, lambda _name: None)
        return job.output().clone(), job.units(0).samples

    greedy = {"mode": mode, "temperature": 0.0}
    whole, samples = outputs(job_of(name, **greedy))
    found = on_ranks(2, lambda ranks: outputs(job_of(name, strategy, ranks, **greedy)))
    torch.testing.assert_close(torch.cat([output for output, _ in found]), whole, rtol=1e-5, atol=1e-5)
    assert [count for _, count in found] == [samples // 2] * 2


@pytest.mark.parametrize(("name", "strategy"), [("moe", "expert"), ("dlrm", "tables")])
def test_each_rank_holds_its_part(on_ranks, job_of, name, strategy):
    """Experts and tables lie on one rank each."""
    whole, spread = job_of(name), {"moe": ("gate_up", "network.down"), "dlrm": ("tables.weight",)}[name]
    spread_bytes = sum(p.nbytes for key, p in whole.model.named_parameters() if key.endswith(spread))
    parts = on_ranks(2, lambda ranks: job_of(name, strategy, ranks).weights_bytes)
    assert spread_bytes > 0
    assert parts == [whole.weights_bytes - spread_bytes // 2] * 2


@pytest.mark.parametrize(
    ("strategy", "options", "reason"),
    [
        ("expert", {"workload": "moe", "ranks": 3}, "experts do not divide by 3 ranks"),
        ("expert", {"workload": "moe", "ranks": 2, "size": {"batch": 3}}, "batch 3 does not divide"),
        ("expert", {"workload": "llama", "ranks": 2}, "lacks: experts"),
        ("tables", {"workload": "dlrm", "ranks": 16}, "8 tables are fewer than 16 ranks"),
        ("tables", {"workload": "dlrm", "ranks": 3}, "batch 256 does not divide into 3"),
    ],
)
def test_what_cannot_be_spread_is_refused(refused, strategy, options, reason):
    """The reason names the number."""
    assert reason in refused(strategy, **options)
