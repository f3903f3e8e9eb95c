"""A replica under LoadGen, in this process: four scenarios that end VALID, their record and its audit."""

import json
from typing import get_args

import pytest

from harness.config.serving import LoadGenScenario
from harness.devices import cpu
from harness.isolation.protocol import ReplicaSpec
from harness.planning.plan import make_plan
from harness.records.loop import LOOP, read_loops
from harness.records.schema import Metric
from harness.serving import loadgen_search
from harness.serving.loadgen_log import DETAIL, SUMMARY
from harness.trial import loadgen
from harness.trial.replica import run_replica

pytest.importorskip("mlperf_loadgen", reason="mlcommons-loadgen, of the extra serve, is not installed")
QUICK = (
    "workload=gpt", "workload.mode=serve", "workload.top_k=1", "device=cpu", "measure=quick",
    "measure.seconds=0.1", "power=none", "workload.shape.layers=1", "serve.prompt_tokens=9",
    "serve.output_tokens=3", "serve.good_share=0.5",
)  # fmt: skip
LIMITS = ("serve.ttft_limit_s=60", "serve.tpot_limit_s=60")
PUBLISHED = {
    "offline": {"mlperf.samples", "mlperf.tokens"},
    "server": {"mlperf.samples", "mlperf.tokens"},
    "single_stream": {"mlperf.ttft", "mlperf.tpot"},
    "multi_stream": {"mlperf.query"},
}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a trial of these overrides; return what it found."""
    monkeypatch.setattr(cpu, "set_threads", lambda _threads: None)  # they are this process's own

    def of(*overrides):
        (planned,) = make_plan([*QUICK, *overrides]).trials
        assert planned.refusal is None
        return run_replica(
            ReplicaSpec(planned.payload, planned.size, folder=str(tmp_path)), lambda _phase: None
        )

    return of


@pytest.mark.parametrize("scenario", get_args(LoadGenScenario))
def test_a_scenario_ends_valid(run, tmp_path, scenario):
    """With settings that the search found; an audit makes every metric again, MLPerf's own with ours."""
    # 64 answers take over a millisecond on any machine, however busy it was when its speed was looked at.
    found = run(
        f"serve.loadgen={scenario}", "measure.seconds=0.001", *(LIMITS if scenario == "server" else ())
    )
    assert found["status"] == "ok", found
    evidence = json.loads(json.dumps(found["evidence"]))
    said = evidence["loadgen"]
    assert (said["verdict"], said["valid"], said["reasons"]) == ("VALID", True, [])
    assert said["tried"][-1]["valid"]
    assert said["files"] == [DETAIL, SUMMARY]
    metrics = {one["id"]: one for one in found["metrics"]}
    own = {name for name in metrics if name.startswith("mlperf.")}
    assert own == PUBLISHED[scenario]
    assert all(metrics[name]["value"] > 0 for name in own)
    assert metrics["throughput.tokens"]["value"] > 0
    assert metrics["energy.token"]["reason"]
    assert (metrics["latency.e2e.p50"]["value"] is None) == (scenario == "offline")
    assert len(said["percentiles_s"]) == (3 if scenario == "offline" else 9)
    ((_, series),) = read_loops([("one", (tmp_path / LOOP).read_bytes())])
    again = loadgen.replayed(evidence["audit"]["loadgen"], series)
    kept = {one["id"]: Metric(**one) for one in found["metrics"]}
    assert again == [kept[one.id] for one in again]
    assert {one.id for one in again} | {"memory.weights", "memory.kv_cache", "model.parameters"} == set(kept)


def test_limits_that_nobody_keeps_end_invalid(run, monkeypatch):
    """MLPerf publishes nothing of such a run; what we saw stays, with the rates that were tried."""
    monkeypatch.setattr(loadgen_search, "MOST_RUNS", 1)
    found = run("serve.loadgen=server", "serve.ttft_limit_s=1e-9", "serve.tpot_limit_s=1e-9")
    said = found["evidence"]["loadgen"]
    assert (said["verdict"], said["valid"]) == ("INVALID", False)
    metrics = {one["id"]: one for one in found["metrics"]}
    assert metrics["mlperf.samples"]["value"] is None
    assert "LoadGen says INVALID" in metrics["mlperf.samples"]["reason"]
    assert metrics["latency.ttft.p50"]["value"] > 0
    assert not any(one["valid"] for one in said["tried"])


def test_what_is_kept_must_be_whole():
    """A record's audit is untrusted."""
    with pytest.raises(ValueError, match="not whole"):
        loadgen.replayed({"energy": {}, "published": {"values": 3}}, {})


def test_large_files_are_left(run, tmp_path, monkeypatch):
    """And the record names those that were kept."""
    monkeypatch.setattr(loadgen, "FILE_LIMIT_BYTES", 100)
    found = run("serve.loadgen=single_stream")
    assert found["evidence"]["loadgen"]["files"] == []
    assert not (tmp_path / DETAIL).exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".loadgen")]
