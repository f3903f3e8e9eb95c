"""Several ranks of one trial leave one record: of what all measured, or of the rank that failed and how."""

from __future__ import annotations

import json
import time

import pytest

PROFILED = "measure.profile=true"
ONE_RANK_FAILS = [
    "workload=faults", "workload.batch=2", "workload.shape.rank=1", "parallel=replicated", "parallel.ranks=2",
]  # fmt: skip


def test_two_ranks_train_and_leave_one_record(joulemark):
    """Both ranks' work over the slowest one's span, and each rank's evidence."""
    done = joulemark("run", "workload=gpt", "parallel=ddp", "parallel.ranks=2", *joulemark.TINY, PROFILED)
    assert done.returncode == 0, done.stderr
    (record,) = joulemark.records("gpt")
    assert record["status"] == "ok", record["reason"]

    first, second = record["evidence"]["ranks"]
    assert first["iterations"] == second["iterations"] == record["evidence"]["iterations"] >= 3
    span_s = max(first["span_ns"], second["span_ns"]) / 1e9
    metrics = {m["id"]: m["value"] for m in record["metrics"]}
    tokens = first["units"]["tokens"] + second["units"]["tokens"]
    assert tokens == 4 * 64 * first["iterations"]
    assert metrics["throughput.tokens"] * span_s == pytest.approx(tokens)
    assert metrics["loss.last"] < metrics["loss.first"]
    assert 0 <= record["evidence"]["rank_skew"] < 1
    assert record["evidence"]["profile"]["communication_share"] > 0
    assert record["evidence"]["transformed"]["parallel"] == {"data": 2}
    assert {m["id"]: m["reason"] for m in record["metrics"]}["iteration.gated"] is not None


def test_the_failure_of_one_rank_is_the_trials(joulemark):
    """A raise, a kill and an exit on rank 1 are told as rank 1's, though rank 0 fails because of them."""
    done = joulemark(
        "run", *ONE_RANK_FAILS, *joulemark.TINY, PROFILED, "workload.shape.fault=raise,kill,exit,allocate",
        "run.timeout_s=100", "run.memory_limit_gib=2",
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    found = {
        r["config"]["workload"]["shape"]["fault"]: (r["status"], r["phase"], r["reason"])
        for r in joulemark.records("faults")
    }
    assert found["raise"] == (
        "crashed", "check", "rank 1: RuntimeError in phase check: the fault that was asked for"
    )  # fmt: skip
    # A rank that dies without a word leaves the phase that rank 0 was in, which may be behind.
    assert found["kill"][::2] == ("crashed", "rank 1: killed by SIGKILL")
    assert found["exit"][::2] == ("crashed", "rank 1: exited with code 7")
    assert found["allocate"][:2] == ("oom", "check")
    (log,) = [
        path.read_text()
        for path in (joulemark.folder / "results").rglob("log.txt")
        if '"raise"' in json.dumps(json.loads((path.parent / "record.json").read_text())["config"])
    ]
    assert "[rank 1] RuntimeError: the fault that was asked for" in log


def test_a_rank_that_hangs_is_ended_with_all_others(joulemark):
    """Rank 0 waits for rank 1, which does nothing for ever: the deadline ends both, and says so."""
    done = joulemark(
        "run", *ONE_RANK_FAILS, *joulemark.TINY, PROFILED, "workload.shape.fault=hang", "run.timeout_s=12"
    )
    assert done.returncode == 1, done.stderr
    (record,) = joulemark.records("faults")
    assert (record["status"], record["worker"]["signal"]) == ("hung", "SIGKILL")
    assert "12 s" in record["reason"]
    deadline = time.monotonic() + 10
    while joulemark.processes() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert joulemark.processes() == []
