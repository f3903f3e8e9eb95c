"""Every metric that Joulemark publishes: its id, unit, direction and meaning, in one table."""

from __future__ import annotations

from dataclasses import dataclass

from harness.records.schema import Direction, Metric, Provenance


@dataclass(frozen=True, slots=True)
class MetricDef:
    """The meaning of one metric id. A change of meaning raises `version`, and ends comparing."""

    id: str
    title: str
    unit: str
    direction: Direction
    estimator: str
    provenance: Provenance = "measured"
    scale: str = "log"
    """How replicas are combined: `log` (mean of logs), `linear` (mean), `max`, `same` (must agree); `once` is
    a fact of the configuration, which its first replica tells."""
    version: int = 1


def _quantiles(name: str, title: str, over: str, scale: str = "log") -> tuple[MetricDef, ...]:
    """Return the quantiles of a latency of requests; `linear` where it may be zero."""
    return tuple(
        MetricDef(
            f"latency.{name}.{word}", f"{title} {word}", "s", "lower", f"quantile over {over}", scale=scale
        )
        for word in ("p50", "p90", "p99")
    )


_DEFS = (
    MetricDef("throughput.samples", "Throughput", "samples/s", "higher", "total samples / span"),
    MetricDef("throughput.tokens", "Throughput", "tokens/s", "higher", "total non-padding tokens / span"),
    MetricDef("throughput.requests", "Throughput", "requests/s", "higher", "total requests / span"),
    MetricDef(
        "throughput.bytes", "Throughput", "B/s", "higher", "bytes copied, sent, read or written / span"
    ),
    MetricDef("throughput.updates", "Updates of the weights", "updates/s", "higher", "updates / span"),
    MetricDef("iteration.mean", "Iteration time", "s", "lower", "span / iterations"),
    MetricDef("iteration.mean.clean", "Iteration time, undisturbed", "s", "lower", "mean of the clean ones"),
    MetricDef(
        "iteration.gated",
        "Iteration time, gated",
        "s",
        "lower",
        "device time of iterations behind the gate / iterations: no launch latency; a pass of its own",
    ),
    MetricDef(
        "iteration.cold",
        "Iteration time, cold",
        "s",
        "lower",
        "mean device time of gated iterations, each after a flush of the last cache; a pass of its own",
    ),
    MetricDef("latency.p50", "Latency p50", "s", "lower", "process quantile"),
    MetricDef("latency.p90", "Latency p90", "s", "lower", "process quantile"),
    MetricDef("latency.p99", "Latency p99", "s", "lower", "process quantile"),
    MetricDef("latency.ttft", "Time to first token", "s", "lower", "mean over requests"),
    MetricDef("latency.ttfa", "Time to first answer token", "s", "lower", "mean over requests"),
    MetricDef("latency.tpot", "Time per output token", "s", "lower", "mean over tokens after the first"),
    MetricDef("latency.gap", "Gap between pieces", "s", "lower", "mean over gaps of answers", scale="linear"),
    MetricDef("latency.e2e", "Request latency", "s", "lower", "mean over requests, arrival to end"),
    MetricDef(
        "latency.queue", "Queueing time", "s", "lower", "mean over requests, arrival to start", scale="linear"
    ),
    *_quantiles("ttft", "Time to first token", "requests"),
    *_quantiles("ttfa", "Time to first answer token", "requests"),
    *_quantiles("tpot", "Time per output token", "requests"),
    *_quantiles("gap", "Gap between pieces", "gaps", "linear"),
    *_quantiles("e2e", "Request latency", "requests"),
    *_quantiles("queue", "Queueing time", "requests", "linear"),
    MetricDef("interactivity", "Interactivity", "tokens/s", "higher", "1 / median tpot of requests"),
    MetricDef("goodput.requests", "Goodput", "requests/s", "higher", "requests that kept every limit / span"),
    MetricDef(
        "goodput.share",
        "Requests within limits",
        "1",
        "higher",
        "counted requests that kept every limit / all counted",
        scale="linear",
    ),
    MetricDef(
        "requests.failed",
        "Requests without answer",
        "1",
        "lower",
        "counted requests rejected, failed or unfinished / all counted",
        scale="linear",
    ),
    MetricDef("mlperf.samples", "MLPerf samples", "samples/s", "higher", "LoadGen's completed samples / run"),
    MetricDef("mlperf.tokens", "MLPerf tokens", "tokens/s", "higher", "LoadGen's completed tokens / run"),
    *(
        MetricDef(f"mlperf.{name}", title, "s", "lower", "LoadGen's early-stopping estimate of the quantile")
        for name, title in (
            ("ttft", "MLPerf time to first token"),
            ("tpot", "MLPerf time per output token"),
            ("query", "MLPerf query latency"),
        )
    ),
    MetricDef("time.first_iteration", "First iteration", "s", "lower", "host time of the first step"),
    MetricDef("time.compile", "Compile", "s", "lower", "host time to compile ahead of the first step"),
    MetricDef("time.build", "Build", "s", "lower", "host time to build the workload"),
    MetricDef("time.warmup", "Warm-up", "s", "none", "host time until steady"),
    MetricDef("cpu.time", "CPU time per iteration", "s", "lower", "process CPU time / iterations"),
    MetricDef("flops.rate", "Model FLOP/s", "FLOP/s", "higher", "model FLOPs / span", "derived"),
    MetricDef("flops.step", "Model FLOPs per step", "FLOP", "none", "closed form", "counted", "same"),
    MetricDef("mfu", "MFU", "1", "higher", "model FLOP/s / vendor dense peak", "derived"),
    MetricDef(
        "mfu.measured",
        "MFU of the measured ceiling",
        "1",
        "higher",
        "model FLOP/s / measured ceiling",
        "derived",
    ),
    MetricDef("memory.peak_allocated", "Peak memory allocated", "B", "lower", "allocator peak", scale="max"),
    MetricDef("memory.peak_reserved", "Peak memory reserved", "B", "lower", "allocator peak", scale="max"),
    MetricDef("memory.peak_rss", "Peak resident memory", "B", "lower", "operating system peak", scale="max"),
    MetricDef("memory.weights", "Weights", "B", "lower", "parameters and buffers", "counted", "same"),
    MetricDef("memory.optimizer", "Optimizer state", "B", "lower", "state tensors", "counted", "same"),
    MetricDef("memory.kv_cache", "KV cache", "B", "lower", "cache tensors", "counted", "same"),
    MetricDef("model.parameters", "Parameters", "1", "none", "count", "counted", "same"),
    MetricDef("energy.iteration", "Energy per iteration", "J", "lower", "window energy / iterations"),
    MetricDef(
        "energy.iteration.uncertainty",
        "Standard uncertainty of energy per iteration",
        "J",
        "none",
        "uncertainty of window energy / iterations",
        "derived",
        "linear",
    ),
    MetricDef("energy.sample", "Energy per sample", "J", "lower", "window energy / samples", "derived"),
    MetricDef("energy.token", "Energy per token", "J", "lower", "window energy / tokens", "derived"),
    MetricDef("energy.request", "Energy per request", "J", "lower", "window energy / requests", "derived"),
    MetricDef("energy.byte", "Energy per byte", "J", "lower", "window energy / bytes", "derived"),
    MetricDef(
        "efficiency.samples", "Samples per joule", "samples/J", "higher", "samples / energy", "derived"
    ),
    MetricDef("efficiency.tokens", "Tokens per joule", "tokens/J", "higher", "tokens / energy", "derived"),
    MetricDef("efficiency.requests", "Requests per joule", "requests/J", "higher", "requests / J", "derived"),
    MetricDef("efficiency.bytes", "Bytes per joule", "B/J", "higher", "bytes / energy", "derived"),
    MetricDef("energy.prefill", "Energy of a prefill", "J", "lower", "loop of this phase alone"),
    MetricDef("energy.decode", "Energy of a decode step", "J", "lower", "loop of this phase alone"),
    MetricDef("energy.forward", "Energy of forward", "J", "lower", "loop of this phase alone"),
    MetricDef("energy.backward", "Energy of backward and update", "J", "lower", "step - forward", "derived"),
    MetricDef("power.mean", "Mean power", "W", "lower", "window energy / span"),
    MetricDef("power.peak", "Peak power", "W", "lower", "largest sample", scale="max"),
    MetricDef("power.idle", "Idle power", "W", "lower", "guard windows", scale="linear"),
    MetricDef(
        "quality.sqnr",
        "Signal to quantisation noise",
        "dB",
        "higher",
        "10 log10(sum reference^2 / sum error^2) of the outputs against fp32 eager",
        scale="once",
    ),
    MetricDef(
        "quality.agreement",
        "Agreement of the first choice",
        "1",
        "higher",
        "share of outputs whose largest logit is fp32 eager's",
        scale="once",
    ),
    MetricDef(
        "quality.perplexity",
        "Perplexity",
        "1",
        "lower",
        "exp(mean loss) on held-out text, weights trained",
        scale="once",
    ),
    MetricDef(
        "quality.perplexity.fp32",
        "Perplexity of the fp32 model",
        "1",
        "none",
        "exp(mean loss) on held-out text, weights trained",
        scale="once",
    ),
    MetricDef(
        "staleness.mean",
        "Mean staleness",
        "updates",
        "lower",
        "updates by others between a worker's pull and its push, over all updates",
        "counted",
        "linear",
    ),
    MetricDef("staleness.max", "Largest staleness", "updates", "lower", "largest of all", "counted", "max"),
    MetricDef(
        "time.to_loss",
        "Time to loss",
        "s",
        "lower",
        "steps until the mean of ten losses is at most the target * mean iteration time",
        "derived",
    ),
    MetricDef("loss.first", "Loss at the first step", "1", "none", "training loss", scale="linear"),
    MetricDef("loss.last", "Loss at the last step", "1", "lower", "mean of the last tenth", scale="linear"),
)
METRICS: dict[str, MetricDef] = {d.id: d for d in _DEFS}


def make(metric_id: str, value: float | None, *, n: int = 1, reason: str | None = None) -> Metric:
    """Make a replica's metric from its definition; without a value it needs a reason.

    Raises:
        KeyError: the id is not in the table.
        ValueError: neither value nor reason, or both.
    """
    d = METRICS[metric_id]
    if (value is None) == (reason is None):
        raise ValueError(f"{metric_id}: give either a value or the reason why there is none")
    return Metric(
        id=d.id,
        value=value,
        unit=d.unit,
        direction=d.direction,
        estimator=d.estimator,
        n=n,
        semantics_version=d.version,
        provenance=d.provenance,
        reason=reason,
    )
