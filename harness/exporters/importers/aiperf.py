"""AIPerf's `profile_export_aiperf.json`: for each metric its unit, its mean and its percentiles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.exporters.importers import FieldError
from harness.exporters.importers.definitions import Definition, LeftOut, Tool, result
from harness.exporters.importers.latencies import QUANTILES, latency, rate
from harness.records.foreign import ForeignResult

_CONTENT = "from the request's start to the first chunk with content or reasoning; an empty role is none"
_BETWEEN = "(last chunk with content - first) / (tokens - 1)"

TOOL = Tool(
    "aiperf",
    "0.13.0",
    "aiperf/metrics/types of ai-dynamo/aiperf, and files that it wrote of a scripted server",
    (
        *latency("time_to_first_token", _CONTENT, "latency.ttft"),
        *latency("time_to_first_output_token", "the same to the first chunk past reasoning", "latency.ttfa"),
        *latency("request_latency", "from the start to the last chunk with content", "latency.e2e"),
        *latency("inter_chunk_latency", "between chunks with content, all pooled", "latency.gap"),
        Definition(
            r"inter_token_latency \(server's tokens\)\.avg", "inter_token_latency (server's tokens).avg",
            "ms", "mean over requests", "a request", f"{_BETWEEN}, by usage; ours is over tokens", "s", 1e-3,
        ),
        *latency("inter_token_latency (server's tokens)", f"{_BETWEEN}, by usage", "latency.tpot")[1:],
        *latency("inter_token_latency", f"{_BETWEEN}, tokens by AIPerf's own tokenizer"),
        *latency("time_to_second_token", "between the first two chunks with content"),
        Definition(
            r"output_token_throughput_per_user\.(?:avg|p50|p90|p99)", "output_token_throughput_per_user.avg",
            "tokens/sec/user", "as named", "a request", "1 / inter_token_latency", "tokens/s",
            direction="higher",
        ),
        rate("output_token_throughput.avg", "tokens/sec", "tokens / (last end - first start)", "tokens/s"),
        rate("request_throughput.avg", "requests/sec", "requests / (last end - first start)", "requests/s"),
    ),
    "`(server's tokens)` stands where the run was made with `--use-server-token-count`: only then are they"
    " the tokens of the server's usage.",
)  # fmt: skip
_PER_SERVER = "inter_token_latency"


def results(data: Any) -> Iterator[ForeignResult | LeftOut]:
    """Yield mean and three percentiles of every metric that has a unit."""
    if not isinstance(data, dict):
        raise FieldError("the file: expected an object")
    config = data.get("input_config")
    endpoint = config.get("endpoint") if isinstance(config, dict) else None
    served = isinstance(endpoint, dict) and endpoint.get("use_server_token_count") is True
    chunked = isinstance(endpoint, dict) and endpoint.get("per_chunk_usage") is True
    facts = {"version": data.get("aiperf_version"), "use_server_token_count": served}
    yield from metrics_of(TOOL, data, facts, {_PER_SERVER} if served and not chunked else set())


def metrics_of(
    tool: Tool, data: dict[str, Any], facts: dict[str, Any], by_server: set[str]
) -> Iterator[ForeignResult | LeftOut]:
    """Yield what a file of metrics with unit, mean and percentiles holds.

    Args:
        tool: Whose table holds.
        data: The file.
        facts: Of the run.
        by_server: Metrics whose tokens the server counted.
    """
    for metric, block in data.items():
        if not isinstance(block, dict) or not isinstance(block.get("unit"), str):
            continue
        count = block.get("count")
        n = count if isinstance(count, int) and not isinstance(count, bool) and count >= 0 else None
        told = f"{metric} (server's tokens)" if metric in by_server else metric
        for statistic in ("avg", *QUANTILES):
            if (value := block.get(statistic)) is None:
                continue
            key = f"{told}.{statistic}"
            place = f"{metric}.{statistic}"
            found = result(tool, key, metric, key, value, place, n=n, facts=facts)
            if isinstance(found, ForeignResult) and not _as_told(tool, key, block["unit"]):
                found = found.model_copy(
                    update={"value": value, "unit": block["unit"], "comparable_to": None}
                )
            yield found


def _as_told(tool: Tool, key: str, unit: str) -> bool:
    """Return whether a file has a metric in the table's unit; another keeps the file's own word."""
    definition = tool.of(key)
    return definition is not None and definition.their_unit == unit
