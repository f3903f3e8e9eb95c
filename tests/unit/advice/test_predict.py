"""Predictions of what was not run, held by leaving measured trials out."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest

from harness.advice.predict import LEAST_TRIALS, Predictor, point_of, unmeasured
from harness.system.errors import InputError

MODELS = {"mlp": 1e6, "gpt": 3e7, "resnet": 4e8}
PRECISIONS = {"fp32": 1.0, "bf16": 1.7}


def trial(name, batch, precision, *, noise=1.0):
    """A trial on a planted machine: a fixed time for each step, and a rate that the precision raises."""
    flops = MODELS[name] * batch
    seconds = (2e-4 + flops / (5e10 * PRECISIONS[precision])) * noise

    def estimate(value, unit=""):
        return SimpleNamespace(value=value, unit=unit, validity="valid")

    return SimpleNamespace(
        machine_id="m",
        config={
            "workload": {"name": name, "size": "tiny", "mode": "train", "batch": batch},
            "precision": {"name": precision},
        },
        estimates={
            "flops.step": estimate(flops),
            "iteration.mean": estimate(seconds),
            "throughput.samples": estimate(batch / seconds, "samples/s"),
        },
    )


def sweep(rng, spread=0.03):
    """Every combination but one, each with noise."""
    cells = itertools.product(MODELS, (1, 2, 4, 8, 16, 32, 64, 128, 256, 512), PRECISIONS)
    return [
        trial(*cell, noise=math.exp(spread * rng.standard_normal()))
        for cell in cells
        if cell != ("gpt", 16, "bf16")
    ]


def test_a_cell_that_was_not_run_is_predicted_within_its_interval():
    """Its rate is known from the planted machine; the interval holds it, and it is the one that is listed."""
    predictor = Predictor(sweep(np.random.default_rng(0)))
    point, rate = point_of(trial("gpt", 16, "bf16"))
    found = predictor.predict(point)
    assert found.value == pytest.approx(rate, rel=0.1)
    assert found.low < rate < found.high
    assert [p.point.settings for p in unmeasured(predictor)] == [point.settings]


def test_leaving_one_out_tells_the_error_and_the_coverage():
    """Over ten planted sweeps of 59 trials: errors near the noise, and intervals that hold nine in ten."""
    found = [Predictor(sweep(np.random.default_rng(seed))).leave_one_out() for seed in range(10)]
    assert max(f.median_error for f in found) < 0.08
    assert 0.85 <= np.mean([f.coverage for f in found]) <= 0.95
    assert found[0].trials == 59


def test_too_few_trials_are_no_ground_to_predict_from():
    """Nothing is guessed from nine."""
    few = sweep(np.random.default_rng(0))[: LEAST_TRIALS - 1]
    with pytest.raises(InputError, match="9 trials can be learnt from, 10 are needed"):
        Predictor(few)
