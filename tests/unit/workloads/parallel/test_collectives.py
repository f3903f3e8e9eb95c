"""Collectives: every rank ends with what the collective says, and its bytes are the bus's."""

from __future__ import annotations

import pytest
import torch

from workloads import registry
from workloads.catalogue.collectives import BUS_SHARE
from workloads.sizes import resolve_size

RANKS = 3
NUMBERS = 1280 // RANKS * RANKS
"""Of 5 KiB, what divides among the ranks."""


def begun(kind: str, index: int) -> list[torch.Tensor]:
    """What each rank begins with in a step."""
    spec = registry.get("collectives").spec
    workload = registry.get("collectives")("infer", resolve_size(spec, "tiny", {"kib": 5, "kind": kind}))
    return [workload.make_batch(index, rank=rank, world=RANKS)["x"][0] for rank in range(RANKS)]


def expected(kind: str, given: list[torch.Tensor]) -> list[torch.Tensor]:
    """What each rank ends with, by definition."""
    parts = [rows.chunk(RANKS) for rows in given]
    total = torch.stack(given).sum(0, dtype=torch.int32)
    return {
        "all_reduce": [total] * RANKS,
        "broadcast": [given[0]] * RANKS,
        "all_gather": [torch.cat(given)] * RANKS,
        "reduce_scatter": list(total.chunk(RANKS)),
        "all_to_all": [torch.cat([rows[rank] for rows in parts]) for rank in range(RANKS)],
    }[kind]


@pytest.mark.parametrize("kind", BUS_SHARE)
def test_every_rank_ends_with_what_the_collective_says(on_ranks, job_of, kind):
    """Over odd sizes and three ranks, twice; the bytes are those that each must send at least."""

    def work(ranks):
        job = job_of("collectives", "group", ranks, mode="infer", size={"kib": 5, "kind": kind})
        found = []
        for index in range(2):
            job.step(index, lambda _name: None)
            assert job.check()["output_ok"]
            found.append(job.output()[0].tolist())
        return found, job.units(0).bytes, job.units(0).samples

    answers = on_ranks(RANKS, work)
    for index in range(2):
        wanted = expected(kind, begun(kind, index))
        assert [found[index] for found, _, _ in answers] == [rows.tolist() for rows in wanted]
    assert [moved for _, moved, _ in answers] == [round(BUS_SHARE[kind](RANKS) * 4 * NUMBERS), 0, 0]
    assert [samples for _, _, samples in answers] == [1, 0, 0]


def test_one_rank_and_other_strategies_are_refused(refused):
    """There is nothing to exchange, or no one who would."""
    reason = "collectives is an exchange between ranks: parallel=group"
    assert refused("replicated", workload="collectives", mode="infer", ranks=2) == reason
    alone = refused("group", workload="collectives", mode="infer", ranks=1)
    assert alone == "collectives needs two ranks at least"
    assert refused("group", workload="collectives", mode="infer", ranks=2) == ""
    assert refused("group", mode="infer", workload="vit", ranks=2) == "group needs what vit lacks: ranks"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [({"kind": "gossip"}, "kind 'gossip' is not one of all_reduce"), ({"batch": 2}, "batch cannot be 2")],
)
def test_what_cannot_work_is_refused(make, overrides, message):
    """One line, before anything is built."""
    with pytest.raises(ValueError, match=message):
        make("collectives", "infer", **overrides)
