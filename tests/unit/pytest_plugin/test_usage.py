"""The plugin as users run it: ten tests in a file, options, and what is not installed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.pytest_plugin.session import check_options

pytest_plugins = ["pytester"]
Run = Callable[..., pytest.RunResult]

_TEN = """
import pytest

def busy(n):
    return sum(range(n))

@pytest.mark.parametrize("n", [1_000, 2_000, 4_000])
def test_sum(device_benchmark, n):
    assert device_benchmark(busy, n, items=n, unit="tokens") == n * (n - 1) // 2

@pytest.mark.benchmark(group="sorting")
def test_sorted(device_benchmark):
    assert device_benchmark(sorted, [3, 1, 2]) == [1, 2, 3]

@pytest.mark.benchmark(group="sorting")
def test_reversed(device_benchmark):
    device_benchmark(lambda: [3, 1, 2].sort(reverse=True))

@pytest.mark.joulemark(workload="noop", overrides=["measure.seconds=0.05", "measure.warmup_s=0"])
def test_workload():
    pass  # the marker alone makes it a benchmark

def test_fails(device_benchmark):
    device_benchmark(lambda: 1 / 0)

@pytest.mark.joulemark(device="cpu:7")
def test_absent(device_benchmark):
    device_benchmark(busy, 10)

def test_assertion(device_benchmark):
    device_benchmark(busy, 10)
    assert device_benchmark.value("iteration.mean") < 60

def test_plain():
    assert True
"""
_QUICK = """
import pytest
from harness.config.models import MeasureConfig
from harness.pytest_plugin.session import Session

@pytest.fixture(autouse=True, scope="session")
def _short(request):
    Session.measure = MeasureConfig(preset="quick", replicas=1, max_replicas=1, seconds=0.02, warmup_s=0.01,
        warmup_cap_s=0.05, steady_window_s=0.01, within_run_only=True)
"""
# A device that needs no torch, for what is not about devices.
_LIGHT = (
    _QUICK
    + """
from harness.devices.cpu import CpuDevice

class Light(CpuDevice):
    def open(self): pass
    def facts(self): return {}

@pytest.fixture
def joulemark_device(): return Light()
"""
)


@pytest.fixture
def run(pytester: pytest.Pytester, run_pytest: Run) -> Run:
    """Return a function that runs a file of tests."""

    def run_test(test: str, *options: str, world: str = _LIGHT) -> pytest.RunResult:
        pytester.makeconftest(world)
        pytester.makepyfile(test_user=test)
        return run_pytest("--joulemark-power=none", "--joulemark-device=cpu", *options)

    return run_test


def test_ten_tests_give_statistics_and_records(pytester: pytest.Pytester, run: Run) -> None:
    """Eight pass, one fails, one is skipped with its reason; both kinds of files hold what they should."""
    result = run(_TEN, "-rs", "--benchmark-json=out.json", "--joulemark-results=results", world=_QUICK)
    result.assert_outcomes(passed=8, failed=1, skipped=1)
    result.stdout.fnmatch_lines(["*SKIPPED*device cpu:7: no device cpu:7*"])
    saved = json.loads((pytester.path / "out.json").read_text())
    found = {b["name"]: b for b in saved["benchmarks"]}
    assert set(found) == {
        *(f"test_sum[{n}]" for n in (1000, 2000, 4000)),
        *("test_sorted", "test_reversed", "test_workload", "test_assertion"),
    }
    assert found["test_sorted"]["group"] == "sorting"
    assert found["test_sum[2000]"]["params"] == {"n": 2000}
    assert all(b["stats"]["rounds"] >= 3 for b in saved["benchmarks"])

    records = [json.loads(p.read_text()) for p in (pytester.path / "results").glob("*/*/*/*/record.json")]
    told = {r["label"].rpartition("::")[2]: r["status"] for r in records}
    assert told["test_fails"] == "crashed"
    assert sum(status == "ok" for status in told.values()) == 7
    assert "test_absent" not in told
    compared = subprocess.run(
        [sys.executable, "-m", "pytest_benchmark", "compare", "out.json", "--columns=mean"],
        cwd=pytester.path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "test_sum[4000]" in compared.stdout


def test_a_saved_run_is_compared_with_the_next(run: Run) -> None:
    """--benchmark-autosave and --benchmark-compare work as with any benchmark."""
    test = "def test_it(device_benchmark):\n    device_benchmark(sum, range(500))\n"
    run(test, "--benchmark-autosave").assert_outcomes(passed=1)
    again = run(test, "--benchmark-compare", "--benchmark-compare-fail=mean:100000%")
    again.assert_outcomes(passed=1)
    again.stdout.fnmatch_lines_random(["*test_it (0001*", "*test_it (NOW)*"])


def test_without_pytest_benchmark_it_measures_and_says_what_is_lost(run: Run) -> None:
    """Nothing breaks; the summary names the reason."""
    test = "def test_it(device_benchmark):\n    assert device_benchmark(sum, [1, 2]) == 3\n"
    result = run(test, "-p", "no:benchmark")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["no statistics for 1 measured tests: pytest-benchmark*not installed*"])


def test_workers_of_xdist_take_turns_and_leave_records(pytester: pytest.Pytester, run: Run) -> None:
    """Two workers write into one sweep, and the summary says what pytest-benchmark does not keep."""
    test = """
