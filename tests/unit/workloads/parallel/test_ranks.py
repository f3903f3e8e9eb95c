"""The test bench of the strategies itself."""

from __future__ import annotations

import os
import time

import pytest
import torch
import torch.distributed as dist


def test_ranks_form_one_group_and_answer_in_their_order(on_ranks):
    """A sum over all ranks reaches every rank."""

    def work(ranks):
        total = torch.tensor([float(ranks.rank + 1)])
        dist.all_reduce(total)
        return ranks.rank, total.item()

    assert on_ranks(3, work) == [(0, 6.0), (1, 6.0), (2, 6.0)]


def test_a_failing_rank_fails_the_test_with_its_traceback(on_ranks):
    """Its peers, which wait for it, are ended."""

    def work(ranks):
        if ranks.rank == 1:
            raise ZeroDivisionError("of rank 1")
        dist.barrier()

    with pytest.raises(pytest.fail.Exception, match=r"rank 1:(.|\n)*of rank 1"):
        on_ranks(2, work)


def test_a_rank_that_dies_or_hangs_fails_the_test(on_ranks):
    """Neither leaves the test waiting."""

    def dies(ranks):
        if ranks.rank == 0:
            os._exit(9)

    with pytest.raises(pytest.fail.Exception, match=r"rank \d"):
        on_ranks(2, dies)
    with pytest.raises(pytest.fail.Exception, match="no answer in 1 s"):
        on_ranks(1, lambda _ranks: time.sleep(30), timeout_s=1.0)


def test_the_rate_is_large_enough_to_show(single_losses):
    """The last loss is far from the first, so that equal losses mean equal updates."""
    losses = single_losses("gpt")
    assert len(losses) == 4
    assert max(losses) - min(losses) > 0.01 * losses[0]
