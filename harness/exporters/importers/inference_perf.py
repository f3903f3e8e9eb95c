"""inference-perf's `summary_lifecycle_metrics.json`, or that of a stage: distributions over requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.exporters.importers import take
from harness.exporters.importers.definitions import Definition, LeftOut, Tool, result
from harness.exporters.importers.latencies import latency
from harness.records.foreign import ForeignResult

_STATISTICS = {"mean": "mean", "p50": "median", "p90": "p90", "p99": "p99"}
"""By our word, theirs."""
_OWN = "tokens by its own tokenizer unless the run says otherwise, which the file does not say"

TOOL = Tool(
    "inference-perf",
    "0.7.0",
    "inference_perf/reportgen/base.py of kubernetes-sigs/inference-perf, and its files of a scripted server",
    (
        *latency(
            "time_to_first_token",
            "from the request's start to the first chunk with content; reasoning is none",
            "latency.ttfa", mean="mean", unit="s",
        ),
        *latency(
            "inter_token_latency", f"between tokens, 0 within a chunk; {_OWN}", mean="mean", unit="s",
        ),
        *latency(
            "time_per_output_token", f"(last token - first) / (tokens - 1); {_OWN}", mean="mean", unit="s",
        ),
        *latency(
            "normalized_time_per_output_token", f"request_latency / tokens; {_OWN}", mean="mean", unit="s",
        ),
        *latency("request_latency", "from the request's start to the stream's end", mean="mean", unit="s"),
        Definition(
            r"output_tokens_per_sec", "output_tokens_per_sec", "tokens/s", "total / total time",
            "the whole run", f"tokens over the run's time; {_OWN}", direction="higher",
        ),
        Definition(
            r"requests_per_sec", "requests_per_sec", "requests/s", "total / total time", "the whole run",
            "successful requests over the run's time, its start and end included", direction="higher",
        ),
    ),
    "A percentile is kept as `p50`, `p90` or `p99`; inference-perf calls the first `median`.",
)  # fmt: skip


def results(data: Any) -> Iterator[ForeignResult | LeftOut]:
    """Yield mean and three percentiles of every latency, and the rates."""
    successes = take(data, "successes", dict, "")
    count = successes.get("count")
    n = count if isinstance(count, int) and not isinstance(count, bool) and count >= 0 else None
    latencies = successes.get("latency")
    for metric, block in latencies.items() if isinstance(latencies, dict) else ():
        for ours, theirs in _STATISTICS.items():
            if isinstance(block, dict) and block.get(theirs) is not None:
                place, key = f"successes.latency.{metric}.{theirs}", f"{metric}.{ours}"
                yield result(TOOL, key, "successful requests", key, block[theirs], place, n=n)
    rates = successes.get("throughput")
    for metric, value in rates.items() if isinstance(rates, dict) else ():
        if value is not None:
            place = f"successes.throughput.{metric}"
            yield result(TOOL, metric, "successful requests", metric, value, place, n=n)