import pytest
@pytest.mark.parametrize("n", range(4))
def test_it(device_benchmark, n):
    device_benchmark(sum, range(100 + n))
"""
    result = run(test, "-n", "2", "--joulemark-results=results")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["*took turns on each device*the records do*"])
    (sweep,) = [p for p in (pytester.path / "results").iterdir() if p.is_dir()]
    assert len(list(sweep.glob("*/*/*/record.json"))) == 4


def test_wrong_use_is_told_in_one_line(run: Run) -> None:
    """A wrong argument fails the test with what is wrong."""
    test = """
def test_unit(device_benchmark):
    device_benchmark(sum, [1], unit="pages")
def test_items(device_benchmark):
    device_benchmark(sum, [1], items=0)
def test_twice(device_benchmark):
    device_benchmark(sum, [1])
    device_benchmark(sum, [1])
"""
    result = run(test)
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(
        [
            "*unit='pages': it is one of samples, tokens, requests*",
            "*items=0: a call processes at least one*",
            "*measures once in a test*",
        ]
    )


def test_a_wrong_marker_fails_its_test_with_one_line(run: Run) -> None:
    """Whatever is wrong in it is told without a traceback, and the other tests run."""
    wrong = {
        '"noop"': "'noop' has no name; it takes workload=, mode=, size=",
        'workload="noop", modes="infer"': "unknown modes; it takes workload, mode, size",
        "device=3": "device=3: it is a string",
        'workload="noop", overrides="a=b"': "overrides='a=b': it is a list of strings",
        'mode="infer", device="cpu"': "mode are of a workload, and none is named",
        'workload="nope"': "joulemark marker: *nope*",
        'workload="noop", mode="fly"': "joulemark marker: *fly*",
        'workload="noop", overrides=["workload.batch=1,2"]': "one test is one trial, not 2",
        'device="abacus"': "no device 'abacus': it is one of auto, cpu",
    }
    tests = [
        f"@pytest.mark.joulemark({words})\ndef test_{i}(device_benchmark): device_benchmark(sum, [1])\n"
        for i, words in enumerate(wrong)
    ]
    test = "import pytest\n" + "".join(tests) + "def test_right(): pass\n"
    result = run(test, "-W", "error", world=_QUICK)
    assert result.parseoutcomes()["passed"] == 1
    text = result.stdout.str()
    assert "Traceback" not in text
    assert "not used at all" not in text
    for said in wrong.values():
        result.stdout.fnmatch_lines([f"*{said}*"])


def test_markers_of_module_class_and_test_add_up(run: Run) -> None:
    """The closest wins, and what it does not say the others do."""
    test = """
import pytest
from harness.pytest_plugin.marker import marker_options
pytestmark = pytest.mark.joulemark(device="cuda", workload="gpt")

@pytest.mark.joulemark(workload="noop", device="cpu:7")
class TestIt:
    @pytest.mark.joulemark(mode="infer")
    def test_it(self, request):
        raise AssertionError("its device is not there")
"""
    result = run(test, "-rs", world=_QUICK)
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*no device cpu:7*"])


@pytest.mark.parametrize(
    ("power", "gate", "said"),
    [
        ("nvmll", None, "--joulemark-power: no sensor 'nvmll'; did you mean nvml?"),
        ("none", "bad.yaml", r"--joulemark-gate: .*bad\.yaml: metrics: "),
        ("none", "none.yaml", r"--joulemark-gate: .*none\.yaml: No such file"),
    ],
)
def test_a_wrong_option_is_told_before_anything_runs(
    tmp_path: Path, power: str, gate: str | None, said: str
) -> None:
    """A sensor that nobody knows, and a policy that is none or not there."""
    (tmp_path / "bad.yaml").write_text("metrics: 3\n")
    given = {"joulemark_power": power, "joulemark_gate": gate, "joulemark_results": "results"}
    config = SimpleNamespace(getoption=given.get, invocation_params=SimpleNamespace(dir=tmp_path))
    with pytest.raises(pytest.UsageError, match=said):
        check_options(config)


def test_records_that_cannot_be_written_end_the_run(pytester: pytest.Pytester, run: Run) -> None:
    """The folder is a file: one line, before minutes are measured for nothing."""
    pytester.path.joinpath("results").write_text("")
    test = "def test_it(device_benchmark):\n    device_benchmark(sum, [1])\n"
    result = run(test, "--joulemark-results=results")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stdout.fnmatch_lines(["*--joulemark-results: cannot write records in *not a folder*"])


def test_a_value_of_what_was_turned_off_skips_the_rest(run: Run) -> None:
    """A limit that is asserted cannot fail where nothing was measured."""
    test = """
