"""Successive halving over a simulated machine whose truth is known."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from harness.advice.halving import FINALISTS, Round, estimated_s, kept, rounds, search
from harness.config.models import ReportConfig
from harness.planning.plan import make_plan, variant

GRID = (
    "workload=mlp", "workload.mode=infer", "workload.batch=1,2,4,8,16,32,64,128", "precision=fp32,bf16",
    "optimize=eager,compile", "device=cpu", "device.threads=1,2", "measure=demo", "run.name=tune",
    "run.tune=throughput",
)  # fmt: skip
SPREAD = 0.03
"""Of a process that measures for a second, relative."""


class Machine:
    """Measures trials of a plan by a planted speed, with noise that falls with the time measured."""

    def __init__(self, seed=0, failing=(), spread=SPREAD):
        self.random = np.random.default_rng(seed)
        self.failing, self.spread = failing, spread
        self.plans = []
        self.seconds = 0.0

    @staticmethod
    def speed(config):
        """A batch of 32 is best; bf16 and compiling help, a second thread helps where batches are large."""
        batch = config.workload.batch
        rate = 1000 * math.exp(-(math.log2(batch / 32) ** 2) / 8)
        rate *= 1.3 if config.precision.name == "bf16" else 1.0
        rate *= 1.12 if config.optimize.name == "compile" else 1.0
        return rate * (1.5 if config.device.threads == 2 and batch >= 16 else 1.0)

    def __call__(self, plan):
        """Return a result of every trial of a plan."""
        self.plans.append(plan)
        return [self._result(t) for t in plan.runnable]

    def _result(self, trial):
        m, config = trial.config.measure, trial.config
        self.seconds += trial.replica_s * m.replicas
        noise = self.random.normal(0, self.spread / math.sqrt(m.seconds), m.replicas)
        values = self.speed(config) * np.exp(noise)
        failed = config.optimize.name in self.failing
        estimates = {
            name: SimpleNamespace(value=value, validity="valid", unit="1", low=None, high=None)
            for name, value in (
                ("throughput.samples", float(np.exp(np.log(values).mean()))),
                ("latency.p50", latency(config)),
            )
        }
        return SimpleNamespace(
            trial_id=trial.trial_id, label=trial.label, replicas_ok=0 if failed else m.replicas,
            estimates={} if failed else estimates, values=lambda _metric: tuple(values),
            config={"report": {"limits": config.report.limits}}, trial=trial,
        )  # fmt: skip


@pytest.fixture(scope="module")
def plan():
    """64 configurations of one piece of work."""
    return make_plan(GRID)


def latency(config):
    """Return the planted seconds of a batch."""
    return config.workload.batch / Machine.speed(config)


def with_limit(plan, seconds):
    """Return the plan with a limit of the latency."""
    report = ReportConfig(limits={"latency.p50": seconds})
    return replace(plan, trials=tuple(variant(t, {"report": report}, ()) for t in plan.trials))


def silent(_text):
    """Nobody reads."""


def test_rounds_keep_a_quarter_and_measure_four_times_as_long():
    """Nearly as few as finalists are finalists; a round never takes longer than the sweep's own replica."""
    assert rounds(64, 2.0) == [Round(64, 0.25), Round(16, 1.0)]
    assert rounds(200, 2.0) == [Round(200, 0.25), Round(50, 1.0), Round(13, 2.0)]
    assert rounds(3, 2.0) == []
    assert [kept(n) for n in (200, 50, 24, 13, 4)] == [50, 13, FINALISTS, FINALISTS, FINALISTS]


def test_the_winner_is_near_the_best_of_the_full_grid_in_less_than_two_fifths_of_its_time(plan):
    """In thirty searches the choice loses more than 5 % in at most one; the time is known exactly."""
    assert len(plan.runnable) == 64
    best = max(Machine.speed(t.config) for t in plan.runnable)
    lost = []
    for seed in range(30):
        machine = Machine(seed)
        (found,) = search(plan, "throughput", machine, silent)
        lost.append(1 - Machine.speed(found.finalists[0].trial.config) / best)
    assert sum(loss > 0.05 for loss in lost) <= 1
    assert machine.seconds < 0.4 * plan.estimated_s
    assert machine.seconds == pytest.approx(estimated_s(plan))


def test_the_finalists_are_measured_again_with_a_fresh_seed_as_the_sweep_says(plan):
    """No number of a round is in the verdict; every round is a sweep of its own."""
    machine = Machine()
    (found,) = search(plan, "throughput", machine, silent)
    *before, last = machine.plans
    assert [p.sweep for p in machine.plans] == ["tune.1", "tune.2", "tune"]
    assert {t.config.seed for p in before for t in p.trials} == {0}
    assert {t.config.seed for t in last.trials} == {1}
    assert all(t.config.measure == plan.trials[0].config.measure for t in last.trials)
    assert all(t.config.measure.within_run_only for p in before for t in p.trials)
    assert "seed=1" in last.trials[0].overrides
    assert {r.trial_id for r in found.finalists} == {t.trial_id for t in last.trials}


def test_a_search_asks_for_the_same_trials_again(plan):
    """What its rounds measured is found by its identity, so that it resumes."""
    one, other = Machine(3), Machine(3)
    search(plan, "throughput", one, silent)
    search(plan, "throughput", other, silent)
    assert [[t.trial_id for t in p.trials] for p in one.plans] == [
        [t.trial_id for t in p.trials] for p in other.plans
    ]


def test_equal_finalists_are_tied(plan):
    """Replicas that do not tell two apart name no winner alone."""
    (found,) = search(plan, "throughput", Machine(0, spread=0.4), silent)
    assert found.tied >= 1


def test_what_breaks_a_limit_does_not_win(plan):
    """The fastest takes 15 ms for a batch; the best that takes 10 ms at most is another."""
    limited = with_limit(plan, 0.01)
    (found,) = search(limited, "throughput", Machine(), silent)
    allowed = [
        t.config for t in limited.runnable if t.config.workload.batch / Machine.speed(t.config) <= 0.01
    ]
    best = max(Machine.speed(c) for c in allowed)
    assert found.keeps
    assert Machine.speed(found.finalists[0].trial.config) > 0.95 * best
    assert latency(found.finalists[0].trial.config) <= 0.01


def test_the_nearest_is_said_where_none_keeps_the_limit(plan):
    """A limit that nothing keeps leaves the one that breaks it least."""
    limited = with_limit(plan, 0.0001)
    (found,) = search(limited, "throughput", Machine(), silent)
    assert not found.keeps
    chosen, least = found.finalists[0].trial.config, min(latency(t.config) for t in limited.runnable)
    assert latency(chosen) == least


def test_what_fails_drops_out(plan):
    """A failed configuration is recorded by its round and goes no further; where all fail none is found."""
    (found,) = search(plan, "throughput", Machine(0, failing=("compile",)), silent)
    assert {r.trial.config.optimize.name for r in found.finalists} == {"eager"}
    assert search(plan, "throughput", Machine(0, failing=("compile", "eager")), silent) == []


def test_latency_is_won_by_the_least(plan):
    """The least latency is that of a small batch."""
    (found,) = search(plan, "latency", Machine(), silent)
    assert found.metric == "latency.p50"
    assert found.finalists[0].trial.config.workload.batch <= 16
