"""Blocks hold every trial once, and what is compared stays together."""

from __future__ import annotations

import pytest

from harness.planning.blocks import Block, most_blocks, shared_out
from harness.planning.plan import make_plan
from harness.system.errors import UsageError


@pytest.fixture(scope="module")
def plan():
    """Plan four comparisons of two precisions each."""
    return make_plan(["device=cpu", "workload=gpt,bert", "seed=0,1", "precision=fp32,bf16"])


@pytest.mark.parametrize("of", [1, 2, 3, 4])
def test_every_trial_is_in_one_block_and_comparisons_stay_whole(plan, of):
    """Both precisions of one work and seed are measured on one node."""
    parts = shared_out(plan, of)
    assert len(parts) == of
    assert sorted(t.trial_id for p in parts for t in p.trials) == sorted(t.trial_id for t in plan.trials)
    homes = {}
    for number, part in enumerate(parts):
        for trial in part.trials:
            key = (trial.config.workload.name, trial.config.seed)
            assert homes.setdefault(key, number) == number
    assert len({len(part.trials) for part in parts if of in {1, 2, 4}}) <= 1


def test_there_are_as_many_blocks_as_comparisons(plan):
    """More would leave some without a trial."""
    assert most_blocks(plan) == 4
    assert all(part.trials for part in shared_out(plan, 4))


def test_a_device_that_is_not_here_changes_no_block():
    """The host that submits has no GPU, and shares the trials out as the nodes do."""
    overrides = ["workload=gpt,bert", "precision=fp32,bf16"]
    there, here = (make_plan([f"device={kind}", *overrides]) for kind in ("cuda", "cpu"))
    assert there.refused
    names = [[[t.label for t in part.trials] for part in shared_out(p, 2)] for p in (there, here)]
    assert str(names[0]).replace(" cuda", "") == str(names[1]).replace(" cuda", "")


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "1/0", "1/2000", "a/b", "1/2/3", "-1/2", "1 /2"])
def test_what_is_no_block_is_refused(text):
    """In one line that shows how it is written."""
    with pytest.raises(UsageError, match="I/N"):
        Block.parse(text)


def test_a_block_is_written_as_it_is_read():
    """I/N."""
    assert str(Block.parse("2/8")) == "2/8"
