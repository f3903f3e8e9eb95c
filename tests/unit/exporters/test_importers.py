"""Other tools' files: their numbers, labelled as foreign, and one line for what is wrong in them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness import cli
from harness.exporters import registry
from harness.exporters.importers import read_file
from harness.records.foreign import LABELS, read_foreign
from harness.records.store import open_store

BENCHMARK = {
    "machine_info": {"node": "n"},
    "benchmarks": [
        {"fullname": "t.py::a", "params": {"n": 1}, "stats": {"mean": 0.25, "median": 0.2, "rounds": 7}}
    ],
}
OPTIMUM = {
    "config": {"name": "bert"},
    "report": {
        "load": {"memory": {"unit": "MB", "max_ram": 1.0}},
        "decode": {
            "latency": {"unit": "s", "count": 3, "mean": 0.5, "values": [0.4, 0.5, 0.6]},
            "throughput": {"unit": "tokens/s", "value": 64.0},
            "energy": {"unit": "kWh", "cpu": 0.0, "ram": 0.0, "gpu": 1e-6, "total": 2e-6},
        },
    },
}
SUPERBENCH = {
    "node": "node-1",
    "model-benchmarks:gpt/pytorch-gpt2-large/fp32_train_step_time": 250.0,
    "model-benchmarks:gpt/pytorch-gpt2-large/fp32_train_throughput": 16.0,
    "gpu-copy-bw/return_code": 0,
    "gpu-copy-bw/htod_bw:0": 25.5,
}
MLPERF = [
    {
        "Model": "llama2-70b-99",
        "Scenario": "Offline",
        "System": "Example 8x",
        "Submitter": "Someone",
        "Performance_Result": 23514.8,
        "Performance_Units": "Tokens/s",
        "a#": 8.0,
        "version": "v4.1",
    },
    {
        "Model": "resnet",
        "Scenario": "SingleStream",
        "System": "Example 1x",
        "Performance_Result": 0.5,
        "Performance_Units": "Latency (ms)",
    },
]


def _read(tmp_path: Path, source: str, data: object):
    path = tmp_path / "theirs.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return read_file(path, source)


@pytest.mark.parametrize(
    ("source", "data", "expected"),
    [
        (
            "pytest-benchmark",
            BENCHMARK,
            [
                ("t.py::a", "mean", 0.25, "s", "lower", "iteration.mean"),
                ("t.py::a", "median", 0.2, "s", "lower", "latency.p50"),
            ],
        ),
        (
            "optimum-benchmark",
            OPTIMUM,
            [
                ("decode", "latency", 0.5, "s", "lower", None),
                ("decode", "throughput", 64.0, "tokens/s", "higher", "throughput.tokens"),
                ("decode", "energy", 7.2, "J", "lower", None),
            ],
        ),
        (
            "superbench",
            SUPERBENCH,
            [
                (
                    *("node-1 model-benchmarks:gpt/pytorch-gpt2-large", "fp32_train_step_time"),
                    *(0.25, "s", "lower", "iteration.mean"),
                ),
                (
                    *("node-1 model-benchmarks:gpt/pytorch-gpt2-large", "fp32_train_throughput"),
                    *(16.0, "samples/s", "higher", "throughput.samples"),
                ),
                ("node-1 gpu-copy-bw", "htod_bw:0", 25.5, "GB/s", "higher", None),
            ],
        ),
        (
            "mlperf",
            MLPERF,
            [
                (
                    "Example 8x [8x]: llama2-70b-99 Offline",
                    "throughput",
                    23514.8,
                    "tokens/s",
                    "higher",
                    "throughput.tokens",
                ),
                ("Example 1x: resnet SingleStream", "latency", 0.0005, "s", "lower", "latency.p90"),
            ],
        ),
    ],
)
def test_numbers_come_with_unit_direction_and_our_like(tmp_path: Path, source, data, expected) -> None:
    """Milliseconds become seconds and kilowatt-hours joules; nothing has an interval."""
    found = _read(tmp_path, source, data)
    told = [(r.name, r.metric, r.value, r.unit, r.direction, r.comparable_to) for r in found.results]
    assert told == [(*e[:2], pytest.approx(e[2]), *e[3:]) for e in expected]
    assert found.labels == LABELS
    assert not {"low", "high"} & set(type(found.results[0]).model_fields)


@pytest.mark.parametrize(
    ("source", "data", "said"),
    [
        ("pytest-benchmark", "{", "the file is not JSON"),
        ("pytest-benchmark", {}, "benchmarks: it is missing"),
        (
            "pytest-benchmark",
            {"benchmarks": [{"fullname": "a", "stats": {}}]},
            "benchmarks.0.stats.mean: it is missing",
        ),
        (
            "pytest-benchmark",
            {"benchmarks": [{"fullname": "a", "stats": {"mean": 10**400}}]},
            "a whole number of 401 digits",
        ),
        ("pytest-benchmark", {"benchmarks": []}, "it holds no result of pytest-benchmark"),
        (
            "optimum-benchmark",
            {"decode": {"throughput": {"unit": "tokens/s"}}},
            "decode.throughput.value: it is",
        ),
        ("optimum-benchmark", {"decode": 3}, "decode: expected an object"),
        ("superbench", '{"node": "a"}\n{"x/y": 1}', "line 2.node: it is missing"),
        ("superbench", '{"node": "a", "x/y": "fast"}', "line 1.x/y: str is not a number"),
        ("mlperf", {}, "expected a list of rows"),
        ("mlperf", [{**MLPERF[0], "Performance_Result": "fast"}], "0.Performance_Result: str is not"),
        ("mlperf", [{**MLPERF[0], "Performance_Result": True}], "0.Performance_Result: bool is not"),
        ("mlperf", '[{"Model": NaN}]', "0.Model: float is not"),
        ("mlperf", "[" * 100_000, ""),
        (
            "superbench",
            '{"node": "a", "x\\u001b[31m/y": "fast"}',
            "line 1.x\ufffd[31m/y: str is not a number",
        ),
    ],
)
def test_a_malformed_file_ends_with_one_line_and_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture, source, data, said
) -> None:
    """The line names the file and the field, and nothing is kept."""
    path = tmp_path / "theirs.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    results = tmp_path / "results"
    assert cli.main(["import", str(path), "--from", source, "--results", str(results)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert str(path) in line
    assert said in line
    assert not results.exists()


def test_an_import_is_kept_apart_from_sweeps(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """It lies below `foreign/`, which is no sweep, and is read back with its labels."""
    path = tmp_path / "theirs.json"
    path.write_text(json.dumps(MLPERF))
    store = open_store(tmp_path / "results")
    for _ in "twice":
        assert cli.main(["import", str(path), "--from", "mlperf", "--results", str(store.root)]) == 0
    assert "foreign, unverified, no interval" in capsys.readouterr().out
    assert store.sweeps() == []
    (found,), left_out = read_foreign(store)
    assert (found.source, len(found.results), left_out) == ("mlperf", 2, [])
    (store.root / "foreign" / "torn.json").write_text("{")
    (line,) = read_foreign(store)[1]
    assert "torn.json: " in line


def test_a_file_that_is_too_large_is_not_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither one that is large itself, nor one whose results would be; what is kept can be read back."""
    path, results = tmp_path / "theirs.json", tmp_path / "results"
    path.write_text(json.dumps(MLPERF))
    arguments = ["import", str(path), "--from", "mlperf", "--results", str(results)]
    for limit in ("harness.exporters.importers.LARGEST_BYTES", "harness.cli.commands.import_.MOST_BYTES"):
        monkeypatch.setattr(limit, 100)
        assert cli.main(arguments) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert str(path) in line
        monkeypatch.undo()
    assert not results.exists()


def test_what_we_export_for_pytest_benchmark_can_be_imported(results, tmp_path: Path) -> None:
    """The mean comes back as it was."""
    (path,) = registry.get("pytest-benchmark")(results, tmp_path / "out.json")
    found = read_file(path, "pytest-benchmark")
    assert found.results[0].value == pytest.approx((0.010 + 0.011 + 0.0105) / 3)
