"""Statistics: pure functions of numbers, on numpy and scipy alone (docs/method.md, sections 1 and 3)."""

from harness.stats.changes import change_points
from harness.stats.compare import (
    Comparison,
    compare,
    finished,
    minimum_detectable_effect,
    next_look,
)
from harness.stats.errors import StatsError
from harness.stats.interval import (
    Interval,
    interval,
    linear_interval,
    plan_replicas,
    within_run_interval,
)
from harness.stats.multiple import across_sweep, benjamini_hochberg
from harness.stats.nightly import Screen, night_label, screen
from harness.stats.pareto import pareto, undecided
from harness.stats.quantiles import (
    Quantile,
    effective_sample_size,
    least_effective_samples,
    process_quantile_interval,
    quantile,
    quantile_interval,
    quantiles,
)
from harness.stats.ranking import RankInterval, TukeyTest, rank
from harness.stats.split import Split, long_run_variance, plan_split
from harness.stats.unpaired import compare_unpaired

__all__ = [
    "Comparison",
    "Interval",
    "Quantile",
    "RankInterval",
    "Screen",
    "Split",
    "StatsError",
    "TukeyTest",
    "across_sweep",
    "benjamini_hochberg",
    "change_points",
    "compare",
    "compare_unpaired",
    "effective_sample_size",
    "finished",
    "interval",
    "least_effective_samples",
    "linear_interval",
    "long_run_variance",
    "minimum_detectable_effect",
    "next_look",
    "night_label",
    "pareto",
    "plan_replicas",
    "plan_split",
    "process_quantile_interval",
    "quantile",
    "quantile_interval",
    "quantiles",
    "rank",
    "screen",
    "undecided",
    "within_run_interval",
]
