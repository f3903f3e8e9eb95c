"""optimum-benchmark's `benchmark_report.json` (or `benchmark.json`, which holds it as `report`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.exporters.importers import FieldError
from harness.exporters.importers.definitions import Definition, LeftOut, Tool, result
from harness.records.foreign import ForeignResult

_SECONDS: dict[str, Any] = {"their_unit": "s", "statistic": "mean"}
_TOKENS: dict[str, Any] = {
    "their_unit": "tokens/s",
    "statistic": "total / total time",
    "direction": "higher",
}

TOOL = Tool(
    "optimum-benchmark",
    "0.6",
    "optimum_benchmark/scenarios and optimum_benchmark/trackers of huggingface/optimum-benchmark",
    (
        Definition(
            r"(?:load(?:_model)?|load_\w+)\.latency\.s", "load_model.latency.s", phase="loading",
            meaning="a model is loaded: no work of ours", **_SECONDS,
        ),
        Definition(
            r"(?:first_\w+|warmup\w*)\.latency\.s", "first_generate.latency.s", phase="first call",
            meaning="the first call, with all that is done once", **_SECONDS,
        ),
        Definition(
            r"prefill\.latency\.s", "prefill.latency.s", phase="prefill",
            meaning="the prompt up to the first token", ours="latency.ttft", **_SECONDS,
        ),
        Definition(
            r"per_token\.latency\.s", "per_token.latency.s", phase="decode",
            meaning="a token after the first", ours="latency.tpot", **_SECONDS,
        ),
        Definition(
            r"decode\.latency\.s", "decode.latency.s", phase="decode",
            meaning="all tokens after the first together", **_SECONDS,
        ),
        Definition(
            r"(?:forward|call|train)\.latency\.s", "forward.latency.s", phase="one call",
            meaning="a forward pass, a pipeline's call or a training step",
            ours="iteration.mean", **_SECONDS,
        ),
        Definition(
            r"(?:prefill|decode|per_token)\.throughput\.tokens/s", "decode.throughput.tokens/s",
            phase="as named", meaning="prompt tokens, or tokens after the first, per second",
            ours="throughput.tokens", **_TOKENS,
        ),
        Definition(
            r"(?:forward|call|train)\.throughput\.samples/s", "forward.throughput.samples/s", "samples/s",
            "total / total time", "one call of the model", "samples per second",
            direction="higher", ours="throughput.samples",
        ),
        Definition(
            r"\w+\.energy\.kWh", "decode.energy.kWh", "kWh", "total", "as named",
            "CPU, RAM and GPU as CodeCarbon estimates them", unit="J", scale=3.6e6,
        ),
        Definition(
            r"\w+\.efficiency\.(?:tokens|samples|images)/kWh", "decode.efficiency.tokens/kWh", "tokens/kWh",
            "total / total energy", "as named", "work per energy, by the same estimate", direction="higher",
        ),
    ),
    "A name is `PHASE.QUANTITY.UNIT`: a value in another unit is kept in it, without counterpart.",
)  # fmt: skip
_PARTS = (("latency", "mean"), ("throughput", "value"), ("energy", "total"), ("efficiency", "value"))


def results(data: Any) -> Iterator[ForeignResult | LeftOut]:
    """Yield latency, throughput, energy and efficiency of every phase that has them."""
    facts = {}
    if isinstance(data, dict) and "report" in data:
        facts = {"config": data.get("config")}
        data = data["report"]
    if not isinstance(data, dict):
        raise FieldError("the file: expected an object of phases")
    for phase, parts in data.items():
        if not isinstance(parts, dict):
            yield LeftOut(f"{phase}: expected an object")
            continue
        for quantity, statistic in _PARTS:
            if (part := parts.get(quantity)) is not None:
                yield _one(phase, quantity, statistic, part, facts)


def _one(
    phase: str, quantity: str, statistic: str, part: Any, facts: dict[str, Any]
) -> ForeignResult | LeftOut:
    where = f"{phase}.{quantity}"
    if not isinstance(part, dict) or statistic not in part:
        return LeftOut(f"{where}.{statistic}: it is missing")
    unit = part.get("unit")
    if not isinstance(unit, str):
        return LeftOut(f"{where}.unit: it is missing")
    count = part.get("count")
    n = count if isinstance(count, int) and not isinstance(count, bool) and count >= 0 else None
    key, place = f"{where}.{unit}", f"{where}.{statistic}"
    found = result(TOOL, key, phase, quantity, part[statistic], place, n=n, facts=facts)
    if isinstance(found, ForeignResult) and TOOL.of(key) is None:
        return found.model_copy(update={"unit": unit})  # the file's own word
    return found
