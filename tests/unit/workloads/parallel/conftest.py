"""Several ranks on this machine, and the losses that every strategy is held to."""

from __future__ import annotations

import multiprocessing
import pickle
import time
import traceback
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import cache
from multiprocessing.connection import Connection, wait
from typing import Any

import pytest
import torch
import torch._dynamo  # DDP and pipelines import it: once here, not in every rank
import torch.distributed as dist
import torch.distributed.pipelining

from workloads import registry
from workloads.base import Scalar
from workloads.compatibility import refusal
from workloads.engine.job import PreparedWorkload, prepare
from workloads.engine.setup import ALONE, Chosen, Setup
from workloads.parallel.base import Ranks
from workloads.parallel.registry import STRATEGIES
from workloads.sizes import resolve_size
from workloads.transform import NONE, Cell, resolve_settings

UPDATES = 3
RATE = 0.5
"""A large rate: a gradient that is off by a factor shows in the next loss."""


def job_of(
    name: str,
    parallel: str = NONE,
    ranks: Ranks = ALONE,
    *,
    mode: str = "train",
    settings: Mapping[str, Scalar] | None = None,
    size: Mapping[str, Scalar] | None = None,
    **setup: Any,
) -> PreparedWorkload:
    """Prepare a tiny workload in fp32; `size` overrides values of its size."""
    kind = registry.get(name)
    workload = kind(mode, resolve_size(kind.spec, "tiny", size or {}))
    chosen = Chosen()
    if parallel != NONE:
        chosen = Chosen(parallel, resolve_settings(STRATEGIES.get(parallel).spec, settings or {}))
    return prepare(workload, Setup(parallel=chosen, ranks=ranks, **setup))


def losses_of(name: str, parallel: str = NONE, ranks: Ranks = ALONE, **options: Any) -> list[float]:
    """Return the whole batch's losses before and after each of UPDATES steps of SGD at a large rate."""
    job = job_of(name, parallel, ranks, **{"optimizer": "sgd", "lr": RATE} | options)
    for index in range(UPDATES + 1):
        job.step(index, lambda _name: None)
    return job.losses()


@cache
def _single(name: str, options: tuple[tuple[str, Any], ...]) -> list[float]:
    frozen = dict(options)
    size = dict(frozen.pop("size", ()))
    return losses_of(name, size=size, **frozen)


@pytest.fixture(scope="session", name="job_of")
def _job_of() -> Callable[..., PreparedWorkload]:
    """Give `job_of`."""
    return job_of


@pytest.fixture(scope="session", name="losses_of")
def _losses_of() -> Callable[..., list[float]]:
    """Give `losses_of`, for use inside `on_ranks`."""
    return losses_of


@pytest.fixture(scope="session")
def single_losses(one_thread) -> Callable[..., list[float]]:
    """Give the losses of one process without a strategy; the same question is answered once."""

    def losses(name: str, size: Mapping[str, Scalar] | None = None, **options: Any) -> list[float]:
        frozen = options | {"size": tuple((size or {}).items())}
        return _single(name, tuple(frozen.items()))

    return losses


@pytest.fixture
def on_ranks(tmp_path_factory):
    """Give a runner of `work(ranks)` on forked processes that form a gloo group.

    It returns each rank's value, in the order of the ranks. The first rank to fail ends all others, and its
    traceback fails the test; a rank that takes longer than `timeout_s` fails it too.
    """
    context = multiprocessing.get_context("fork")

    def run(world: int, work: Callable[[Ranks], Any], timeout_s: float = 150.0) -> list[Any]:
        store = tmp_path_factory.mktemp("ranks") / "store"

        def member(rank: int, answer: Connection) -> None:
            try:
                torch.set_num_threads(1)
                dist.init_process_group(
                    "gloo",
                    init_method=f"file://{store}",
                    rank=rank,
                    world_size=world,
                    timeout=timedelta(seconds=timeout_s),
                )
                value = work(Ranks(rank, world))
                dist.barrier()
                answer.send_bytes(pickle.dumps((True, value)))  # not by shared memory, as `send` does
                dist.destroy_process_group()
            except BaseException:  # noqa: BLE001 - whatever ends a rank is the test's failure
                answer.send_bytes(pickle.dumps((False, traceback.format_exc())))

        members = []
        for rank in range(world):
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=member, args=(rank, theirs), daemon=True)
            process.start()
            theirs.close()
            members.append((process, ours))
        try:
            values = _collected([answer for _, answer in members], timeout_s)
            for process, _ in members:
                process.join(timeout_s)
            return values
        finally:
            for process, answer in members:
                process.kill()
                process.join()
                answer.close()

    return run


def _collected(answers: list[Connection], timeout_s: float) -> list[Any]:
    values: dict[int, Any] = {}
    deadline = time.monotonic() + timeout_s
    while len(values) < len(answers):
        waiting = [answer for rank, answer in enumerate(answers) if rank not in values]
        ready = wait(waiting, max(0.0, deadline - time.monotonic()))
        if not ready:
            pytest.fail(f"{len(waiting)} of {len(answers)} ranks gave no answer in {timeout_s:g} s")
        for answer in ready:
            rank = answers.index(answer)
            try:
                fine, value = pickle.loads(answer.recv_bytes())
            except EOFError:
                pytest.fail(f"rank {rank} died without a word")
            if not fine:
                pytest.fail(f"rank {rank}:\n{value}")
            values[rank] = value
    return [values[rank] for rank in range(len(answers))]


@pytest.fixture
def refused():
    """Give the reason why a tiny workload under a strategy is refused; "" when it is not."""

    def reason(
        parallel: str,
        *,
        workload: str = "gpt",
        mode: str = "train",
        size: Mapping[str, Scalar] | None = None,
        parallel_settings: Mapping[str, Scalar] | None = None,
        **cell: Any,
    ) -> str:
        spec, wanted = registry.get(workload).spec, STRATEGIES.get(parallel).spec
        settings = resolve_settings(wanted, parallel_settings or {})
        sizes = resolve_size(spec, "tiny", size or {})
        described = Cell(spec, mode, sizes, parallel=parallel, parallel_settings=settings, **cell)
        return refusal(described) or ""

    return reason
