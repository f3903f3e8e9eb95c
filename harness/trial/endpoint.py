"""One replica of an endpoint: ask it once, put the load on it, and sum up what its users saw."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from harness.config.models import Config
from harness.isolation.protocol import ReplicaSpec
from harness.records.evidence import declared
from harness.records.loop import Series, write_loop
from harness.records.schema import Metric
from harness.serving.balancer import Balancer
from harness.serving.endpoint.address import Address, check_key_goes_safely, parse_url, read_key
from harness.serving.endpoint.client import Asked, Client, Told
from harness.serving.endpoint.failures import NO_TOKEN
from harness.serving.endpoint.load import Load, Loaded, Span
from harness.serving.endpoint.watch import LoopWatch, client_facts
from harness.serving.lengths import Length
from harness.serving.load import arrivals_of, lengths_of, limits_of
from harness.serving.metrics import metrics_of
from harness.serving.requests import ANSWERED
from harness.serving.served import Served
from harness.system.contention import Contention, between
from harness.system.errors import JoulemarkError
from harness.system.host_counters import read_counters
from harness.trial.audit import VERSION
from harness.trial.endpoint_energy import Energy, Metered, energy_metrics

_WORDS = ("the", "of", "and", "to", "in", "is", "you", "that", "it", "he", "was", "for", "on")


_MOST_MODELS = 8


class EndpointError(JoulemarkError, RuntimeError):
    """The endpoint gives no answer that could be measured; the message says what it gives."""


@dataclass(frozen=True, slots=True)
class _Run:
    """What a run brought."""

    loaded: Loaded
    watch: LoopWatch
    host: Contention


def measured(config: Config, spec: ReplicaSpec, on_phase: Callable[[str], None]) -> dict[str, Any]:
    """Measure one endpoint from this process; the recipe of such a trial.

    Raises:
        EndpointError: it refuses the first request, or answers none in the span.
        InputError: the address or the key cannot be used.
    """
    on_phase("start")
    addresses = [parse_url(url) for url in config.workload.urls]
    asked = [_asked(config, address) for address in addresses]
    on_phase("build")
    metered, ask = Metered(config, addresses), _Asking(config, spec.replica)
    run = asyncio.run(_run(config, asked, ask, metered, on_phase))
    on_phase("finish")
    told = [one for one in run.loaded.told if one.request.counted]
    if not any(one.request.answered for one in told):
        raise EndpointError(f"none of its {len(told)} requests was answered: {_problems(told)}")
    served = Served(
        tuple(run.loaded.requests),
        (run.loaded.begin_ns, run.loaded.end_ns),
        limits_of(config.serve),
        config.serve.arrivals != "closed",
    )
    if spec.folder is not None:
        write_loop(served.series(), Path(spec.folder))
    used = metered.energy()
    facts = {
        "client": client_facts(run.loaded.told, run.watch) | {"delay_share": run.host.delay_share},
        "endpoint": _endpoint_facts(told),
        **({"balance": _balance_facts(config, told, ask.places)} if len(asked) > 1 else {}),
        "iterations": len(told),
        "span_ns": served.span_ns[1] - served.span_ns[0],
        "audit": {"version": VERSION, "endpoint": {"served": served.facts(), "energy": asdict(used)}},
    }
    return {
        "metrics": [asdict(metric) for metric in _metrics(served, used)],
        "evidence": declared(__name__, facts) | served.evidence() | metered.evidence(),
        "series": {},
    }


def replayed(kept: Mapping[str, Any], series: Series) -> list[Metric]:
    """Return the metrics that follow from what an endpoint's record keeps for an audit, and its log.

    Raises:
        ValueError: they are not what was kept.
    """
    try:
        used = Energy(**kept["energy"])
        return _metrics(Served.kept(kept["served"], series), used)
    except (KeyError, TypeError, ArithmeticError, AttributeError, IndexError) as error:
        raise ValueError(
            f"what it keeps for an audit is not whole: {type(error).__name__} {error}"
        ) from error


def _metrics(served: Served, used: Energy) -> list[Metric]:
    found = metrics_of(served.requests, served.span_ns, served.limits)
    # What waited where within the server is not seen from here.
    seen = [metric for metric in found if not metric.id.startswith("latency.queue")]
    return [*seen, *energy_metrics(served.requests, served.span_ns, used)]


def _asked(config: Config, address: Address) -> Asked:
    w = config.workload
    key = read_key(w.key_env, w.key_file)
    check_key_goes_safely(address, key)
    extra = dict(w.extra) if w.temperature == 1.0 else {"temperature": w.temperature, **w.extra}
    return Asked(address, w.model or "", w.api, key, extra, w.request_s, w.pause_s)


async def _run(
    config: Config,
    asked: Sequence[Asked],
    ask: _Asking,
    metered: Metered,
    on_phase: Callable[[str], None],
) -> _Run:
    clients = list[Client]()
    try:
        for one in asked:
            clients.append(await Client.open(one))
        on_phase("check")
        _check([(await ask.at(client, 0)) for client in clients])
        on_phase("warmup")
        m = config.measure
        span = Span(m.warmup_s, m.seconds, m.min_iterations, longest_s=m.seconds + asked[0].timeout_s)
        before = read_counters()
        load = Load(partial(ask.one, clients), span, on_phase=on_phase, around=metered)
        arrivals = arrivals_of(config.serve, seed=ask.seed)
        with LoopWatch() as watch:
            if arrivals is None:
                loaded = await load.closed(config.serve.concurrency)
            else:
                loaded = await load.open(arrivals)
        return _Run(loaded, watch, between(before, read_counters()))
    finally:
        for client in clients:
            client.close()


def _check(first: Sequence[Told]) -> None:
    """Go on where a server answers; the failures of others are counted.

    Raises:
        EndpointError: none answers.
    """
    if not any(told.request.ended in (ANSWERED, NO_TOKEN) for told in first):  # a model may end at once
        ended, problem = first[0].request.ended, first[0].seen.problem
        raise EndpointError(f"the first request failed ({ended}): {problem}")


class _Asking:
    """The requests of a replica: their lengths in turn, and prompts that no cache has seen."""

    def __init__(self, config: Config, replica: int) -> None:
        self.seed = config.seed * 10_000 + replica
        assert config.serve.context is not None
        self._drawn: list[Length] = []
        self._lengths: Iterator[Length] = lengths_of(config.serve, config.serve.context + 1, seed=self.seed)
        self._balancer = Balancer(config.serve.balance, len(config.workload.urls))
        self.places: dict[int, int] = {}
        """Which server got which request."""

    async def one(self, clients: Sequence[Client], number: int, *, arrival_ns: int, counted: bool) -> Told:
        """Ask request `number` of the server whose turn it is."""
        with self._balancer.chosen() as place:
            self.places[number] = place
            return await self.at(clients[place], number, arrival_ns=arrival_ns, counted=counted)

    async def at(
        self, client: Client, number: int, *, arrival_ns: int | None = None, counted: bool = False
    ) -> Told:
        """Ask request `number` of one server; without an arrival it comes now."""
        while len(self._drawn) <= number:
            self._drawn += itertools.islice(self._lengths, 256)
        length = self._drawn[number]
        drawn = random.Random(self.seed * 1_000_003 + number)
        prompt = " ".join(drawn.choices(_WORDS, k=length.prompt_tokens))
        arrival_ns = time.perf_counter_ns() if arrival_ns is None else arrival_ns
        return await client.ask(number, prompt, length.output_tokens, arrival_ns=arrival_ns, counted=counted)


def _balance_facts(config: Config, told: Sequence[Told], places: Mapping[int, int]) -> dict[str, Any]:
    """Return how the counted requests were shared among the servers, in the order of `workload.url`."""
    servers = []
    for place in range(len(config.workload.urls)):
        mine = [one.request for one in told if places.get(one.request.number) == place]
        ended = dict(Counter(request.ended for request in mine))
        servers.append({"requests": len(mine), "ended": ended})
    return {"policy": config.serve.balance, "servers": servers}


def _problems(told: Sequence[Told]) -> str:
    """Return how often requests failed in which way, with what was said first."""
    first = {one.request.ended: one.seen.problem for one in reversed(told)}
    counts = {kind: sum(one.request.ended == kind for one in told) for kind in first}
    return "; ".join(f"{count} {kind} ({first[kind]})" for kind, count in counts.items()) or "none arrived"


def _endpoint_facts(told: Sequence[Told]) -> dict[str, Any]:
    """Return what the streams were like, and what was said of each kind of failure first."""
    answered = [one for one in told if one.request.answered]
    prompts = [one.request.prompt_tokens for one in answered if one.request.prompt_tokens is not None]
    return {
        "requests": len(told),
        "answered": len(answered),
        "problems": {one.request.ended: one.seen.problem for one in reversed(told) if one.seen.problem},
        "models": sorted({one.seen.model for one in answered if one.seen.model})[:_MOST_MODELS],
        "usage": sum(one.request.tokens is not None for one in answered),
        "false_usage": sum(one.seen.false_usage for one in answered),
        "empty_first": sum(one.seen.empty_first for one in answered),
        "done": sum(one.seen.done for one in answered),
        "reasoned": sum(one.seen.reasoned for one in answered),
        "prompt_tokens_mean": sum(prompts) / len(prompts) if prompts else None,
        "retry_after_s": max((one.seen.retry_after_s or 0.0 for one in told), default=0.0) or None,
    }
