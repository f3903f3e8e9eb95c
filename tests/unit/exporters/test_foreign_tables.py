"""The tables of other tools' metrics: the page, the importers, and names that are in no table."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import cli
from harness.exporters.importers import page as foreign_page
from harness.exporters.importers import read_file

TABLES = {tool.name: tool for tool in foreign_page.tools()}
DOCUMENT = Path(__file__).parents[3] / "docs" / "foreign.md"


def _with_percentiles(metric: str, value: float) -> dict:
    name, _, statistic = metric.rpartition(".")
    served = name.endswith("(server's tokens)")
    unit = next(d.their_unit for d in TABLES["aiperf"].definitions if d.example.rpartition(".")[0] == name)
    config = {"input_config": {"endpoint": {"use_server_token_count": served}}}
    return {**config, name.removesuffix(" (server's tokens)"): {"unit": unit, statistic: value}}


def _guidellm(metric: str, value: float) -> dict:
    name, _, statistic = metric.rpartition(".")
    found = {"mean": value} if statistic == "mean" else {"percentiles": {statistic: value}}
    return {"benchmarks": [{"metrics": {name: {"successful": found}}}]}


def _inference_perf(metric: str, value: float) -> dict:
    name, _, statistic = metric.rpartition(".")
    if not name:
        return {"successes": {"throughput": {metric: value}}}
    return {"successes": {"latency": {name: {{"p50": "median"}.get(statistic, statistic): value}}}}


def _vllm(metric: str, value: float) -> dict:
    backend, _, name = metric.partition(":")
    return {"backend": backend, name: value}


def _nvbench(metric: str, value: float) -> dict:
    data = [{"name": "value", "type": "float64", "value": str(value)}]
    state = {"name": "n=1", "summaries": [{"tag": metric, "data": data}], "is_skipped": False}
    return {"benchmarks": [{"name": "copy", "states": [state, {"is_skipped": True}]}]}


LOAD_GENERATORS = {
    "aiperf": _with_percentiles,
    "genai-perf": _with_percentiles,
    "guidellm": _guidellm,
    "inference-perf": _inference_perf,
    "vllm-bench": _vllm,
    "nvbench": _nvbench,
}
FILES = Path(__file__).parent / "foreign_files"


def one(tool: str, metric: str, value: float) -> str:
    """Write a file of the tool that holds one metric, named as the page has it."""
    if tool == "superbench":
        return json.dumps({"node": "n1", metric: value})
    if tool == "pytest-benchmark":
        stats = {"mean": 1.0, "median": 1.0, "rounds": 3, metric: value}
        return json.dumps({"benchmarks": [{"fullname": "t", "stats": stats}]})
    if tool in LOAD_GENERATORS:
        return json.dumps(LOAD_GENERATORS[tool](metric, value))
    head, _, unit = metric.partition(".")
    if tool == "optimum-benchmark":
        quantity, _, unit = unit.partition(".")
        part = dict.fromkeys(("mean", "value", "total"), value)
        return json.dumps({head: {quantity: {"unit": unit, **part}}})
    row = {
        "Model": "m",
        "System": "s",
        "Scenario": head,
        "Performance_Result": value,
        "Performance_Units": unit,
    }
    if head == "power":
        row |= {"Scenario": "Offline", "Performance_Result": 1.0, "Performance_Units": "Samples/s"}
        row |= {"Power_Result": value, "Power_Units": unit}
    return json.dumps([row])


def rows() -> list[tuple[str, list[str]]]:
    """Return each tool's rows as docs/foreign.md shows them."""
    found, tool = [], ""
    for line in DOCUMENT.read_text().splitlines():
        tool = line.removeprefix("## ") if line.startswith("## ") else tool
        if line.startswith("| `"):
            found.append((tool, [cell.strip().strip("`") for cell in line.strip("|").split("|")]))
    return found


def test_the_page_shows_the_importers_tables():
    """It is what `python -m harness.exporters.importers.page` prints."""
    assert DOCUMENT.read_text() == foreign_page.page()
    assert len(rows()) == sum(len(tool.definitions) for tool in TABLES.values())


@pytest.mark.parametrize(("tool", "cells"), rows(), ids=lambda x: x if isinstance(x, str) else x[0])
def test_the_importer_does_what_the_page_says(tmp_path, tool, cells):
    """Unit, value and counterpart of each row of the page, read from a file that holds it."""
    metric, their_unit, kept, _, _, _, ours = cells
    scale = {("ms", "s"): 1e-3, ("us", "s"): 1e-6, ("ns", "s"): 1e-9, ("kWh", "J"): 3.6e6}
    scale |= {("mJ", "J"): 1e-3, ("GFLOP/s", "FLOP/s"): 1e9, ("TFLOP/s", "FLOP/s"): 1e12}
    path = tmp_path / "theirs.json"
    path.write_text(one(tool, metric, 12.5))
    found = [r for r in read_file(path, tool).results if not math.isclose(r.value, 1.0)]
    assert [r.unit for r in found] == [kept]
    assert found[0].value == pytest.approx(12.5 * scale.get((their_unit, kept), 1.0))
    assert found[0].comparable_to == (None if ours == "none" else ours)


