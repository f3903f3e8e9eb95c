"""How a training trial learns: the time to a loss, and the updates of workers that do not wait for others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from harness.records.metrics import make
from harness.records.schema import Metric

WINDOW = 10
"""Losses whose mean is held against the target: one batch's may be low by chance."""


def time_to_loss(
    losses: Sequence[float], *, steps: int, target: float, period_s: float, own_loss: bool = False
) -> Metric:
    """Return the metric `time.to_loss`: the steps until ten losses average at most `target`, in time.

    Compilation and other costs of the first steps are left out: they are metrics of their own.

    Args:
        losses: The first step's, then those of the last steps, oldest first.
        steps: Steps run in all; where they are more than `losses`, some behind the first are not known.
        target: Of the training loss.
        period_s: Mean time of a step.
        own_loss: The losses are not the workload's own, of which the target is one.
    """
    if own_loss:
        return make("time.to_loss", None, reason="it trains on a loss of its own, not on the workload's")
    unknown = steps - len(losses)
    known = losses if unknown == 0 else losses[1:]
    means = [fmean(known[end - WINDOW : end]) for end in range(WINDOW, len(known) + 1)]
    reached = next((WINDOW + place for place, mean in enumerate(means) if mean <= target), None)
    if reached is None:
        return make("time.to_loss", None, reason=f"the loss did not reach {target:g} in {steps} steps")
    if unknown == 0:
        return make("time.to_loss", reached * period_s)
    if reached == WINDOW:
        reason = f"the loss reached {target:g} in the steps before the last {len(known)}, which were not kept"
        return make("time.to_loss", None, reason=reason)
    return make("time.to_loss", (1 + unknown + reached) * period_s)


def asynchronous(told: Mapping[str, Any], period_s: float) -> list[Metric]:
    """Return the rate of updates and their staleness, where a strategy tells of updates; else nothing.

    Args:
        told: The strategy's evidence: `updates`, `staleness_mean` and `staleness_max` over the replica, and
            in `parallel` the `workers`, each of which makes one update per step.
        period_s: Mean time of a step.
    """
    if not told.get("updates"):
        return []
    return [
        make("throughput.updates", told["parallel"]["workers"] / period_s),
        make("staleness.mean", told["staleness_mean"], n=told["updates"]),
        make("staleness.max", told["staleness_max"], n=told["updates"]),
    ]
