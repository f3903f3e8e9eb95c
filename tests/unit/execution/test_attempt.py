"""One attempt at a replica: how its end is judged, and that every end leaves one record."""

from __future__ import annotations

import errno
import signal
import tempfile

import numpy as np
import pytest

from harness.execution import attempt
from harness.execution.attempt import Attempts, judge
from harness.identity.machine import Identity
from harness.isolation.protocol import Outcome
from harness.planning.plan import make_plan
from harness.records.loop import keep_raw
from harness.records.store_errors import StoreError
from harness.system import interrupts
from harness.system.locks import SweepMovedError

IDENTITY = Identity({"host_processor_model_name": "Scripted"}, {"torch": "2.13.0"}, "a" * 64, "b" * 64)


@pytest.mark.parametrize(
    ("outcome", "status", "said"),
    [
        ({"exit_code": 0, "result": {"status": "ok"}}, "ok", None),
        ({"exit_code": 0, "result": {"status": "oom", "reason": "no memory"}}, "oom", "no memory"),
        (
            {"timed_out": True, "signal": "SIGKILL", "phase": "measure"},
            "hung",
            "no end within 3 s (run.timeout_s); killed in phase measure",
        ),
        ({"oom_killed": True, "signal": "SIGKILL"}, "oom", "the operating system killed the worker"),
        ({"signal": "SIGSEGV", "phase": "warmup"}, "crashed", "killed by SIGSEGV in phase warmup"),
        (
            {"exit_code": 7, "phase": "build"},
            "crashed",
            "exited with code 7 in phase build, before there was a result",
        ),
        ({"exit_code": 1, "result": {"status": "ok"}}, "crashed", "exited with code 1"),
        ({"problem": "the result is too large"}, "crashed", "the result is too large"),
        ({"problem": "the worker server ended", "harness": True}, "harness", "the worker server ended"),
        ({"harness": True, "signal": "SIGKILL"}, "harness", "the worker was killed by SIGKILL before"),
        ({"exit_code": 0, "result": {"status": "harness", "reason": "full"}}, "harness", "full"),
    ],
)
def test_how_an_attempt_ended(outcome, status, said):
    """A limit counts before the signal that enforced it, and a result only from a worker that ended well."""
    found, reason = judge(Outcome(**outcome), 3.0)
    assert found == status
    assert (reason or "").startswith(said or "")
    assert (reason is None) == (said is None)


class ScriptedWorkers:
    """Answers with an outcome, or raises; keeps what it was asked."""

    def __init__(self, answer):
        self.answer, self.asked, self.closed = answer, [], 0

    def run(self, spec, folder, **limits):
        """Give the answer."""
        assert folder.is_dir()
        self.asked.append((spec, limits))
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    def close(self):
        """Count."""
        self.closed += 1


@pytest.fixture(scope="module")
def trial():
    """A planned trial."""
    (planned,) = make_plan(
        ["workload=noop", "device=cpu", "run.timeout_s=9", "run.memory_limit_gib=0.5", "measure.replicas=1"]
    ).trials
    return planned


