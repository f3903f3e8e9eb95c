"""The session soak: which accelerators are warmed, with what, and what every record then says."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest

from harness.execution.session import Session
from harness.isolation.protocol import Outcome, ReplicaSpec
from harness.isolation.workers import Workers
from harness.planning.plan import make_plan
from harness.timing import Conditions, Soak
from harness.timing.soak import Window
from harness.trial.device_state import conditions_evidence, soak_evidence

FOUND = {"done": True, "steady": True, "seconds": 45.0, "clock_mhz": 1755.0}


@pytest.fixture(autouse=True)
def locks(tmp_path, monkeypatch):
    """Keep the devices' locks away from real measurements on this machine."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def planned(*overrides, kind="cuda", index=0):
    """Plan one trial and put it on a device that this machine need not have."""
    (trial,) = make_plan(["workload=noop", "device=cpu", *overrides]).trials
    device = trial.config.device.model_copy(update={"kind": kind, "index": index})
    config = trial.config.model_copy(update={"device": device})
    return type(trial)(trial.label, config, trial.size, trial.work_id, trial.trial_id, trial.overrides)


class ScriptedWorkers:
    """Answers every soak with one outcome, and keeps what it was asked."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.asked: list[tuple[ReplicaSpec, float]] = []

    def run(self, spec: ReplicaSpec, folder: Path, *, timeout_s: float, **_: Any) -> Outcome:
        """Keep the question."""
        assert folder.is_dir()
        self.asked.append((spec, timeout_s))
        return self.outcome


@pytest.fixture
def notes():
    """Return the lines that were said."""
    return []


def test_each_accelerator_is_soaked_once_with_its_first_trial(notes):
    """Two devices, three trials: two soaks, in the words of the first trial of each."""
    trials = [planned("seed=1"), planned("seed=2"), planned("seed=3", index=1)]
    workers = ScriptedWorkers(Outcome(exit_code=0, result={"status": "ok", "soak": FOUND}))
    session = Session()
    session.run(trials, workers, notes.append)

    asked = sorted((spec.config["seed"], spec.task, limit) for spec, limit in workers.asked)
    assert asked == [(1, "soak", 840.0), (3, "soak", 840.0)]
    assert session.evidence(trials[1]) == {"soak": FOUND}
    assert "cuda-1: steady after 45 s" in notes


@pytest.mark.parametrize(
    ("trial", "reason"),
    [
        (lambda: planned(kind="cpu"), "a CPU is not soaked"),
        (lambda: planned("measure=demo"), "measure.soak is off"),
        (lambda: planned("measure=quick"), "measure.soak is off"),
    ],
)
def test_where_there_is_no_soak_the_record_says_why(notes, trial, reason):
    """Not on the CPU, in the demo nor in the quick preset: nothing runs, and the evidence is the reason."""
    workers = ScriptedWorkers(Outcome())
    session, one = Session(), trial()
    session.run([one], workers, notes.append)
    assert workers.asked == []
    assert session.evidence(one) == {"soak": {"done": False, "reason": reason}}


def test_a_soak_that_fails_does_not_fail_the_sweep(notes):
    """A crash of the soak is evidence: there was none, and why."""
    session, trial = Session(), planned()
    session.run([trial], ScriptedWorkers(Outcome(signal="SIGSEGV", phase="start")), notes.append)
    found = session.evidence(trial)["soak"]
    assert found["done"] is False
    assert "SIGSEGV" in found["reason"]


def test_the_last_window_is_the_reference_of_the_throttle_alarm():
    """A clock is held against that of the soak; slowdowns are thermal or of the hardware, states are not."""
    last = Window(1e7, 45, Conditions(66.0, 1750.0, (), ("software_power_cap",)))
    reference = soak_evidence(Soak(True, 45.0, (last,)))
    found = conditions_evidence(
        Conditions(70.0, 1662.5, ("hardware_thermal_slowdown",), ()), {"soak": reference}
    )
    assert reference["states"] == ["software_power_cap"]
    assert found["clock_ratio"] == pytest.approx(0.95)
    assert found["throttled"] is True


def test_a_device_that_tells_nothing_is_not_called_unthrottled():
    """Without sensors there is no verdict on throttling: None, not False."""
    found = conditions_evidence(Conditions(), {})
    assert (found["throttled"], found["clock_ratio"]) == (None, None)


def test_a_real_worker_soaks(tmp_path):
    """The task runs in a worker of its own and comes back with windows, on whatever device it is told."""
    (trial,) = make_plan(
        ["workload=noop", "device=cpu", "measure.soak_window_s=0.02", "measure.soak_cap_s=2"]
    ).trials
    spec = ReplicaSpec(trial.payload, trial.size, task="soak")
    with Workers() as workers:
        outcome = workers.run(spec, tmp_path, timeout_s=60)
    assert outcome.result is not None, outcome.log_tail
    found = outcome.result["soak"]
    assert found["done"] is True
    assert found["windows"] >= 2
    assert found["clock_mhz"] is None
