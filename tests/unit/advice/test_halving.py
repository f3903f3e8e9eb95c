"""Successive halving over a simulated machine whose truth is known."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from harness.advice.halving import FINALISTS, SHORT, Round, estimated_s, rounds, search
from harness.config.models import ReportConfig
from harness.planning.plan import make_plan, variant

GRID = (
    "workload=mlp", "workload.mode=infer", "workload.batch=2,4,8,16,32,64,128,256", "precision=fp32,bf16",
    "device=cpu", "device.threads=1,2", "measure=demo", "run.name=tune", "run.tune=throughput",
)  # fmt: skip
SPREAD = 0.15
"""Of the processes of one configuration, relative; it does not fall with the time measured."""


class Machine:
    """Measures trials of a plan by a planted speed, each process with a luck of its own."""

    def __init__(self, seed=0, failing=(), spread=SPREAD, start_s=0.12):
        self.random = np.random.default_rng(seed)
        self.failing, self.spread, self.start_s = failing, spread, start_s
        self.plans = []
        self.seconds = 0.0

    @staticmethod
    def speed(config):
        """A batch of 64 is best; bf16 helps, a second thread helps where batches are large."""
        batch = config.workload.batch
        rate = 1000 * math.exp(-(math.log2(batch / 64) ** 2) / 8)
        rate *= 1.2 if config.precision.name == "bf16" else 1.0
        return rate * (1.3 if batch >= 16 else 0.7) if config.device.threads == 2 else rate

    def __call__(self, plan):
        """Return a result of every trial of a plan."""
        self.plans.append(plan)
        return [self._result(t) for t in plan.runnable]

    def wall_s(self, trial):
        """Return the planted time of one process."""
        m = trial.config.measure
        return self.start_s + m.warmup_s + 2 * m.steady_window_s + m.seconds

    def _result(self, trial):
        replicas, config = trial.config.measure.replicas, trial.config
        self.seconds += self.wall_s(trial) * replicas
        values = self.speed(config) * np.exp(self.random.normal(0, self.spread, replicas))
        failed = config.precision.name in self.failing
        estimates = {
            name: SimpleNamespace(value=value, n=replicas, validity="valid", unit="1", low=None, high=None)
            for name, value in (
                ("throughput.samples", float(np.exp(np.log(values).mean()))),
                ("latency.p50", latency(config)),
            )
        }
        return SimpleNamespace(
            trial_id=trial.trial_id, label=trial.label, replicas_ok=0 if failed else replicas,
            estimates={} if failed else estimates, values=lambda _metric: tuple(values), trial=trial,
            records=(SimpleNamespace(wall_s=self.wall_s(trial)),) * replicas,
        )  # fmt: skip


@pytest.fixture(scope="module")
def plan():
    """32 configurations of one piece of work."""
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


def grid_s(plan, machine):
    """Return the least seconds of the whole sweep on a machine."""
    return sum(machine.wall_s(t) * t.config.measure.replicas for t in plan.runnable)


def test_rounds_keep_half_and_double_the_processes():
    """Rounds cost the same; the last leaves the finalists, and so few configurations take no round."""
    assert rounds(32, 4, 2.0, 0.4) == [Round(32, 1), Round(16, 2), Round(8, 4), Round(4, 8)]
    assert rounds(FINALISTS, 4, 2.0, 0.4) == []


@pytest.mark.parametrize("trials", [16, 32, 100])
@pytest.mark.parametrize("short_s", [0.2, 0.5, 1.0, 2.0])
def test_the_rounds_keep_within_their_share_of_the_time(trials, short_s):
    """Where a start takes nearly all of a process's time, fewer configurations go on, in fewer processes.

    Least is one process of each, and the finalists.
    """
    found = rounds(trials, 4, 2.0, short_s)
    finalists_s = FINALISTS * 4 * 2.0
    spent_s = sum(each.trials * each.processes * short_s for each in found) + finalists_s
    assert spent_s <= max(trials * 4 * 2.0 / 3, trials * short_s + finalists_s)
    assert found[0] == Round(trials, 1)
    sizes = [each.trials for each in found]
    assert sizes == sorted(sizes, reverse=True)
    assert all(each.processes >= 1 for each in found)


def test_the_winner_is_near_the_best_in_less_than_two_fifths_of_the_grids_time(plan):
    """Of 40 searches at most 3 lose more than 5 %, and fewer than the whole grid loses, which takes longer.

    Processes differ by 15 %, and the best is 12 % before its rivals.
    """
    best = max(Machine.speed(t.config) for t in plan.runnable)
    lost, lost_by_grid = [], []
    for seed in range(40):
        machine = Machine(seed)
        (found,) = search(plan, "throughput", machine, silent)
        lost.append(1 - Machine.speed(found.finalists[0].trial.config) / best)
        assert machine.seconds < 0.4 * grid_s(plan, machine)
        whole = max(machine(plan), key=lambda r: r.estimates["throughput.samples"].value)
        lost_by_grid.append(1 - Machine.speed(whole.trial.config) / best)
    assert sum(loss > 0.05 for loss in lost) <= 3
    assert sum(loss > 0.05 for loss in lost) < sum(loss > 0.05 for loss in lost_by_grid)


def test_a_configuration_is_judged_by_all_its_processes(plan):
    """The best has bad luck in its third round, by which alone it would fall behind six others."""

    class Unlucky(Machine):
        def _result(self, trial):
            found = super()._result(trial)
            if len(self.plans) == 3 and self.speed(trial.config) == best:
                found.estimates["throughput.samples"].value *= 0.7
            return found

    best = max(Machine.speed(t.config) for t in plan.runnable)
    (found,) = search(plan, "throughput", Unlucky(spread=0.0), silent)
    assert Machine.speed(found.finalists[0].trial.config) == best


def test_the_time_that_is_foretold_is_the_time_that_is_taken(plan):
    """On a machine that starts a process in half a second, as plans assume."""
    machine = Machine(start_s=0.5)
    search(plan, "throughput", machine, silent)
    assert machine.seconds == pytest.approx(estimated_s(plan))


def test_slow_starts_leave_fewer_processes(plan):
    """A start of 20 s makes a short process as dear as a whole one: the first round shows it."""
    machine = Machine(start_s=20.0)
    search(plan, "throughput", machine, silent)
    assert machine.seconds <= grid_s(plan, machine) / 3
    assert len(machine.plans) < len(rounds(32, 4, 2.0, 0.4)) + 1


def test_the_finalists_are_measured_again_with_a_fresh_seed_as_the_sweep_says(plan):
    """The values of the verdict are theirs; every round is a sweep of its own."""
    machine = Machine()
    (found,) = search(plan, "throughput", machine, silent)
    *before, last = machine.plans
    assert [p.sweep for p in machine.plans] == ["tune.1", "tune.2", "tune.3", "tune.4", "tune"]
    assert {t.config.seed for p in before for t in p.trials} == {0}
    assert {t.config.seed for t in last.trials} == {1}
    assert all(t.config.measure == plan.trials[0].config.measure for t in last.trials)
    shorter = before[1].trials[0].config.measure
    assert (shorter.replicas, shorter.seconds) == (2, SHORT * plan.trials[0].config.measure.seconds)
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

    class Equal(Machine):
        @staticmethod
        def speed(config):
            return 1000.0

    tied = [search(plan, "throughput", Equal(seed), silent)[0].tied for seed in range(10)]
    assert sum(tied) >= 8


def test_finalists_that_differ_are_not_tied(plan):
    """Processes that hardly differ tell 12 % apart."""
    (found,) = search(plan, "throughput", Machine(0, spread=0.001), silent)
    assert found.tied == 0


def test_what_breaks_a_limit_does_not_win(plan):
    """The fastest takes 41 ms for a batch; the best that takes 20 ms at most is another."""
    limited = with_limit(plan, 0.02)
    (found,) = search(limited, "throughput", Machine(spread=0.03), silent)
    allowed = [t.config for t in limited.runnable if latency(t.config) <= 0.02]
    best = max(Machine.speed(c) for c in allowed)
    assert found.keeps
    assert best < max(Machine.speed(t.config) for t in plan.runnable)
    assert Machine.speed(found.finalists[0].trial.config) > 0.95 * best
    assert latency(found.finalists[0].trial.config) <= 0.02


def test_the_nearest_is_said_where_none_keeps_the_limit(plan):
    """A limit that nothing keeps leaves the one that breaks it least."""
    limited = with_limit(plan, 0.0001)
    (found,) = search(limited, "throughput", Machine(), silent)
    assert not found.keeps
    chosen, least = found.finalists[0].trial.config, min(latency(t.config) for t in limited.runnable)
    assert latency(chosen) == least


def test_what_fails_drops_out(plan):
    """A failed configuration is recorded by its round and goes no further; where all fail none is found."""
    (found,) = search(plan, "throughput", Machine(0, failing=("bf16",)), silent)
    assert {r.trial.config.precision.name for r in found.finalists} == {"fp32"}
    assert search(plan, "throughput", Machine(0, failing=("bf16", "fp32")), silent) == []


@pytest.mark.parametrize("runnable", [2, 5])
def test_the_first_sweep_records_what_is_refused(plan, runnable):
    """That of the first round, or of the finalists where so few need no round."""
    refused = replace(plan.trials[-1], refusal="it cannot work")
    machine = Machine()
    search(replace(plan, trials=(*plan.trials[:runnable], refused)), "throughput", machine, silent)
    first, *others = machine.plans
    assert first.refused == (refused,)
    assert not any(p.refused for p in others)


def test_latency_is_won_by_the_least(plan):
    """The least latency is that of a small batch."""
    (found,) = search(plan, "latency", Machine(), silent)
    assert found.metric == "latency.p50"
    assert found.finalists[0].trial.config.workload.batch <= 16
