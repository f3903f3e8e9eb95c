"""Time to loss, on losses whose crossing is known."""

from __future__ import annotations

import pytest

from harness.trial.passes.convergence import WINDOW, asynchronous, time_to_loss


def found(losses, *, steps=None, target=1.0):
    """Return the metric for steps of a quarter of a second."""
    return time_to_loss(losses, steps=steps or len(losses), target=target, period_s=0.25)


def test_the_step_at_which_ten_losses_average_the_target():
    """Twenty losses of 2, then of 0: the mean of ten is 1.0 when five of them are 0, after 25 steps."""
    assert found([2.0] * 20 + [0.0] * 20).value == pytest.approx(25 * 0.25)


def test_one_low_loss_is_no_arrival():
    """A lucky batch does not end the training."""
    metric = found([2.0] * 20 + [0.5] + [2.0] * 20)
    assert metric.value is None
    assert metric.reason == "the loss did not reach 1 in 41 steps"


def test_a_loss_that_starts_below_the_target_is_there_after_the_first_window():
    """No fewer than ten losses are a mean."""
    assert found([0.5] * 30).value == pytest.approx(WINDOW * 0.25)
    assert found([0.5] * 9).value is None


def test_steps_that_were_not_kept_are_counted():
    """A thousand steps, of which the first and the last hundred are known."""
    assert found([9.0] + [2.0] * 50 + [0.0] * 50, steps=1000).value == pytest.approx((1000 - 100 + 55) * 0.25)


def test_an_arrival_among_steps_that_were_not_kept_is_not_guessed():
    """It was reached at some step that nobody knows."""
    metric = found([9.0] + [0.5] * 100, steps=1000)
    assert metric.value is None
    assert "not kept" in metric.reason


def test_a_loss_of_another_kind_reaches_no_target():
    """What distillation minimises lies below the workload's own loss from the first step."""
    metric = time_to_loss([0.5] * 30, steps=30, target=1.0, period_s=0.25, own_loss=True)
    assert metric.value is None
    assert metric.reason == "it trains on a loss of its own, not on the workload's"


def test_workers_that_wait_for_nobody_make_an_update_each_a_step():
    """Three workers and steps of a quarter of a second are twelve updates per second."""
    told = {"updates": 300, "staleness_mean": 1.5, "staleness_max": 4, "parallel": {"workers": 3}}
    found = {metric.id: (metric.value, metric.n) for metric in asynchronous(told, 0.25)}
    assert found == {
        "throughput.updates": (12.0, 1),
        "staleness.mean": (1.5, 300),
        "staleness.max": (4, 300),
    }
    assert asynchronous({"parallel": {"data": 2}}, 0.25) == []
