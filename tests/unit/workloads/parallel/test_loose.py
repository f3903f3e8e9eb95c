"""Strategies whose ranks do not wait for one another at every step: asynchronous and local SGD, and tasks."""

from __future__ import annotations

from statistics import fmean

import pytest
import torch
import torch.distributed as dist
from torch import nn

from workloads.parallel.server import PushPull, Server

RATE = 0.05


def step(job, count, start=0):
    """Run some steps of a job."""
    for index in range(start, start + count):
        job.step(index, lambda _name: None)


def test_one_worker_and_its_server_are_the_single_process(on_ranks, losses_of, single_losses):
    """No gradient is stale with one worker."""
    for losses in on_ranks(2, lambda ranks: losses_of("gpt", "async_sgd", ranks)):
        assert losses == pytest.approx(single_losses("gpt"), rel=1e-6)


def test_asynchronous_sgd_learns_and_records_its_staleness(on_ranks, job_of):
    """The loss falls; updates and their staleness are told by the server, and work is counted by workers."""

    def work(ranks):
        job = job_of("gpt", "async_sgd", ranks, optimizer="adamw", lr=1e-3)
        step(job, 24)
        return job.losses(), job.evidence(), job.units(0).samples

    (losses, told, served), first, second = on_ranks(3, work)
    assert losses == first[0] == second[0]
    assert fmean(losses[-4:]) < 0.9 * fmean(losses[:4])
    assert told["updates"] == 48
    assert 0.0 <= told["staleness_mean"] <= told["staleness_max"]
    assert (served, first[2], second[2]) == (0, 2, 2)
    assert first[1]["parallel"] == {"server": 1, "workers": 2}


def test_staleness_is_the_updates_since_a_workers_pull(on_ranks):
    """A worker that comes after three updates of another one is three updates late."""

    def work(ranks):
        model = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(model.weight)
        group = dist.new_group(backend="gloo")
        if ranks.rank == 0:
            server = Server(model.parameters(), torch.optim.SGD(model.parameters(), lr=1.0), group)
            for _ in range(3):
                server.serve()
            dist.barrier()
            server.serve()
            return server.evidence(), model.weight.item()
        worker = PushPull(model.parameters(), group)
        worker.zero_grad()
        (model.weight * ranks.rank).sum().backward()
        if ranks.rank == 2:
            dist.barrier()
            worker.step()
            return model.weight.item()
        for _ in range(3):
            worker.step()
        dist.barrier()
        return model.weight.item()

    (told, final), first, second = on_ranks(3, work)
    assert told == {"updates": 4, "staleness_mean": 0.75, "staleness_max": 3}
    assert (first, second, final) == (-3.0, -5.0, -5.0)


def test_local_sgd_with_an_average_each_step_is_data_parallel(on_ranks, losses_of, single_losses):
    """The mean of weights after one step is the step of the mean gradient, momentum included."""

    def work(ranks):
        return losses_of("gpt", "local_sgd", ranks, settings={"every": 1})

    for losses in on_ranks(2, work):
        assert losses == pytest.approx(single_losses("gpt"), rel=1e-6)


def test_local_sgd_lets_weights_differ_between_averages(on_ranks, job_of):
    """Weights agree after every second step, and only then."""

    def work(ranks):
        job = job_of("gpt", "local_sgd", ranks, settings={"every": 2}, optimizer="sgd", lr=RATE)
        sums = []
        for index in range(4):
            step(job, 1, index)
            sums.append(job.model.token.weight.double().square().sum().item())
        return sums

    first, second = on_ranks(2, work)
    assert [a == b for a, b in zip(first, second, strict=True)] == [False, True, False, True]


def test_tasks_are_whole_trials_side_by_side(on_ranks, losses_of, job_of, single_losses):
    """Every rank has the single process's losses, and the work adds up."""
    whole = job_of("gpt").units(0)

    def work(ranks):
        return losses_of("gpt", "task", ranks), job_of("gpt", "task", ranks).units(0)

    for losses, units in on_ranks(2, work):
        assert losses == single_losses("gpt")
        assert units == whole


@pytest.mark.parametrize(
    ("strategy", "options", "reason"),
    [
        ("async_sgd", {"ranks": 1}, "at least 2 ranks"),
        ("async_sgd", {"ranks": 4}, "batch 4 does not divide into 3"),
        ("local_sgd", {"ranks": 3}, "batch 4 does not divide into 3"),
    ],
)
def test_shares_that_are_not_equal_are_refused(refused, strategy, options, reason):
    """The reason names the number."""
    assert reason in refused(strategy, **options)