@pytest.fixture
def attempts(store, tmp_path, monkeypatch):
    """Attempts whose device locks and store are the test's own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return Attempts("s", store, IDENTITY, session=lambda _trial: {"soak": {"done": False}})


def test_a_good_attempt_is_a_record_of_what_the_worker_found(attempts, store, trial):
    """Metrics, evidence and use of the worker, in the place of its attempt; no log is kept in it."""
    result = {
        "status": "ok",
        "metrics": [{"id": "iteration.mean", "value": 0.5, "unit": "s", "direction": "lower",
                     "estimator": "mean", "provenance": "measured", "semantics_version": 1}],
        "evidence": {"output_ok": True},
        "series": {"loss": [2.0, 1.0]},
    }  # fmt: skip
    workers = ScriptedWorkers(Outcome(exit_code=0, result=result, pid=7, user_s=1.5, log_tail="noise"))
    record = attempts.run(workers, trial, 0, 3)
    ((spec, limits),) = workers.asked
    assert (limits["timeout_s"], limits["memory_limit_bytes"]) == (9.0, 2**29)
    assert (record.status, record.phase, record.round_order) == ("ok", "done", 3)
    assert record.metric("iteration.mean").value == 0.5
    assert record.evidence["output_ok"] is True
    assert record.evidence["soak"] == {"done": False}
    assert record.series == {"loss": (2.0, 1.0)}
    assert (record.worker.pid, record.worker.user_s, record.log_tail) == (7, 1.5, "")
    (kept,), unread = store.records("s")
    assert (kept, unread) == (record, [])
    assert str(spec).count(str(store.root)) == 1, "the worker is told its folder"


def test_attempts_are_counted_and_keep_what_was_there(attempts, store, trial):
    """A failure and the next try stand side by side, the failure with its log."""
    attempts.run(ScriptedWorkers(Outcome(phase="build", exit_code=1, log_tail="why")), trial, 0, 0)
    attempts.run(ScriptedWorkers(Outcome(exit_code=0, result={"status": "ok"})), trial, 0, 1)
    first, second = sorted(store.records("s")[0], key=lambda r: r.attempt)
    assert (first.attempt, first.status, first.phase, first.log_tail) == (0, "crashed", "build", "why")
    assert (second.attempt, second.status) == (1, "ok")


def test_an_interrupt_leaves_a_record_and_no_process(attempts, store, trial):
    """Then it goes on its way."""
    workers = ScriptedWorkers(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        attempts.run(workers, trial, 0, 0)
    (record,) = store.records("s")[0]
    assert (record.status, record.reason) == ("interrupted", "interrupted by the user")
    assert workers.closed == 1


def test_an_interrupt_while_a_record_is_made_waits_for_it(attempts, store, trial, monkeypatch):
    """The replica has ended: it counts, and DuckDB makes no error of its own of the signal."""
    own = interrupts._Interrupt()
    monkeypatch.setattr(interrupts, "_interrupt", own)
    monkeypatch.setattr(attempt, "pack", lambda _folder, **_: own.take(signal.SIGTERM, None))
    with pytest.raises(KeyboardInterrupt):
        attempts.run(ScriptedWorkers(Outcome(exit_code=0, result={"status": "ok"})), trial, 0, 0)
    (record,) = store.records("s")[0]
    assert record.status == "ok"


def test_an_interrupt_leaves_nothing_that_its_record_does_not_name(attempts, store, trial):
    """A worker that had ended its span has left its durations, which no record will have."""

    class Ended(ScriptedWorkers):
        def run(self, spec, folder, **limits):
            keep_raw({"duration_ns": np.arange(3)}, folder)
            super().run(spec, folder, **limits)

    with pytest.raises(KeyboardInterrupt):
        attempts.run(Ended(KeyboardInterrupt()), trial, 0, 0)
    (record,) = store.records("s")[0]
    (path,) = store.record_paths("s")
    assert {p.name for p in path.parent.iterdir()} == {path.name, *record.seal.files}


def test_a_refused_cell_has_a_record_too(attempts, trial):
    """Of the plan, without a worker."""
    refused = type(trial)(
        *(getattr(trial, name) for name in ("label", "config", "size", "work_id", "trial_id", "overrides")),
        refusal="tf32 needs CUDA",
    )
    record = attempts.refuse(refused)
    assert (record.status, record.phase, record.reason) == ("refused", "plan", "tf32 needs CUDA")
    assert (record.worker.kind, record.wall_s) == ("none", 0.0)


class Failing(ScriptedWorkers):
    """Fails as often as it is told, by the harness's own fault."""

    def __init__(self, times, answer):
        super().__init__(answer)
        self.times = times

    def run(self, spec, folder, **limits):
        """Fail, then answer."""
        answer = super().run(spec, folder, **limits)
        if len(self.asked) > self.times:
            return answer
        return Outcome(problem="the worker server was killed by SIGKILL", harness=True)


@pytest.mark.parametrize(("times", "status", "asked"), [(1, "ok", 2), (2, "ok", 3), (3, "harness", 3)])
def test_what_the_harness_fails_at_is_tried_again(attempts, trial, monkeypatch, times, status, asked):
    """Twice, within one attempt; then the record says whose fault it was."""
    monkeypatch.setattr("harness.execution.attempt._BETWEEN_S", 0.0)
    workers = Failing(times, Outcome(exit_code=0, result={"status": "ok"}))
    record = attempts.run(workers, trial, 0, 0)
    assert (record.status, len(workers.asked), record.attempt) == (status, asked, 0)
    assert (record.reason or "").endswith("SIGKILL") is (status == "harness")


def test_a_disk_that_takes_no_log_ends_the_sweep(attempts, store, trial, monkeypatch):
    """The server said so at every try: no record of a failure, one line."""
    monkeypatch.setattr("harness.execution.attempt._BETWEEN_S", 0.0)
    workers = ScriptedWorkers(Outcome(problem="the worker server: OSError", harness=True, errno=errno.ENOSPC))
    with pytest.raises(StoreError, match="the disk is full"):
        attempts.run(workers, trial, 0, 0)
    assert len(workers.asked) == 3
    assert store.records("s")[0] == []


def test_nothing_is_written_to_a_folder_that_took_the_sweeps_place(attempts, store, trial):
    """Neither the attempt's folder nor its record."""

    def moved():
        raise SweepMovedError("s was renamed")

    attempts.still_mine = moved
    with pytest.raises(SweepMovedError):
        attempts.run(ScriptedWorkers(Outcome(exit_code=0, result={"status": "ok"})), trial, 0, 0)
    assert not store.root.exists() or list(store.root.iterdir()) == []
