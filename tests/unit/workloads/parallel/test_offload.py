"""Offload to host memory: its arithmetic, with the host as the device too, and its refusals."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("what", ["optimizer", "weights"])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_an_update_on_the_host_is_the_devices(on_ranks, losses_of, single_losses, what, optimizer):
    """One tensor of all weights, and weights that come block by block, are updated as each weight alone."""
    rate = {"sgd": 0.5, "adamw": 1e-3}[optimizer]

    def work(ranks):
        return losses_of("gpt", "offload", ranks, settings={"what": what}, optimizer=optimizer, lr=rate)

    (losses,) = on_ranks(1, work)
    assert losses == pytest.approx(single_losses("gpt", optimizer=optimizer, lr=rate), rel=1e-6)


def test_the_state_on_the_host_is_counted(on_ranks, job_of):
    """It is as large as on the device."""

    def state_bytes(job):
        job.step(0, lambda _name: None)
        return job.optimizer_bytes()

    whole = state_bytes(job_of("gpt", optimizer="sgd"))
    (found,) = on_ranks(1, lambda ranks: state_bytes(job_of("gpt", "offload", ranks, optimizer="sgd")))
    assert found == whole


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"device": "cpu"}, "where everything of a CPU lies already"),
        ({"ranks": 2}, "for one rank, not 2"),
        ({"workload": "dlrm", "parallel_settings": {"what": "weights"}}, "goes by blocks"),
    ],
)
def test_nothing_to_offload_is_refused(refused, options, reason):
    """On the CPU above all: its memory is the host's."""
    assert reason in refused("offload", **{"device": "cuda", "ranks": 1} | options)
