"""Statistics: pure functions of numbers, on numpy and scipy alone (docs/method.md, sections 1 and 3)."""

from harness.stats.errors import StatsError
from harness.stats.interval import (
    Interval,
    interval,
    linear_interval,
    plan_replicas,
    within_run_interval,
)
from harness.stats.quantiles import (
    Quantile,
    effective_sample_size,
    least_effective_samples,
    quantile,
)

__all__ = [
    "Interval",
    "Quantile",
    "StatsError",
    "effective_sample_size",
    "interval",
    "least_effective_samples",
    "linear_interval",
    "plan_replicas",
    "quantile",
    "within_run_interval",
]
