"""The load of a trial: endless lengths, and for an open loop endless arrivals, from the section `serve`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from harness.config.serving import ServeConfig
from harness.serving.arrivals import Process, arrivals_s, rescaled_s
from harness.serving.lengths import Length, fixed, from_jsonl, log_normal
from harness.serving.metrics import Limits
from harness.system.errors import InputError

_BLOCK = 256
"""Requests drawn at a time."""


def lengths_of(serve: ServeConfig, longest: int, *, seed: int) -> Iterator[Length]:
    """Return the lengths of the requests, in the order in which they are asked; they never end.

    Args:
        serve: Resolved: every default is written.
        longest: Positions of a sequence, which log-normal lengths keep to.
        seed: Of the lengths.

    Raises:
        InputError: a length out of range, or a trace that cannot be used.
    """
    assert serve.prompt_tokens is not None
    assert serve.output_tokens is not None
    prompt, output = serve.prompt_tokens, serve.output_tokens
    if serve.lengths == "trace":
        return itertools.cycle(trace_of(serve))
    if serve.lengths == "fixed":
        return itertools.cycle(fixed(1, prompt_tokens=prompt, output_tokens=output))
    return itertools.chain.from_iterable(
        log_normal(
            _BLOCK,
            prompt_tokens=prompt,
            output_tokens=output,
            sigma=serve.sigma,
            longest=longest,
            seed=_seed(seed, block),
        )
        for block in itertools.count()
    )


def arrivals_of(serve: ServeConfig, *, seed: int) -> Iterator[float] | None:
    """Return the times of arrivals since the load began, s, without end; None for a closed loop.

    Blocks of arrivals follow one another; a trace begins anew, a mean gap after its last arrival.

    Raises:
        InputError: a trace without arrivals, or with all of them at once.
    """
    if serve.arrivals == "closed":
        return None
    if serve.arrivals == "trace":
        return _repeated(_trace_arrivals(serve))
    assert serve.rate_per_s is not None
    return _drawn(serve.arrivals, serve.rate_per_s, serve.burstiness, seed)


def limits_of(serve: ServeConfig) -> Limits:
    """Return what a good answer keeps within."""
    return Limits(serve.ttft_limit_s, serve.tpot_limit_s, serve.e2e_limit_s, serve.good_share)


@cache
def _read(path: str) -> tuple[Length, ...]:
    return from_jsonl(Path(path))


def trace_of(serve: ServeConfig) -> tuple[Length, ...]:
    """Return the trace that is named.

    Raises:
        InputError: none is named, or it is no trace.
        ResourceError: it cannot be read.
    """
    if serve.trace is None:
        raise InputError("serve.trace must name a JSONL file of lengths")
    return _read(str(Path(serve.trace).resolve()))


def _trace_arrivals(serve: ServeConfig) -> tuple[float, ...]:
    times = [one.arrival_s for one in trace_of(serve) if one.arrival_s is not None]
    if not times:
        raise InputError(f"{serve.trace}: no request tells when it arrives")
    own = (len(times) - 1) / (max(times) - min(times)) if max(times) > min(times) else 0.0
    return rescaled_s(times, serve.rate_per_s or own)


def _repeated(times: Sequence[float]) -> Iterator[float]:
    period = times[-1] * len(times) / (len(times) - 1)
    return (turn * period + at for turn in itertools.count() for at in times)


def _drawn(process: Process, rate_per_s: float, burstiness: float, seed: int) -> Iterator[float]:
    begin = 0.0
    for block in itertools.count():
        drawn = arrivals_s(process, rate_per_s, _BLOCK, seed=_seed(seed, block), burstiness=burstiness)
        yield from (begin + at for at in drawn)
        begin += drawn[-1]


def _seed(seed: int, block: int) -> int:
    return seed * 1_000_003 + block
