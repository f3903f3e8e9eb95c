"""More processes or longer ones: what a trial's records say (docs/method.md, section 3)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean

from pydantic import ValidationError

from harness.config.models import MeasureConfig
from harness.records.headline import RAW, iteration_metric
from harness.records.schema import Record
from harness.stats import Split, StatsError, long_run_variance, plan_split

CLEAR_GAIN = 0.8
"""Share of the time that longer processes may take at most: a pilot of six knows its variances badly."""
_NO_CAP = 10_000


@dataclass(frozen=True, slots=True)
class Advice:
    """Longer processes reach the trial's target clearly sooner."""

    now: Split
    """With processes as long as they are."""
    better: Split
    cap: int
    """Processes that a trial may have at most."""

    def __str__(self) -> str:
        """Name the setting to change, and what it gains."""
        now, better = (f"{s.replicas} processes in {s.total_s:.0f} s" for s in (self.now, self.better))
        if self.now.replicas > self.cap:
            now = f"more than the {self.cap} processes that a trial may have"
        setting = f"measure.seconds={self.better.seconds:.0f}"
        return f"noise within processes dominates: with {setting} the target takes {better}, not {now}"


def advise(replicas: Sequence[Record]) -> Advice | None:
    """Say whether a trial should have longer processes; within one sweep all of them are equally long.

    None where the pilot was enough, where the gain is not clear, where the trial is judged by its undisturbed
    mean (no record holds that one's noise within a process), and where records lack what this needs.

    Args:
        replicas: The good records of one trial, by replica.
    """
    if iteration_metric(replicas) != RAW:
        return None
    try:
        measure = MeasureConfig.model_validate(replicas[0].config["measure"])
        d = math.log1p(measure.target(replicas[0].config["device"]["kind"]))
        pilot = replicas[: measure.replicas]
        means = [m.value for record in pilot if (m := record.metric(RAW)) and m.value]
        within = [_relative_variance(record.series["iteration_s"]) for record in pilot]
        overhead_s = fmean(record.wall_s for record in pilot) - measure.seconds
        plan = partial(
            plan_split, means, within, seconds=measure.seconds, overhead_s=overhead_s, d=d, cap=_NO_CAP
        )
        now, better = plan(longest_s=measure.seconds), plan()
    except (LookupError, TypeError, ArithmeticError, ValidationError, StatsError):
        return None  # records of another version, or made by hand
    if len(pilot) < measure.replicas or now.replicas == measure.replicas:
        return None
    # What no setting can reach is no advice.
    clear = better.total_s <= CLEAR_GAIN * now.total_s and better.replicas <= measure.max_replicas
    return Advice(now, better, measure.max_replicas) if clear else None


def _relative_variance(durations_s: Sequence[float]) -> float:
    """Return the variance of ln mean for the noise within one process."""
    return long_run_variance(durations_s) / len(durations_s) / fmean(durations_s) ** 2
