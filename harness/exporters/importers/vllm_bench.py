"""The result file of `vllm bench serve`: one object with means, medians and percentiles side by side."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from harness.exporters.importers import FieldError
from harness.exporters.importers.definitions import Definition, LeftOut, Tool, result
from harness.records.foreign import ForeignResult

_MS: dict[str, Any] = {"their_unit": "ms", "unit": "s", "scale": 1e-3, "phase": "a request"}
_COMPLETIONS = (
    "completions: from the request's start to the first event with a choice, which has no role; one whose"
    " token decodes to nothing counts"
)
_OTHER = (
    "chat: from the request's start to the first event with a choice; whether an empty role delta is one"
    " differs between versions (0.33 passes over it), and the file states no version"
)


def _ttft(statistic: str, ours: str, word: str) -> Definition:
    return Definition(
        rf"openai:{word}_ttft_ms", f"openai:{word}_ttft_ms", statistic=statistic, meaning=_COMPLETIONS,
        ours=ours, **_MS,
    )  # fmt: skip


def _none(name: str, meaning: str) -> Definition:
    pattern = rf"[^:]*:(?:mean|median|p[\d.]+)_{name}_ms"
    return Definition(pattern, f"openai-chat:mean_{name}_ms", statistic="as named", meaning=meaning, **_MS)


TOOL = Tool(
    "vllm-bench",
    "0.33.0",
    "vllm/benchmarks/serve.py and lib/endpoint_request_func.py of vllm-project/vllm, and its files of a"
    " scripted server",
    (
        _ttft("mean", "latency.ttft", "mean"),
        _ttft("p50", "latency.ttft.p50", "median"),
        _ttft("p90", "latency.ttft.p90", "p90"),
        _ttft("p99", "latency.ttft.p99", "p99"),
        _none("ttft", _OTHER),
        _none(
            "tpot",
            "(last event with a choice - first) / (tokens - 1); tokens by usage, else by its tokenizer, which"
            " the file does not say",
        ),
        _none("itl", "between neighbouring events with a choice, all pooled: tokens of one event are one"),
        _none("e2el", "from the request's start to the last event with a choice, though it be empty"),
        Definition(
            r"[^:]*:output_throughput", "openai-chat:output_throughput", "tokens/s", "total / total time",
            "the whole run", "tokens over the run's time, its start and end included", direction="higher",
        ),
        Definition(
            r"[^:]*:request_throughput", "openai-chat:request_throughput", "requests/s", "total / total time",
            "the whole run", "requests over the run's time, its start and end included", direction="higher",
        ),
    ),
    "A name is `BACKEND:METRIC`; `openai` is the API of completions.",
)  # fmt: skip
_TAKEN = re.compile(r"(?:mean|median|p[\d.]+)_(?:ttft|tpot|itl|e2el)_ms|(?:output|request)_throughput")


def results(data: Any) -> Iterator[ForeignResult | LeftOut]:
    """Yield the latencies and the rates."""
    if not isinstance(data, dict):
        raise FieldError("the file: expected an object")
    backend = data.get("backend", data.get("endpoint_type"))
    if not isinstance(backend, str):
        raise FieldError("backend: it is missing")
    done = data.get("completed")
    n = done if isinstance(done, int) and not isinstance(done, bool) and done >= 0 else None
    facts = {
        key: data.get(key)
        for key in ("model_id", "num_prompts", "request_rate", "burstiness", "max_concurrency", "failed")
    }
    for metric, value in data.items():
        if n == 0 and metric.endswith("_ms"):  # it writes 0 for what it has not
            yield LeftOut(f"{metric}: no request was completed")
        elif _TAKEN.fullmatch(metric) and value is not None:
            key = f"{backend}:{metric}"
            yield result(TOOL, key, "vllm bench serve", key, value, metric, n=n, facts=facts)
