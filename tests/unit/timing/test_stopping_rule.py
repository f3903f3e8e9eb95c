"""The whole stopping rule in scripted time: warm-up, steady state, span, replicas, plan, interval."""

from __future__ import annotations

import math
import tempfile
from dataclasses import asdict

import numpy as np
import pytest
from scipy.stats import t as student

from harness.config.models import Config
from harness.devices.base import Peak
from harness.execution.host_watch import HostWatch
from harness.execution.sweep import Sweep
from harness.identity.machine import Identity
from harness.isolation.protocol import Outcome
from harness.planning.plan import make_plan
from harness.records import open_store
from harness.records.estimates import trial_results
from harness.system.contention import Contention
from harness.timing import measure_steps
from harness.trial.evidence import timing_settings
from harness.trial.metrics import EnergyUse, RankRun, summarise
from workloads.base import Units

MS = 1_000_000
SETTLING = 80
"""Iterations that a new process is slow for."""
OVERRIDES = [
    "workload=noop", "device=cpu", "measure.replicas=4", "measure.seconds=1.0", "measure.warmup_s=0.2",
    "measure.steady_window_s=0.2", "measure.target_cpu=0.03", "run.name=scripted",
]  # fmt: skip


class ScriptedProcesses:
    """Workers on the scripted clock: process p settles at `factors[p]` times 10 ms per iteration."""

    def __init__(self, clock, device, factors, disturbed=()):
        self.clock, self.device, self.factors, self.disturbed = clock, device, factors, disturbed
        self.measured = []
        self.waits = []
        self.order = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def run(self, spec, _folder, *, wait, **_):
        """Measure as a worker does, in scripted time."""
        others = 1.0 if len(self.waits) in self.disturbed else 0.0
        self.waits.append(wait)
        seed = spec.config["seed"]
        self.order.append(seed)
        factor = self.factors[self.order.count(seed) - 1]

        def step(index, _mark):
            slow = 1 + max(0, SETTLING - index) / 100
            self.clock.work(round(10 * MS * factor * slow))

        settings = timing_settings(Config.model_validate(spec.config))
        found = measure_steps(step, device=self.device, settings=settings, clock=self.clock)
        self.measured.append(found)
        rank = RankRun(found, [Units(1)], {"peak_rss": 1})
        metrics = summarise(
            [rank], peak=Peak(None, reason="scripted"), energy=EnergyUse(None), single_threaded=True
        )
        plain = [asdict(m) for m in metrics]
        evidence = {"steady": found.steady, "drift": found.drift, "iterations": found.iterations}
        evidence["contention"] = {"others_cpus": others, "cpus": 2, "delay_share": 0.0}
        return Outcome(exit_code=0, result={"status": "ok", "metrics": plain, "evidence": evidence})


class Silent:
    """Progress that remembers what it was told of the time left."""

    def __init__(self):
        self.left = []

    def started(self, trial, replica):
        """Say nothing."""

    def tick(self):
        """Say nothing."""

    def note(self, text):
        """Say nothing."""

    def finished(self, record, remaining_s):
        """Remember."""
        self.left.append(remaining_s)


@pytest.fixture
def store(tmp_path):
    """Return an empty store."""
    return open_store(tmp_path / "results")


