"""The load and the engine of mode `serve`, as a section of the configuration."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from harness.config.section import Section

BalancePolicy = Literal["round_robin", "least_outstanding"]
LoadGenScenario = Literal["offline", "server", "single_stream", "multi_stream"]
"""MLPerf's, by our spelling."""


class ServeConfig(Section):
    """The load and the engine of mode `serve`; no other mode reads it (docs/serving.md)."""

    batching: Literal["continuous", "static"] = "continuous"
    """When requests are let in: as soon as a row is free, or when the whole batch is answered."""
    slots: PositiveInt = 8
    """Most answers at once: rows of the cache."""
    context: PositiveInt | None = None
    """Positions of a row; null is what the lengths need, at most what the model has."""
    cache_gib: PositiveFloat | None = None
    """Memory of the cache: no more slots than fit are made. Null is all slots."""
    chunk: PositiveInt = 256
    """Most tokens of a prompt that one step reads: chunked prefill."""
    queue: PositiveInt = 1024
    """Most requests that wait; more are rejected."""
    engines: PositiveInt = 1
    """Equal ones over one model behind a balancer, each with slots, a cache and a queue of its own."""
    arrivals: Literal["closed", "constant", "poisson", "gamma", "trace"] = "closed"
    """`closed`: each of `concurrency` users asks again when answered. The others are open loops."""
    concurrency: PositiveInt = 8
    loadgen: LoadGenScenario | None = None
    """MLPerf LoadGen decides when requests come, and judges; null is the load above."""
    rate_per_s: PositiveFloat | None = None
    """Mean rate of an open loop; null is the trace's own."""
    burstiness: PositiveFloat = 1.0
    """Of gamma arrivals: squared coefficient of variation of the gaps."""
    lengths: Literal["fixed", "lognormal", "trace"] = "fixed"
    prompt_tokens: PositiveInt | None = None
    """Of every request, or the log-normal median; null is the size's `prompt`."""
    output_tokens: PositiveInt | None = None
    """Likewise; null is the size's `new_tokens`."""
    sigma: NonNegativeFloat = 0.5
    """Standard deviation of the logarithms of log-normal lengths."""
    trace: str | None = None
    """A JSONL file of lengths and arrivals (`harness.serving.lengths.from_jsonl`)."""
    trace_sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    """Digest of that file; null takes what is there, and any other one is refused."""
    balance: BalancePolicy = "round_robin"
    """Which server or engine gets the next request: in turn, or the one with the fewest under way."""
    ttft_limit_s: PositiveFloat | None = None
    """Limits of a good answer, for goodput."""
    tpot_limit_s: PositiveFloat | None = None
    e2e_limit_s: PositiveFloat | None = None
    good_share: float = Field(default=0.9, gt=0, le=1)
    """Least share of good answers at which a rate is met."""