@given(
    st.from_regex(
        r"[a-z]{3,12}-[a-z]{3,8}/[a-z_]{1,20}(time|throughput|latency|power)[a-z_]{0,6}", fullmatch=True
    )
)
def test_a_name_in_no_table_has_no_unit_and_no_counterpart(tmp_path_factory, name):
    """However much it sounds like a time."""
    path = tmp_path_factory.mktemp("foreign") / "theirs.jsonl"
    path.write_text(one("superbench", f"zz{name}", 5.0))
    (found,) = read_file(path, "superbench").results
    assert (found.value, found.unit, found.comparable_to, found.direction) == (5.0, "", None, "none")


def test_superbench_units_are_its_documents(tmp_path):
    """The same ending is µs, ms or s by benchmark; a percentile is no mean; HPL counts no samples."""
    told = {
        "nccl-bw:nvlink/allreduce_8388608_time:0": (65.0, 6.5e-05, "s", None),
        "cublas-function/name_gemm_m_512_time:0": (5.5, 5.5e-06, "s", None),
        "cudnn-function/name_conv_time:0": (31.0, 3.1e-05, "s", None),
        "gpcnet-network-test/multiple_allreduce_time_avg": (40.0, 4e-05, "s", None),
        "cpu-stream/copy_time_avg": (0.0123, 0.0123, "s", None),
        "model-benchmarks:r/pytorch-resnet50/fp32_inference_step_time:0": (10.0, 0.01, "s", "iteration.mean"),
        "model-benchmarks:r/pytorch-resnet50/fp32_inference_step_time_99:0": (
            12.0,
            0.012,
            "s",
            "latency.p99",
        ),
        "pytorch-dist-inference/step_times:0": (1.69, 1.69e-3, "s", None),
        "cpu-hpl/throughput": (900.2, 9.002e11, "FLOP/s", None),
    }
    path = tmp_path / "results-summary.jsonl"
    path.write_text(json.dumps({"node": "n1", **{key: theirs for key, (theirs, *_) in told.items()}}))
    found = read_file(path, "superbench").results
    assert [(r.value, r.unit, r.comparable_to) for r in found] == [
        (pytest.approx(value), unit, ours) for _, value, unit, ours in told.values()
    ]


def test_optimum_phases_stand_beside_what_they_are(tmp_path):
    """Loading and first calls have no like, a prefill is a time to first token, all tokens no iteration."""
    phases = ("load_model", "first_generate", "prefill", "decode", "per_token", "forward")
    path = tmp_path / "benchmark_report.json"
    path.write_text(json.dumps({p: {"latency": {"unit": "s", "mean": 2.0, "count": 1}} for p in phases}))
    likes = {r.name: r.comparable_to for r in read_file(path, "optimum-benchmark").results}
    assert list(likes.values()) == [None, None, "latency.ttft", None, "latency.tpot", "iteration.mean"]


def test_a_unit_that_the_tool_does_not_write_has_no_counterpart(tmp_path):
    """A latency in milliseconds is kept as it is, and stands beside nothing in seconds."""
    path = tmp_path / "benchmark_report.json"
    path.write_text(json.dumps({"prefill": {"latency": {"unit": "ms", "mean": 20.0}}}))
    (found,) = read_file(path, "optimum-benchmark").results
    assert (found.value, found.unit, found.comparable_to) == (20.0, "ms", None)


def test_one_bad_number_is_told_and_loses_no_other(tmp_path, capsys):
    """A word, a torn line and a NaN: each with its place, and the rest is kept."""
    path = tmp_path / "results-summary.jsonl"
    good = '"cpu-hpl/time": 3.0'
    path.write_text(
        f'{{"node": "a", "x/y": "fast", {good}}}\n{{"node": "b", "p/q": NaN, {good}}}\n{{"node": "c",'
    )
    assert cli.main(["import", str(path), "--from", "superbench", "--results", str(tmp_path / "r")]) == 0
    found = read_file(path, "superbench")
    assert [r.value for r in found.results] == [3.0, 3.0]
    said = capsys.readouterr().out
    for place in ("line 1.x/y: str is not a number", "line 2.p/q: nan is not a number", "line 3 is not JSON"):
        assert any(place in line for line in found.left_out)
        assert place in said