def test_it(device_benchmark):
    assert device_benchmark(sum, [1]) == 1
    assert device_benchmark.value("iteration.mean") < 1
"""
    result = run(test, "--benchmark-disable", "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*benchmarks are turned off*"])


def test_a_value_that_is_not_known_skips_and_one_that_is_misspelt_fails(run: Run) -> None:
    """Energy without a sensor is no number to compare: the reason is given, and a wrong id the right one."""
    test = (
        _QUICK
        + """
def test_energy(device_benchmark):
    device_benchmark(sum, [1], items=1)
    assert device_benchmark.value("energy.sample") < 5

def test_wrong(device_benchmark):
    device_benchmark(sum, [1], items=1)
    assert device_benchmark.value("energy.samples") < 5
"""
    )
    result = run(test, "--joulemark-power=none", "-rs")
    result.assert_outcomes(skipped=1, failed=1)
    result.stdout.fnmatch_lines(["*energy.sample is unavailable: sensor=none measures no energy*"])
    result.stdout.fnmatch_lines(["*no metric 'energy.samples'; did you mean energy.sample?*"])


def test_benchmarks_that_are_turned_off_run_once_and_leave_nothing(
    pytester: pytest.Pytester, run: Run
) -> None:
    """--benchmark-disable calls the function as a plain test would."""
    test = """
def test_it(device_benchmark):
    calls = []
    device_benchmark(calls.append, 1)
    assert calls == [1]
"""
    result = run(test, "--benchmark-disable", "--joulemark-results=results")
    result.assert_outcomes(passed=1)
    assert not (pytester.path / "results").exists()


def test_the_plugin_costs_a_run_that_does_not_use_it_no_import() -> None:
    """Loading the plugin imports neither torch nor numpy nor pydantic."""
    code = (
        "import sys, pytest, harness.pytest_plugin as p\n"
        "print([m for m in ('torch', 'numpy', 'pydantic', 'hydra', 'yaml') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_gate_without_records_is_refused(run: Run) -> None:
    """--joulemark-gate needs --joulemark-results, and says so before anything runs."""
    result = run("def test_it(): pass\n", "--joulemark-gate=gate.yaml")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--joulemark-gate judges records: name their folder*"])


def test_a_session_is_judged_against_the_earlier_ones(pytester: pytest.Pytester, run: Run) -> None:
    """The first sessions are too few, so the exit status says that nothing can be said yet."""
    pytester.path.joinpath("gate.yaml").write_text("metrics:\n- metric: iteration.mean\n  required: true\n")
    test = "def test_it(device_benchmark):\n    device_benchmark(sum, range(100))\n"
    result = run(test, "--joulemark-results=results", "--joulemark-gate=gate.yaml")
    result.stdout.fnmatch_lines(["insufficient_data: *test_it iteration.mean*", "gate of pytest-*"])
    assert result.ret == 4


_UNRUN = """
import asyncio, time
from concurrent.futures import ThreadPoolExecutor

async def fetch():
    await asyncio.sleep(0.02)

async def stream():
    yield 1

def rows(n):
    for i in range(n):
        time.sleep(0.002)
        yield i

def test_coroutine(device_benchmark):
    device_benchmark(fetch)

def test_generator(device_benchmark):
    device_benchmark(rows, 10)

def test_asynchronous_generator(device_benchmark):
    device_benchmark(stream)

def test_map(device_benchmark):
    device_benchmark(lambda: map(str, range(9)))

def test_within(device_benchmark):
    device_benchmark(lambda: [fetch(), fetch()])

def test_future(device_benchmark):
    with ThreadPoolExecutor() as pool:
        device_benchmark(lambda: pool.submit(time.sleep, 0.2))

def test_run_to_the_end(device_benchmark):
    device_benchmark(lambda: asyncio.run(fetch()))
"""


def test_work_that_nobody_runs_is_no_result(run: Run) -> None:
    """Coroutines, generators, lazy iterators and pending futures fail in one line; what runs is measured."""
    result = run(_UNRUN)
    result.assert_outcomes(passed=1, failed=6)
    result.stdout.fnmatch_lines(
        [
            "*fetch returns a coroutine that nobody runs: measure asyncio.run of it*",
            "*rows returns a generator that nobody runs: measure list of it*",
        ]
    )
