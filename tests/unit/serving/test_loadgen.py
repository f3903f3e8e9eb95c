"""MLPerf LoadGen itself, on the tiny GPT: four scenarios that are VALID, and our moments beside its own."""

import time
from typing import get_args

import pytest
import torch

from harness.config.serving import LoadGenScenario
from harness.serving.loadgen import LoadGenSettings, Sample, run_loadgen
from harness.serving.loadgen_log import DETAIL, SUMMARY, judged
from harness.serving.loadgen_metrics import held_together
from workloads import registry
from workloads.engine.build import build
from workloads.engine.continuous_batching import Engine, Token
from workloads.engine.setup import Setup
from workloads.engine.slots import slots_of
from workloads.sizes import resolve_size

pytest.importorskip("mlperf_loadgen", reason="mlcommons-loadgen, of the extra serve, is not installed")
FIRST_S, NEXT_S = 0.02, 0.01


class Scripted:
    """An engine that answers alone: the first token after 20 ms, each further one after 10 ms more."""

    def __init__(self):
        self.waiting, self.made, self.begun = [], 0, []

    @property
    def idle(self):
        """Whether there is nothing to do."""
        return not self.waiting

    def submit(self, request):
        """Take a request."""
        self.waiting.append(request)

    def step(self):
        """Make a token."""
        request = self.waiting[0]
        self.begun = [] if self.made else [request.number]
        time.sleep(NEXT_S if self.made else FIRST_S)
        self.made += 1
        token = Token(request.number, 7, last=self.made == request.new_tokens)
        if token.last:
            self.waiting.pop(0)
            self.made = 0
        return [token]


def samples(tokens=4, count=16):
    """Equal ones."""
    return [Sample(torch.zeros(8, dtype=torch.int64), tokens)] * count


def found_of(run):
    """What holds of a run."""
    return judged(
        run.log,
        scenario=run.settings.scenario,
        answers=[request.tokens for request in run.requests],
        told_first=run.told_first,
    )


def quick(scenario, **settings):
    """As short as LoadGen takes it."""
    return LoadGenSettings(scenario, **{"seconds": 0.1, "queries": 5, "percentile": 0.5} | settings)


@pytest.mark.parametrize("scenario", get_args(LoadGenScenario))
def test_our_percentiles_are_loadgen_s(tmp_path, scenario):
    """The medians of every scenario, by two clocks; a stamp or two may come late on a busy machine."""
    run = run_loadgen(Scripted(), samples(3), quick(scenario, rate_per_s=25.0, expected_s=0.05), tmp_path)
    pairs, apart = held_together(run.log, run.requests, found_of(run))
    assert len(pairs) == (3 if scenario == "offline" else 9)
    assert not [name for name in apart if name.endswith("p50")]
    for request in run.requests:
        assert request.answered
        assert request.tokens == 3
        assert request.ttft_ns >= FIRST_S * 1e9
        assert request.tpot_ns >= NEXT_S * 1e9
    assert {name.name for name in tmp_path.iterdir()} >= {DETAIL, SUMMARY}


def test_server_counts_from_its_schedule(tmp_path):
    """A hundred answers a second are asked of an engine that gives twenty-five: the wait is the user's."""
    run = run_loadgen(Scripted(), samples(3), quick("server", rate_per_s=100.0), tmp_path)
    arrivals = [request.arrival_ns for request in run.requests]
    assert arrivals == sorted(arrivals)
    assert arrivals[-1] - arrivals[0] < run.requests[-1].end_ns - run.requests[0].end_ns
    assert all(request.queue_ns > 0 for request in run.requests)


def test_the_seed_draws_the_schedule(tmp_path):
    """Equal seeds give equal gaps, others do not."""

    def gaps(seed):
        run = run_loadgen(
            Scripted(), samples(1), quick("server", rate_per_s=100.0, seed=seed), tmp_path / str(seed)
        )
        arrivals = [request.arrival_ns for request in run.requests]
        return [arrivals[i + 1] - arrivals[i] for i in range(3)]

    assert gaps(1) == pytest.approx(gaps(1), abs=1000)
    assert gaps(1) != pytest.approx(gaps(2), rel=0.01)


def test_first_tokens_that_nobody_told(tmp_path, monkeypatch):
    """LoadGen says VALID to latencies of 0 ns; we do not."""
    import mlperf_loadgen as lg

    monkeypatch.setattr(lg, "FirstTokenComplete", lambda _responses: None)
    run = run_loadgen(Scripted(), samples(), quick("single_stream", expected_s=0.03), tmp_path)
    assert "LoadGen's own is 0.0 s" in found_of(run).void["ttft"]


def test_answers_of_one_token(tmp_path):
    """They have no time per output token, and LoadGen leaves them out of its tokens/s."""
    run = run_loadgen(Scripted(), samples(1), quick("server", rate_per_s=40.0), tmp_path)
    found = found_of(run)
    assert {"tpot", "tokens"} <= set(found.void)
    assert "ttft" not in found.void


def test_the_engine_itself(tmp_path):
    """The tiny GPT under Offline, through the real engine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a tiny model gains nothing by more, and waits for them on a busy machine
    kind = registry.get("gpt")
    work = kind("generate", resolve_size(kind.spec, "tiny", {"layers": 1, "hidden": 32, "heads": 2}))
    engine = Engine(slots_of(work, build(work, Setup()).model, 4, 16), queue=1000)
    run = run_loadgen(engine, samples(), quick("offline", rate_per_s=100.0), tmp_path)
    torch.set_num_threads(threads)
    assert found_of(run).void.keys() == {"ttft", "tpot"}
    assert {request.tokens for request in run.requests} == {4}


def test_an_engine_that_fails_ends_the_run(tmp_path):
    """LoadGen gets its answers, and the caller the reason."""

    class Failing(Scripted):
        def step(self):
            raise RuntimeError("out of rows")

    with pytest.raises(RuntimeError, match="failed under LoadGen: out of rows"):
        run_loadgen(Failing(), samples(), quick("offline", rate_per_s=10.0), tmp_path)
