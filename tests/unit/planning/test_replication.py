"""When a trial should have longer processes, from records whose variances are known."""

from __future__ import annotations

import numpy as np
import pytest

from harness.planning.replication import advise
from harness.records.metrics import make
from harness.records.schema import Record, WorkerFacts

OVERHEAD_S = 4.0


def record(replica: int, mean_s: float, series, *, clean=None, **measure) -> Record:
    """Return the good record of one process of 5 s with these durations."""
    return Record(
        sweep="s", label="l", work_id="a" * 64, trial_id="b" * 64, machine_id="c" * 64, code_id="d" * 64,
        replica=replica, attempt=0, status="ok", phase="done", started_at="2026-01-01T00:00:00Z",
        wall_s=5.0 + OVERHEAD_S, machine={}, code={}, worker=WorkerFacts(kind="none"),
        config={"measure": {"target_accelerator": 0.01, **measure}, "device": {"kind": "cuda"}},
        metrics=(make("iteration.mean", mean_s), *([make("iteration.mean.clean", clean)] if clean else [])),
        series={"iteration_s": tuple(series)},
    )  # fmt: skip


def trial(between: float, within: float, **options) -> list[Record]:
    """Return six processes: this sd of ln mean between them, this share of it from the noise within each."""
    z = np.linspace(-1, 1, 6)
    means = np.exp(between * z / z.std(ddof=1))
    # Sixteen values in four batches: their means are 1 ± a, so that n·Var(mean) is 4·a²·4/3.
    a = within * np.sqrt(3.0)
    series = np.repeat([1 - a, 1 + a, 1 - a, 1 + a], 4)
    return [record(i, mean, series * mean, **options) for i, mean in enumerate(means)]


def test_noise_within_asks_for_longer_processes():
    """A spread of 2.9 % that is all noise within 5 s: 30 s need a sixth of the variance."""
    found = advise(trial(0.029, 0.029))
    assert found is not None
    assert found.now.seconds == 5.0
    assert found.now.replicas == 57  # ⌈(2.5706 · 0.029/ln 1.01)²⌉
    assert (found.better.seconds, found.better.replicas) == (30.0, 10)
    assert found.better.total_s == pytest.approx(10 * (OVERHEAD_S + 30))
    assert str(found).endswith(
        "with measure.seconds=30 the target takes 10 processes in 340 s, "
        "not more than the 30 processes that a trial may have"
    )


@pytest.mark.parametrize(
    ("between", "within"), [(0.03, 0.001), (0.003, 0.003), (0.0, 0.0)],
    ids=["the spread is between processes", "the pilot was enough", "no spread"],
)  # fmt: skip
def test_no_advice_where_nothing_is_gained(between, within):
    """Processes as long as they are do as well, or did."""
    assert advise(trial(between, within)) is None


def test_no_advice_for_the_undisturbed_mean():
    """The noise of the clean mean within a process is not known."""
    assert advise(trial(0.03, 0.03, clean=1.0)) is None


@pytest.mark.parametrize("broken", [
    {}, {"measure": {"seconds": "long"}}, {"measure": {}}, {"measure": [], "device": []},
    {"measure": {"no_such_key": 1}, "device": {"kind": "cpu"}},
])  # fmt: skip
def test_records_of_another_kind_give_no_advice(broken):
    """A configuration that this version does not know is no error."""
    records = [r.model_copy(update={"config": broken}) for r in trial(0.03, 0.03)]
    assert advise(records) is None


def test_a_pilot_that_is_not_complete_gives_no_advice():
    """Nothing, or five of six processes."""
    assert advise([]) is None
    assert advise(trial(0.03, 0.03)[:5]) is None


@pytest.mark.parametrize("series", [(), (1.0,), (0.0,) * 16])
def test_series_that_tell_no_variance_give_no_advice(series):
    """No durations, one, or none above zero."""
    assert advise([record(i, 1.0 + i / 10, series) for i in range(6)]) is None
