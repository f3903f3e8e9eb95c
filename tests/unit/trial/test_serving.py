"""A replica that serves, in this process: its record, and the same metrics from what it kept."""

import pytest

from harness.config.models import Config
from harness.devices import cpu
from harness.isolation.protocol import ReplicaSpec
from harness.planning.plan import make_plan
from harness.records.loop import LOOP, read_loops
from harness.records.schema import Metric
from harness.trial import prepare
from harness.trial.audit import replayed
from harness.trial.replica import run_replica

QUICK = (
    "workload.mode=serve", "device=cpu", "measure=quick", "measure.seconds=0.1", "measure.warmup_s=0",
    "measure.warmup_iterations=3", "measure.profile=false", "measure.warmup_cap_s=0.02",
    "measure.steady_window_s=0.02", "power=none", "workload.shape.layers=1",
    "serve.prompt_tokens=9", "serve.output_tokens=4", "serve.chunk=4", "serve.slots=3",
)  # fmt: skip


@pytest.fixture
def served(tmp_path, monkeypatch):
    """Run a trial of these overrides; return its planned configuration and what it found."""
    monkeypatch.setattr(cpu, "set_threads", lambda _threads: None)  # they are this process's own

    def run(*overrides):
        (planned,) = make_plan([*QUICK, *overrides]).trials
        found = run_replica(
            ReplicaSpec(planned.payload, planned.size, folder=str(tmp_path)), lambda _phase: None
        )
        assert found["status"] == "ok", found
        return planned, found

    return run


@pytest.mark.parametrize("workload", ["gpt", "llama", "moe", "mamba"])
def test_a_decoder_serves(served, tmp_path, workload):
    """Requests are answered, and an audit makes every metric of them again from the log that was kept."""
    planned, found = served(f"workload={workload}", "workload.top_k=1", "serve.e2e_limit_s=60")
    metrics = {one["id"]: one for one in found["metrics"]}
    ended = found["evidence"]["requests"]
    assert set(ended) == {"answered"}
    assert found["evidence"]["output_ok"]
    assert metrics["requests.failed"]["value"] == 0
    assert metrics["goodput.share"]["value"] == 1
    assert metrics["throughput.tokens"]["value"] > 0
    assert metrics["memory.kv_cache"]["value"] > 0
    assert metrics["flops.rate"]["value"] > 0
    assert metrics["mfu"]["reason"]
    assert metrics["latency.e2e"]["n"] == ended["answered"]
    assert "iteration.mean" not in metrics
    ((_, series),) = read_loops([("one", (tmp_path / LOOP).read_bytes())])
    again = replayed(found["evidence"]["audit"], series, planned.config).metrics
    kept = {one["id"]: Metric(**one) for one in found["metrics"]}
    assert again
    for one in again:
        assert (kept[one.id].value, kept[one.id].n, kept[one.id].reason) == (
            pytest.approx(one.value), one.n, one.reason,
        )  # fmt: skip


def test_each_replica_draws_a_load_of_its_own(monkeypatch):
    """The k-th of every trial the same, so that trials are compared under equal loads."""
    (planned,) = make_plan([*QUICK, "workload=gpt", "serve.lengths=lognormal"]).trials
    monkeypatch.setattr(cpu, "set_threads", lambda _threads: None)
    config = Config.model_validate(planned.payload)
    device, peers = prepare.open_device(config, ReplicaSpec(planned.payload, planned.size))
    workload = prepare.workload_of(config, planned.size)

    def lengths(replica):
        job = prepare.prepare_job(config, workload, device, peers, replica=replica)
        job.step()
        return [request.prompt_tokens for request in job.session.requests]

    assert lengths(1) == lengths(1) != lengths(2)


def test_a_first_step_that_waits_is_no_wrong_output(served):
    """An open loop may have no request yet when the engine is checked; the last step is judged."""
    _, found = served("workload=gpt", "serve.arrivals=constant", "serve.rate_per_s=25", "measure.seconds=0.3")
    assert found["evidence"]["output_ok"] is True


def test_an_open_loop_beyond_the_engine_is_told_apart(served):
    """Two thousand long answers a second, asked of one slot behind a short queue: most are turned away."""
    # An answer takes over thirty steps of the engine, and the span holds 150 at least: some answers are
    # whole however long the machine stalls.
    _, found = served(
        "workload=gpt", "serve.arrivals=poisson", "serve.rate_per_s=2000", "serve.slots=1", "serve.queue=2",
        "serve.output_tokens=30", "measure.min_iterations=150",
    )  # fmt: skip
    ended = found["evidence"]["requests"]
    assert ended["rejected"] > ended["answered"]
    metrics = {one["id"]: one for one in found["metrics"]}
    assert "among them" in metrics["latency.e2e.p99"]["reason"]


def test_slots_are_as_many_as_the_cache_holds(served):
    """Of the eight asked for three fit."""
    row = 2 * 128 * 12 * 4 / 2**30
    _, found = served("workload=gpt", "serve.slots=8", f"serve.cache_gib={3.5 * row}")
    assert found["evidence"]["transformed"]["slots"] == 3


def test_several_engines_share_the_requests(served):
    """In turn, so evenly; each has a cache of its own, and all the same weights."""
    found = {}
    for engines in (1, 2):
        _, made = served("workload=gpt", f"serve.engines={engines}", "workload.top_k=1")
        found[engines] = {one["id"]: one["value"] for one in made["metrics"]}
    assert found[2]["memory.kv_cache"] == 2 * found[1]["memory.kv_cache"]
    assert found[2]["memory.weights"] == found[1]["memory.weights"]
    assert found[2]["requests.failed"] == 0
    evidence = made["evidence"]
    first, second = (one["requests"] for one in evidence["balance"]["servers"])
    assert evidence["balance"]["policy"] == "round_robin"
    assert first + second == sum(evidence["requests"].values())
    assert abs(first - second) <= 1
    assert evidence["output_ok"]


def test_a_cache_without_room_for_a_row_is_refused(served, monkeypatch):
    """With what a row takes."""
    (planned,) = make_plan([*QUICK, "workload=gpt", "serve.cache_gib=1e-6"]).trials
    monkeypatch.setattr(cpu, "set_threads", lambda _threads: None)
    found = run_replica(ReplicaSpec(planned.payload, planned.size), lambda _phase: None)
    assert found["status"] == "refused"
    assert "one row of 12 positions" in found["reason"]
