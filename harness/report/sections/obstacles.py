"""Why a trial cannot be ranked."""

from __future__ import annotations

from harness.records.results import Estimate
from harness.report.trials import Trial


def obstacle(trial: Trial, estimate: Estimate | None) -> str:
    """Return why this trial cannot be ranked; empty when it can."""
    if estimate is None or estimate.value is None:
        return "no value"
    if estimate.validity == "invalid":
        return "invalid"
    if trial.within_run_only:
        return "within-run only"
    if estimate.low is None or estimate.high is None:
        return "no interval"
    return ""
