"""A few simulated years; `make bench-gate` runs the many that the bounds are read from."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="module")
def histories():
    """Return the benchmark's own simulation."""
    path = Path(__file__).parents[3] / "benchmarks" / "gate_bench" / "histories.py"
    spec = importlib.util.spec_from_file_location("gate_histories", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["gate_histories"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["gate_histories"]


def _years(histories, kind: str, noise: float, years: int, size: float = 0.0):
    for year in range(years):
        rng = np.random.default_rng([5, year])
        truth = histories.world(rng, noise, kind, size)
        histories.live(rng, truth)
        yield truth


@pytest.mark.parametrize("kind", ["outliers", "steps", "drift"])
@pytest.mark.parametrize("noise", [0.003, 0.01])
def test_what_is_not_the_code_is_not_blamed_on_it(histories, kind: str, noise: float) -> None:
    """Spikes, steps and drift of the environment raise no alarm."""
    assert sum(histories.false_alarms(t) for t in _years(histories, kind, noise, 2)) == 0


@pytest.mark.parametrize("noise", [0.003, 0.01])
def test_a_regression_of_five_percent_is_found_in_days(histories, noise: float) -> None:
    """It is called within fourteen nights, and not before it is there."""
    for truth in _years(histories, "regression", noise, 3, 0.05):
        assert histories.found_within(truth, 14)
        first = next(i for i, judged in enumerate(truth.judged) if judged.label == "regression")
        assert truth.code[first] > 0
