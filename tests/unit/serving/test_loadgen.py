"""MLPerf LoadGen itself, on the tiny GPT: four scenarios that are VALID, and our moments beside its own."""

import math

import pytest
import torch

from harness.serving.loadgen import SCENARIOS, LoadGenSettings, calibrated, run_loadgen
from harness.serving.loadgen_log import agrees, judged
from workloads import registry
from workloads.engine.build import build
from workloads.engine.continuous_batching import Engine
from workloads.engine.setup import Setup
from workloads.engine.slots import slots_of
from workloads.sizes import resolve_size

pytest.importorskip("mlperf_loadgen")
NEW = 4


@pytest.fixture(autouse=True)
def _one_thread():
    """A tiny model gains nothing by more, and waits for them on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def engine(slots=4):
    """The tiny GPT, and prompts for it."""
    kind = registry.get("gpt")
    work = kind("generate", resolve_size(kind.spec, "tiny", {"layers": 1, "hidden": 32, "heads": 2}))
    model = build(work, Setup()).model
    random = torch.Generator().manual_seed(0)
    prompts = [torch.randint(256, (8,), generator=random) for _ in range(16)]
    return Engine(slots_of(work, model, slots, 16), queue=100_000), prompts


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario_ends_valid(tmp_path, scenario):
    """With settings that the harness found, and limits that any machine meets."""
    served, prompts = engine()
    settings = calibrated(served, prompts, NEW, scenario, seconds=0.2)
    run = run_loadgen(served, prompts, NEW, settings, tmp_path)
    found = judged(
        run.log,
        scenario=scenario,
        answers=[len(one.tokens) for one in run.stamps],
        told_first=sum(one.first_ns is not None for one in run.stamps),
    )
    assert found.valid, found.reasons
    assert {len(one.tokens) for one in run.stamps} == {NEW}
    assert all(one.issued_ns <= one.first_ns <= one.done_ns for one in run.stamps)
    assert set(found.void) == ({"ttft", "tpot"} if scenario == "Offline" else set())
    assert (tmp_path / "mlperf_log_summary.txt").is_file()


def test_our_latencies_are_loadgen_s(tmp_path):
    """The 90th percentile of single answers: the same moments by two clocks."""
    served, prompts = engine()
    run = run_loadgen(
        served, prompts, NEW, calibrated(served, prompts, NEW, "SingleStream", seconds=0.2), tmp_path
    )
    took = sorted((one.done_ns - one.issued_ns) / 1e9 for one in run.stamps)
    ours = took[math.ceil(0.9 * len(took)) - 1]
    theirs = run.log.seconds("result_90.00_percentile_latency_ns")
    neighbours = took[max(0, math.ceil(0.9 * len(took)) - 3) :][:5]
    assert any(agrees(one, theirs) for one in (ours, *neighbours))


def test_an_engine_that_fails_ends_the_run(tmp_path):
    """LoadGen gets its answers, and the caller the reason."""
    served, prompts = engine()
    prompts[0] = torch.zeros(100, dtype=torch.int64)
    settings = LoadGenSettings("Offline", seconds=0.1, rate_per_s=10.0)
    with pytest.raises(RuntimeError, match="do not fit a row of 16"):
        run_loadgen(served, prompts[:1], NEW, settings, tmp_path)
