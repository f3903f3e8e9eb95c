"""A workload that serves, as the trial runs any other: one step, and what is known of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from harness.config.serving import ServeConfig
from harness.serving.engines import EngineServer
from harness.serving.load import arrivals_of, lengths_of, limits_of
from harness.serving.lockstep import Agree, Follower, Leader
from harness.serving.served import Served, Work
from harness.serving.session import Session
from workloads.base import GenerativeWorkload, Units, Workload

if TYPE_CHECKING:
    from workloads.engine.serve import PreparedEngine
    from workloads.engine.setup import Setup

DRAIN_S, DRAIN_SPANS = 10.0, 2.0
"""How long counted requests may take to end behind the span: so long, or so many spans if that is longer."""


@dataclass
class ServingJob:
    """What a trial takes for a `workloads.engine.job.PreparedWorkload`; a step is one of the session."""

    step: Callable[..., object]
    session: Session | None
    """The load, on rank 0."""
    prepared: PreparedEngine
    work: Work
    others: Leader | Follower | None = None
    """What keeps several ranks in step."""
    compiler: None = None
    compiled: None = None
    compile_s: None = None
    update: None = None
    devices: int = 1

    @property
    def model(self) -> Any:
        """The torch module."""
        return self.prepared.model

    @property
    def parameters(self) -> int:
        """Of the whole model."""
        return self.prepared.parameters

    @property
    def weights_bytes(self) -> int:
        """Of the model."""
        return self.prepared.weights_bytes

    @property
    def kv_cache_bytes(self) -> int:
        """Of the cache as it is now."""
        return self.prepared.slots.nbytes

    def units(self, _index: int) -> Units:
        """A step tells what it processed only when it is over."""
        return Units(0)

    def check(self) -> dict[str, Any]:
        """Judge the last step's logits."""
        return self.prepared.check()

    def losses(self) -> list[float]:
        """There are none."""
        return []

    def outputs(self) -> object:
        """What a device waits for."""
        return self.prepared.engine.logits

    def served(self, serve: ServeConfig) -> Served | None:
        """Let the counted requests end, with the load kept up, and return what the span served.

        Of several ranks rank 0 alone has the load, and something to return.
        """
        if self.session is not None:
            begin, end = self.session.span_ns
            self.session.drain(max(DRAIN_S, DRAIN_SPANS * (end - begin) / 1e9))
        if self.others is not None:
            self.others.end()
        if self.session is None:
            return None
        return Served(
            self.session.requests,
            self.session.span_ns,
            limits_of(serve),
            open_loop=serve.arrivals != "closed",
        )

    def counted(self, served: Served) -> Units:
        """Return what the span processed."""
        return served.units(self.work)

    def evidence(self) -> dict[str, Any]:
        """What was made of the model and of the engine."""
        return self.prepared.evidence


def prepare(
    workload: Workload,
    setup: Setup,
    serve: ServeConfig,
    *,
    seed: int,
    agree: Agree = lambda turn: turn,
) -> ServingJob:
    """Build engine and load.

    Args:
        workload: In mode `serve`.
        setup: Of the trial.
        serve: Resolved: every default is written.
        seed: Of the load; the model has the workload's own.
        agree: Returns rank 0's word on every rank.

    Raises:
        UnsupportedError: the engine cannot be built so.
        InputError: the load cannot be had.
    """
    assert serve.context is not None
    prepared = prepare_engine(workload, setup, serve)
    engine = EngineServer(prepared.engine, vocab=workload.n("vocab"), seed=seed, device=setup.device)
    if setup.ranks.rank > 0:
        follower = Follower(engine, agree)
        return ServingJob(follower.step, None, prepared, work_of(workload), follower)
    leader = Leader(engine, agree) if setup.ranks.world > 1 else None
    session = Session(
        leader or engine,
        lengths_of(serve, serve.context + 1, seed=seed),
        arrivals_s=arrivals_of(serve, seed=seed),
        concurrency=serve.concurrency,
    )
    return ServingJob(session.step, session, prepared, work_of(workload), leader)


def work_of(workload: Workload) -> Work:
    """Return the FLOPs of a decoder's sequences, from its own closed forms."""
    import torch

    assert isinstance(workload, GenerativeWorkload)
    reading = type(workload)("prefill", workload.size, seed=workload.seed)
    return Work(
        read=cache(lambda tokens: reading.units({"tokens": torch.empty((1, tokens), device="meta")}).flops),
        step=cache(lambda context: workload.step_units(1, context).flops),
    )


def prepare_engine(
    workload: Workload, setup: Setup, serve: ServeConfig, *, queue: int | None = None
) -> PreparedEngine:
    """Build the engine alone, with a `queue` of its own where it is not to be `serve.queue`.

    Raises:
        UnsupportedError: the engine cannot be built so.
    """
    from workloads.engine import serve as engines

    assert serve.context is not None
    return engines.prepare_engine(
        workload,
        setup,
        engines.Serving(
            batching=serve.batching,
            slots=serve.slots,
            context=serve.context,
            chunk=serve.chunk,
            queue=serve.queue if queue is None else queue,
            cache_bytes=None if serve.cache_gib is None else int(serve.cache_gib * 2**30),
        ),
    )
