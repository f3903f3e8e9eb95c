"""A workload that serves, as the trial runs any other: one step, and what is known of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from harness.config.serving import ServeConfig
from harness.serving.engines import EngineServer
from harness.serving.fleet import Fleet
from harness.serving.load import arrivals_of, lengths_of, limits_of
from harness.serving.lockstep import Agree, Follower, Leader
from harness.serving.served import Served, Work
from harness.serving.session import Session
from workloads.base import GenerativeWorkload, Units, Workload

if TYPE_CHECKING:
    from workloads.engine.serve import PreparedEngines
    from workloads.engine.setup import Setup

DRAIN_S, DRAIN_SPANS = 10.0, 2.0
"""How long counted requests may take to end behind the span: so long, or so many spans if that is longer."""


@dataclass
class ServingJob:
    """What a trial takes for a `workloads.engine.job.PreparedWorkload`; a step is one of the session."""

    step: Callable[..., object]
    session: Session | None
    """The load, on rank 0."""
    prepared: PreparedEngines
    work: Work
    others: Leader | Follower | None = None
    """What keeps several ranks in step."""
    fleet: Fleet | None = None
    """Several engines behind a balancer."""
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
        """Of the caches as they are now."""
        return self.prepared.cache_bytes

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
        return self.prepared.logits

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
        requests = self.session.requests
        return Served(
            requests,
            self.session.span_ns,
            limits_of(serve),
            open_loop=serve.arrivals != "closed",
            balance=None if self.fleet is None else self.fleet.shares(requests),
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
    """Build engines and load.

    Args:
        workload: In mode `serve`.
        setup: Of the trial.
        serve: Resolved: every default is written.
        seed: Of the load; the model has the workload's own.
        agree: Returns rank 0's word on every rank.

    Raises:
        UnsupportedError: no engine can be built so.
        InputError: the load cannot be had.
    """
    assert serve.context is not None
    prepared = prepare_engines(workload, setup, serve)
    servers = [
        EngineServer(engine, vocab=workload.n("vocab"), seed=seed, device=setup.device)
        for engine in prepared.engines
    ]
    if setup.ranks.rank > 0:
        follower = Follower(servers[0], agree)
        return ServingJob(follower.step, None, prepared, work_of(workload), follower)
    leader = Leader(servers[0], agree) if setup.ranks.world > 1 else None
    fleet = Fleet(serve.balance, servers, shared_threads(serve.engines)) if serve.engines > 1 else None
    session = Session(
        fleet or leader or servers[0],
        lengths_of(serve, serve.context + 1, seed=seed),
        arrivals_s=arrivals_of(serve, seed=seed),
        concurrency=serve.concurrency,
    )
    return ServingJob(session.step, session, prepared, work_of(workload), leader, fleet)


def shared_threads(engines: int) -> Callable[[], None]:
    """Return what gives the thread in which it is called its share of this one's threads, one at least."""
    import torch

    each = max(1, torch.get_num_threads() // engines)
    return lambda: torch.set_num_threads(each)


def work_of(workload: Workload) -> Work:
    """Return the FLOPs of a decoder's sequences, from its own closed forms."""
    import torch

    assert isinstance(workload, GenerativeWorkload)
    reading = type(workload)("prefill", workload.size, seed=workload.seed)
    return Work(
        read=cache(lambda tokens: reading.units({"tokens": torch.empty((1, tokens), device="meta")}).flops),
        step=cache(lambda context: workload.step_units(1, context).flops),
    )


def prepare_engines(
    workload: Workload, setup: Setup, serve: ServeConfig, *, queue: int | None = None
) -> PreparedEngines:
    """Build the engines alone, with a `queue` of their own where it is not to be `serve.queue`.

    Raises:
        UnsupportedError: no engine can be built so.
    """
    from workloads.engine import serve as engine

    assert serve.context is not None
    return engine.prepare_engines(
        workload,
        setup,
        engine.Serving(
            batching=serve.batching,
            slots=serve.slots,
            context=serve.context,
            chunk=serve.chunk,
            queue=serve.queue if queue is None else queue,
            cache_bytes=None if serve.cache_gib is None else int(serve.cache_gib * 2**30),
            engines=serve.engines,
        ),
    )
