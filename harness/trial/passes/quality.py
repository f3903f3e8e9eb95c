"""What a trial's compression or precision costs in quality, beside what it gains in speed."""

from __future__ import annotations

import math
from typing import Any

from harness.config.models import Config
from harness.records.errors import kind_and_words
from harness.records.evidence import declared
from harness.records.metrics import make
from harness.records.schema import Facts, Metric
from workloads.base import UnsupportedError, Workload
from workloads.engine.setup import Setup
from workloads.transform import NONE

SQNR, AGREEMENT = "quality.sqnr", "quality.agreement"
PERPLEXITY, REFERENCE = "quality.perplexity", "quality.perplexity.fp32"


def wanted(config: Config) -> bool:
    """Tell whether a trial's model could differ from its fp32 reference."""
    return config.compress.name != NONE or config.precision.name != "fp32"


def metrics(workload: Workload, setup: Setup, parameters: int) -> tuple[list[Metric], Facts]:
    """Compare the trial's model with its fp32 eager reference, and say whose weights they have.

    They are `trained` ones, `random` ones, or the user's `own`.
    A comparison that fails costs its own metrics and nothing else: what was measured before it stands.

    Args:
        workload: The trial's.
        setup: The trial's.
        parameters: Of the model that was measured; one that is smaller or bigger is not compared with it.
    """
    from workloads.engine import quality

    if setup.device.startswith("xla"):
        return _unavailable("quality is measured by torch: ask for it on cpu or cuda")
    if setup.ranks.world > 1:
        return _unavailable("quality is measured in one process: ask for it with parallel=none")
    try:
        found = quality.measure(workload, setup)
    except UnsupportedError as error:
        return _unavailable(str(error))
    except Exception as error:  # noqa: BLE001 - whatever a model raises, out of memory included
        return _unavailable(kind_and_words(error))
    if found.parameters != parameters:
        return _unavailable(
            f"the trained weights keep {found.parameters:,} parameters, those of this trial {parameters:,}: "
            "its quality would be that of another model"
        )
    made = [_sqnr(found.sqnr_db)]
    rest = {AGREEMENT: found.agreement, PERPLEXITY: found.perplexity, REFERENCE: found.reference_perplexity}
    for metric_id, value in rest.items():
        if value is not None and math.isfinite(value):
            made.append(make(metric_id, value))
        elif value is not None:
            made.append(make(metric_id, None, reason="the outputs are not finite"))
    own = "own" if workload.spec.name == "user" else "random"
    return made, declared(__name__, {"quality": {"weights": "trained" if found.trained else own}})


def _sqnr(decibels: float) -> Metric:
    if math.isfinite(decibels):
        return make(SQNR, decibels)
    equal = decibels == math.inf
    return make(SQNR, None, reason="no output differs" if equal else "the outputs are not finite")


def _unavailable(reason: str) -> tuple[list[Metric], dict[str, Any]]:
    return [make(SQNR, None, reason=reason)], declared(__name__, {"quality": {"reason": reason}})