def test_rows_of_mlperf_that_differ_have_different_names(tmp_path):
    """Accelerators, division and platform; power is a result of its own."""
    base = {"Model": "gpt", "Scenario": "Server", "System": "Box", "Accelerator": "X100"}
    base |= {"Performance_Result": 100.0, "Performance_Units": "Tokens/s", "Division": "closed", "a#": 8}
    others = [{}, {"a#": 4}, {"Division": "open"}, {"Platform": "Box-b"}, {"ID": "5.1-0002"}]
    path = tmp_path / "summary_results.json"
    path.write_text(
        json.dumps([{**base, **o, "Power_Result": 4800.0, "Power_Units": "Watts"} for o in others])
    )
    found = read_file(path, "mlperf").results
    rates, powers = ([r for r in found if r.metric == m] for m in ("throughput", "power"))
    assert len({r.name for r in rates}) == len(others)
    assert {(r.value, r.unit, r.comparable_to) for r in powers} == {(4800.0, "W", None)}
    assert {r.comparable_to for r in rates} == {None}, "a load that keeps a limit is no span's rate"


PLAIN = {
    "latency.tpot": 0.010,
    "latency.ttft": 0.100,
    "latency.ttfa": 0.100,
    "latency.gap": 0.010,
    "latency.e2e": 0.250,
}
"""s, of the stream that the tools were shown: a role at 20 ms, a token at 100 ms, then every 10 ms."""


@pytest.mark.parametrize(
    ("file", "tool", "likes"),
    [
        ("aiperf-0.13.0-plain.json", "aiperf", set(PLAIN) - {"latency.tpot"}),
        ("genai-perf-0.0.16-plain.json", "genai-perf", {"latency.ttfa", "latency.e2e"}),
        ("guidellm-0.8.1-plain.json", "guidellm", {"latency.ttft", "latency.ttfa", "latency.tpot"}),
        ("inference-perf-0.7.0-plain.json", "inference-perf", {"latency.ttfa"}),
        ("vllm-0.33.0-completions.json", "vllm-bench", {"latency.ttft"}),
        ("vllm-0.33.0-chat.json", "vllm-bench", set()),
    ],
)
def test_what_a_tool_wrote_of_the_scripted_stream_stands_beside_the_script(file, tool, likes):
    """Each mean with a like of ours is the script's, and by no other definition.

    A first token counts the tool's own connection, up to 4.1 ms; the next piece or the role would be 10 ms
    off or more. Times between tokens count none of it; with the first token among n they would be 0.6 ms off.
    """
    found = {r.comparable_to: r for r in read_file(FILES / file, tool).results if r.comparable_to}
    assert {name for name in found if not name.endswith(("p50", "p90", "p99"))} == likes
    for name in likes:
        between = name in {"latency.tpot", "latency.gap"}
        assert found[name].value == pytest.approx(PLAIN[name], abs=1e-4 if between else 5e-3), name
        assert found[name].unit == "s"


def test_tokens_per_time_have_a_like_only_where_the_server_counted_them():
    """Four tokens a word by the tool's tokenizer: 2.4 ms for the script's 10; three a chunk by the server."""
    own, server = (
        {r.metric: r for r in read_file(FILES / f"aiperf-0.13.0-{model}.json", "aiperf").results}
        for model in ("plain", "three")
    )
    assert own["inter_token_latency.avg"].comparable_to is None
    assert own["inter_token_latency.avg"].value == pytest.approx(0.0024, abs=1e-4)
    ours = server["inter_token_latency (server's tokens).p50"]
    assert ours.comparable_to == "latency.tpot.p50"
    assert ours.value == pytest.approx(0.050 / 15, abs=0.0005)
    assert server["inter_token_latency (server's tokens).avg"].comparable_to is None, "a mean over requests"


@pytest.mark.parametrize("tool", LOAD_GENERATORS)
@pytest.mark.parametrize("data", ["[]", "3", "{}", '{"benchmarks": [3]}', '{"successes": {"latency": 3}}'])
def test_what_is_no_file_of_a_load_generator_is_said_in_one_line(tmp_path, tool, data):
    """Nothing of it is taken."""
    path = tmp_path / "theirs.json"
    path.write_text(data)
    with pytest.raises(ValueError, match=r"theirs\.json") as error:
        read_file(path, tool)
    assert "\n" not in str(error.value)


def test_a_zero_of_vllm_that_stands_for_nothing_is_no_latency(tmp_path):
    """Where every request failed it writes 0 ms for all."""
    path = tmp_path / "theirs.json"
    told = {"backend": "openai", "completed": 0, "mean_ttft_ms": 0.0, "request_throughput": 0.0}
    path.write_text(json.dumps(told))
    found = read_file(path, "vllm-bench")
    assert [r.metric for r in found.results] == ["openai:request_throughput"]
    assert found.left_out == ("mean_ttft_ms: no request was completed",)
