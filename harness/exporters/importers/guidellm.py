"""GuideLLM's JSON report: for each benchmark of a run the distributions of its successful requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.exporters.importers import take
from harness.exporters.importers.definitions import Definition, LeftOut, Tool, result
from harness.exporters.importers.latencies import QUANTILES, latency
from harness.records.foreign import ForeignResult

TOOL = Tool(
    "guidellm",
    "0.8.1",
    "guidellm/schemas/base/request_stats.py of vllm-project/guidellm, and its files of a scripted server",
    (
        *latency(
            "time_to_first_token_ms", "from the request's start to the first content, reasoning or tool call",
            "latency.ttft", mean="mean",
        ),
        *latency(
            "time_to_first_output_token_ms", "the same to the first content after the reasoning",
            "latency.ttfa", mean="mean",
        ),
        Definition(
            r"inter_token_latency_ms\.mean", "inter_token_latency_ms.mean", "ms", "mean over tokens",
            "a request", "(last token - first) / (tokens - 1), weighted by tokens - 1; by usage", "s", 1e-3,
            ours="latency.tpot",
        ),
        Definition(
            r"inter_token_latency_ms\.(?:p50|p90|p99)", "inter_token_latency_ms.p50", "ms", "as named",
            "a request", "the same, quantiles over tokens", "s", 1e-3,
        ),
        *latency(
            "time_per_output_token_ms",
            "(last token - request's start) / tokens: the first token too; weighted by tokens",
            mean="mean",
        ),
        *latency("request_latency", "from the request's start to the stream's end", mean="mean", unit="s"),
        Definition(
            r"output_tokens_per_second\.mean", "output_tokens_per_second.mean", "tokens/s", "mean",
            "the whole run", "mean over the run of a rate that steps with each event", direction="higher",
        ),
        Definition(
            r"requests_per_second\.mean", "requests_per_second.mean", "requests/s", "mean", "the whole run",
            "successful requests over the run's time, its start and end included", direction="higher",
        ),
    ),
)  # fmt: skip


def results(data: Any) -> Iterator[ForeignResult | LeftOut]:
    """Yield mean and three percentiles of every distribution of every benchmark."""
    for i, benchmark in enumerate(take(data, "benchmarks", list, "")):
        where = f"benchmarks.{i}"
        metrics = benchmark.get("metrics") if isinstance(benchmark, dict) else None
        if not isinstance(metrics, dict):
            yield LeftOut(f"{where}.metrics: it is missing")
            continue
        name = f"{i} {_strategy(benchmark)}".strip()
        for metric, groups in metrics.items():
            found = groups.get("successful") if isinstance(groups, dict) else None
            if isinstance(found, dict):
                yield from _statistics(metric, found, name, f"{where}.metrics.{metric}.successful")


def _statistics(
    metric: str, found: dict[str, Any], name: str, where: str
) -> Iterator[ForeignResult | LeftOut]:
    percentiles = found.get("percentiles")
    values = {"mean": found.get("mean")}
    values |= {q: percentiles.get(q) for q in QUANTILES} if isinstance(percentiles, dict) else {}
    count = found.get("count")
    n = count if isinstance(count, int) and not isinstance(count, bool) and count >= 0 else None
    for statistic, value in values.items():
        if value is not None:
            key = f"{metric}.{statistic}"
            yield result(TOOL, key, name, key, value, f"{where}.{statistic}", n=n)


def _strategy(benchmark: dict[str, Any]) -> str:
    config = benchmark.get("config")
    strategy = config.get("strategy") if isinstance(config, dict) else None
    if not isinstance(strategy, dict):
        return ""
    shown = (strategy.get(key) for key in ("type_", "streams", "rate"))
    return " ".join(str(value)[:40] for value in shown if isinstance(value, str | int | float))