@pytest.fixture
def sweep(tmp_path, monkeypatch, clock, device, store):
    """Run a plan in scripted time and return the sweep, its workers and what progress heard."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    identity = Identity({}, {}, "a" * 64, "b" * 64)

    def run(factors, *more, disturbed=()):
        processes, progress = ScriptedProcesses(clock, device, factors, disturbed), Silent()
        host = HostWatch(look=lambda *_: Contention(1, 1, 0, 0, 0, 2))
        done = Sweep(make_plan([*OVERRIDES, *more]), store, identity, progress, lambda: processes, host=host)
        done.run()
        return store.records("scripted")[0], processes, progress

    return run


def test_the_pilot_plans_the_replicas_and_the_interval_is_steins(sweep, store):
    """Four processes plan N; exactly N run; each is measured settled; the interval is the two-stage one."""
    factors = [1.0, 1.04, 0.97, 1.01, *[1.0, 1.02] * 20]
    records, processes, _ = sweep(factors)

    logs = np.log(factors[:4])
    critical = student.ppf(0.975, 3)
    planned = math.ceil((critical * logs.std(ddof=1) / math.log1p(0.03)) ** 2)
    assert 4 < planned < 30
    assert len(records) == planned

    for found, factor in zip(processes.measured, factors, strict=False):
        assert found.steady
        assert found.first_index >= SETTLING, "no iteration of the settling is in the span"
        assert set(found.durations_ns) == {round(10 * MS * factor)}
        assert found.iterations == math.ceil(100 / factor)
        assert found.flags == ()

    estimate = trial_results(records)[0].estimates["iteration.mean.clean"]
    centre = np.log(factors[:planned]).mean()
    half = critical * logs.std(ddof=1) / math.sqrt(planned)
    assert estimate.n == planned
    assert estimate.value == pytest.approx(0.01 * math.exp(centre), rel=1e-9)
    assert estimate.low == pytest.approx(0.01 * math.exp(centre - half), rel=1e-9)
    assert estimate.high == pytest.approx(0.01 * math.exp(centre + half), rel=1e-9)
    assert math.exp(half) - 1 <= 0.03
    assert "target_missed" not in estimate.reasons
    assert store.read_plan("scripted")["trials"][0]["replicas"] == planned, "status says what is left"


def test_little_spread_needs_no_more_than_the_pilot(sweep):
    """Processes that agree within a fraction of the target: the pilot is enough."""
    records, _, _ = sweep([1.0, 1.001, 0.999, 1.0005])
    assert len(records) == 4


def test_a_target_out_of_reach_stops_at_the_cap_and_says_so(sweep):
    """Half the processes twice as slow: no more than the cap, and the result misses its target."""
    records, _, _ = sweep([1.0, 2.0] * 20, "measure.max_replicas=8")
    assert len(records) == 8
    assert "target_missed" in trial_results(records)[0].estimates["iteration.mean.clean"].reasons


def test_the_same_script_gives_the_same_numbers(sweep, clock):
    """Nothing but the scripted clock decides: at another hour, the same measurement to the nanosecond."""
    _, first, _ = sweep([1.0, 1.001, 0.999, 1.0005])
    clock.work(123_456_789)
    _, second, _ = sweep([1.0, 1.001, 0.999, 1.0005], "run.name=scripted-again")
    for one, other in zip(first.measured, second.measured, strict=True):
        assert (one.first_index, one.iterations, one.span_ns) == (
            other.first_index,
            other.iterations,
            other.span_ns,
        )


def test_every_configuration_runs_once_a_round_in_recorded_random_order(sweep):
    """Five trials, four replicas: each round holds each once, in orders that differ and are recorded."""
    records, processes, progress = sweep([1.0, 1.001, 0.999, 1.0005], "seed=range(5)")
    rounds = [processes.order[i : i + 5] for i in range(0, 20, 5)]
    assert all(sorted(one) == list(range(5)) for one in rounds)
    assert len(set(map(tuple, rounds))) > 1
    places = {(r.replica, r.round_order): r.config["seed"] for r in records}
    assert [[places[n, i] for i in range(5)] for n in range(4)] == rounds
    assert progress.left[-1] == 0.0
    assert len(progress.left) == 20
    assert min(progress.left[:-1]) > 0.0, "the time left is told anew after every replica"


def test_a_disturbed_replica_is_measured_again_at_the_end_and_stays(sweep, store):
    """The second process met others; when all are done it runs once more, and its last record counts."""
    records, processes, _ = sweep([1.0] * 20, "measure.max_replicas=4", "run.remeasure=1.0", disturbed={1})
    again = [r for r in records if r.attempt == 1]
    assert len(again) == 1
    assert len(records) == 5
    assert processes.waits[:4] == ["active", "active", "passive", "active"], (
        "threads sleep after others were seen"
    )
    (trial,) = trial_results(records)
    assert len(trial.values("iteration.mean")) == 4
    assert trial.replicas_ok == 4


def test_a_pilot_that_is_measured_again_is_planned_with_again(sweep, store):
    """The plan follows the pilot that counts: here the second process, measured anew, spreads more."""
    factors = [*[1.0] * 4, 1.06, *[1.0] * 20]
    records, _, progress = sweep(factors, "run.remeasure=1.0", disturbed={1})
    logs = np.log([1.0, 1.06, 1.0, 1.0])
    planned = math.ceil((student.ppf(0.975, 3) * logs.std(ddof=1) / math.log1p(0.03)) ** 2)
    assert planned > 4
    assert len(records) == planned + 1, "one of them is the disturbed record, which stays"
    assert len(progress.left) == planned + 1
    assert progress.left[-1] == 0.0
