"""GenAI-Perf's `profile_export_genai_perf.json`: for each metric its unit, its mean and its percentiles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.exporters.importers import FieldError
from harness.exporters.importers.aiperf import metrics_of
from harness.exporters.importers.definitions import Definition, LeftOut, Tool
from harness.exporters.importers.latencies import latency, rate
from harness.records.foreign import ForeignResult

TOOL = Tool(
    "genai-perf",
    "0.0.16",
    "genai_perf/profile_data_parser of triton-inference-server/perf_analyzer, run over a scripted stream",
    (
        *latency(
            "time_to_first_token",
            "from the request's start to the first response with content; reasoning is none",
            "latency.ttfa",
        ),
        *latency("request_latency", "from the start to the last response with content", "latency.e2e"),
        *latency("inter_token_latency", "(last response - first) / (tokens - 1), by its own tokenizer"),
        *latency("time_to_second_token", "between the first two responses with content"),
        Definition(
            r"output_token_throughput_per_user\.(?:avg|p50|p90|p99)", "output_token_throughput_per_user.avg",
            "tokens/sec/user", "as named", "a request", "1 / inter_token_latency", "tokens/s",
            direction="higher",
        ),
        rate("output_token_throughput.avg", "tokens/sec", "tokens / (last end - first start)", "tokens/s"),
        rate("request_throughput.avg", "requests/sec", "requests / (last end - first start)", "requests/s"),
    ),
    "Several events of one read are one response with one time. It is succeeded by AIPerf.",
)  # fmt: skip


def results(data: Any) -> Iterator[ForeignResult | LeftOut]:
    """Yield mean and three percentiles of every metric that has a unit."""
    if not isinstance(data, dict):
        raise FieldError("the file: expected an object")
    yield from metrics_of(TOOL, data, {}, set())
