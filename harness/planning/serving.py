"""The section `serve` of a trial that serves: checked against the model, every default written."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from harness.config.errors import ConfigError
from harness.config.models import Config
from harness.config.serving import ServeConfig
from harness.serving.endpoint.address import parse_url
from harness.serving.load import arrivals_of, lengths_of, trace_of
from harness.system.errors import InputError, access_to
from workloads.base import SERVE, Size

_MANY = 8
"""Median requests that a row of a model without a last position has room for, with lengths that vary."""

_LOADGEN_DECIDES = ("arrivals", "concurrency", "rate_per_s", "queue")
_ENGINE = ("batching", "slots", "cache_gib", "chunk", "queue", "engines")
_LIMITS = ("ttft_limit_s", "tpot_limit_s", "e2e_limit_s")


def resolved(config: Config, size: Size) -> Config:
    """Return the configuration with its load and engine resolved; of another mode, as it is.

    Raises:
        ConfigError: keys that do not go together, or a request that fits no row.
        InputError: a trace that is none.
        ResourceError: a trace that cannot be read.
    """
    if config.workload.mode != SERVE or "prompt" not in size:
        return config
    serve = config.serve
    _check_loadgen(config)
    _check_arrivals(serve)
    _check_trace(serve)
    serve = serve.model_copy(
        update={
            "prompt_tokens": serve.prompt_tokens or int(size["prompt"]),
            "output_tokens": serve.output_tokens or int(size["new_tokens"]),
            "trace_sha256": _digest(serve),
        }
    )
    serve = serve.model_copy(update={"context": _context(serve, size)})
    arrivals_of(serve, seed=config.seed)
    assert serve.context is not None
    longest = max(
        one.prompt_tokens + one.output_tokens - 1
        for one in itertools.islice(lengths_of(serve, serve.context + 1, seed=config.seed), 1)
    )
    if longest > serve.context:
        raise ConfigError(
            f"serve.context={serve.context}: a request of {longest} positions does not fit a row"
        )
    return config.model_copy(update={"serve": serve})


def check_server(config: Config) -> None:
    """Say what an endpoint lacks, or that another workload takes none.

    Raises:
        ConfigError: an address without an endpoint, or the other way round; an address that is none.
    """
    w = config.workload
    named = [bool(w.urls), w.model is not None]
    if w.name == "endpoint" and not all(named):
        raise ConfigError("workload=endpoint needs workload.url and workload.model")
    if w.name == "endpoint" and find_spec("httptools") is None:
        raise ConfigError("workload=endpoint needs httptools: pip install 'joulemark[serve]'")
    if w.name != "endpoint" and (any(named) or w.key_env or w.key_file or w.extra or w.api != "chat"):
        raise ConfigError("workload.url, .model, .api, .key_env, .key_file and .extra need workload=endpoint")
    several = len(w.urls) > 1 or (w.mode == SERVE and config.serve.engines > 1)
    if not several and config.serve.balance != ServeConfig().balance:
        raise ConfigError(
            "serve.balance: it chooses between several servers, workload.url=[URL,URL] or serve.engines=N"
        )
    for url in w.urls:
        try:
            parse_url(url)
        except InputError as error:  # without the address, which may hold a secret
            raise ConfigError(f"workload.url: {error}") from None


def check_used(configs: Iterable[Config]) -> None:
    """Say which keys of the section were set and change no trial.

    Args:
        configs: Of all trials of a plan: a sweep may set what only some of them read.

    Raises:
        ConfigError: there is one; the message says what would read it.
    """
    unread = [_unread(config) for config in configs]
    for key, remedy in unread[0].items() if unread else ():
        if all(key in each for each in unread):
            raise ConfigError(f"serve.{key}: {remedy}")


def _unread(config: Config) -> dict[str, str]:
    """Return the keys that were set and are not read, each with what reads it."""
    serve, own = config.serve, ServeConfig()
    if config.workload.mode != SERVE:
        found = dict.fromkeys(ServeConfig.model_fields, "mode serve alone reads it: add workload.mode=serve")
    else:
        found = {}
        if config.workload.name == "endpoint":
            found |= dict.fromkeys(_ENGINE, "an endpoint has an engine of its own; this one is not there")
        if serve.arrivals != "closed":
            found["concurrency"] = "an open loop has no users that wait: serve.arrivals=closed reads it"
        if serve.lengths != "lognormal":
            found["sigma"] = "log-normal lengths alone have it: add serve.lengths=lognormal"
    return {key: why for key, why in found.items() if getattr(serve, key) != getattr(own, key)}


def _check_loadgen(config: Config) -> None:
    """Say what LoadGen decides itself, and what it needs."""
    serve = config.serve
    if serve.loadgen is None:
        return
    if config.workload.name == "endpoint":
        raise ConfigError("serve.loadgen: LoadGen drives an engine in this process, not an endpoint")
    if find_spec("mlperf_loadgen") is None:
        raise ConfigError("serve.loadgen needs mlcommons-loadgen: pip install 'joulemark[serve]'")
    own = ServeConfig()
    for key in _LOADGEN_DECIDES:
        if getattr(serve, key) != getattr(own, key):
            raise ConfigError(f"serve.{key}: with serve.loadgen LoadGen decides when requests come")
    if serve.engines > 1:
        raise ConfigError("serve.engines: LoadGen drives one engine")
    stated = [key for key in _LIMITS if getattr(serve, key) is not None]
    wanted = ["ttft_limit_s", "tpot_limit_s"] if serve.loadgen == "server" else []
    if stated != wanted:
        takes = " and ".join(f"serve.{key}" for key in wanted) or "no limit"
        raise ConfigError(f"serve.loadgen={serve.loadgen} takes {takes}")
    if serve.good_share == 1:
        raise ConfigError("serve.good_share=1: LoadGen estimates a quantile below 1")


def _check_arrivals(serve: ServeConfig) -> None:
    if serve.arrivals in {"constant", "poisson", "gamma"} and serve.rate_per_s is None:
        raise ConfigError(f"serve.arrivals={serve.arrivals}: an open loop needs serve.rate_per_s")
    if serve.arrivals == "closed" and serve.rate_per_s is not None:
        raise ConfigError("serve.rate_per_s: a closed loop has no rate; its load is serve.concurrency")
    if serve.arrivals != "gamma" and serve.burstiness != 1:
        raise ConfigError(f"serve.burstiness: gamma arrivals have it; {serve.arrivals} ones have none")


def _check_trace(serve: ServeConfig) -> None:
    wanted = [f"serve.{key}" for key in ("lengths", "arrivals") if getattr(serve, key) == "trace"]
    if wanted and serve.trace is None:
        raise ConfigError(f"{wanted[0]}=trace: serve.trace must name a JSONL file")
    if serve.trace is not None and not wanted:
        raise ConfigError("serve.trace: neither serve.lengths nor serve.arrivals is trace")


def _digest(serve: ServeConfig) -> str | None:
    if serve.trace is None:
        return None
    trace_of(serve)
    path = Path(serve.trace)
    with access_to(path):
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    if serve.trace_sha256 not in (None, found):
        raise ConfigError(f"serve.trace_sha256: {serve.trace_sha256} was asked for, {found} is there")
    return found


def _context(serve: ServeConfig, size: Size) -> int:
    """Return the positions of a row: what was asked for, else what the lengths need and the model has."""
    has = int(size["positions"]) if "positions" in size else None
    if serve.context is not None:
        if has is not None and serve.context > has:
            raise ConfigError(f"serve.context={serve.context}: the model has {has} positions")
        return serve.context
    assert serve.prompt_tokens is not None
    assert serve.output_tokens is not None
    needed = serve.prompt_tokens + serve.output_tokens - 1
    if serve.lengths == "trace":
        needed = max(one.prompt_tokens + one.output_tokens - 1 for one in trace_of(serve))
    elif serve.lengths == "lognormal":
        needed = has or _MANY * needed
    return needed if has is None else min(needed, has)
