"""Predict the throughput of configurations that were not run, with an interval held by leave-one-out.

What is modelled is the logarithm of attained FLOP/s, the height in the roofline: a Gaussian process over the
settings and the FLOPs of a step, whose hyperparameters have the greatest leave-one-out likelihood (Rasmussen
and Williams, 2006, eq. 5.10 to 5.12). Intervals are scaled until the measured trials, each left out, lie in
them (conformal). A prediction never enters a ranking of measured trials.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.records.headline import HEADLINES
from harness.records.results import TrialResult
from harness.system.errors import InputError

LEAST_TRIALS = 10
LEVEL = 0.9
MOST_PREDICTED = 200
_GRID = ((0.2, 0.6, 1.5), (0.7, 1.5, 4.0), (1e-3, 1e-2, 5e-2))
"""Of the distance of a differing setting, the length over ln FLOPs, and the noise over the variance."""
SETTINGS = ("precision", "compress", "parallel", "optimize")

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Point:
    """What the model knows of a configuration."""

    settings: tuple[str, ...]
    """Machine, workload, size, mode and every other group, as text."""
    ln_flops: float
    """Of a step."""
    flops_per_item: float
    unit: str


@dataclass(frozen=True, slots=True)
class Prediction:
    """A throughput that nobody measured."""

    point: Point
    value: float
    low: float
    high: float
    level: float


@dataclass(frozen=True, slots=True)
class LeftOut:
    """How well measured trials are predicted from the others."""

    median_error: float
    """Of |predicted / measured - 1|."""
    coverage: float
    """Share of the trials inside their interval."""
    trials: int


class Predictor:
    """Fitted to measured trials.

    Raises:
        InputError: fewer than `LEAST_TRIALS` have a throughput and counted FLOPs.
    """

    def __init__(self, results: Sequence[TrialResult]) -> None:
        pairs = [pair for r in results if (pair := point_of(r)) is not None]
        if len(pairs) < LEAST_TRIALS:
            raise InputError(f"--predict: {len(pairs)} trials can be learnt from, {LEAST_TRIALS} are needed")
        self.points = [p for p, _ in pairs]
        self._y = np.log([rate * p.flops_per_item for p, rate in pairs])
        self._mean = float(self._y.mean())
        self._choose()

    def predict(self, point: Point) -> Prediction:
        """Return the throughput of a configuration with its interval."""
        across = _kernel([point], self.points, *self._chosen[:2])[0]
        centred = self._inverse @ (self._y - self._mean)
        centre = self._mean + float(across @ centred)
        spread = self._scale * (1 + self._chosen[2] - float(across @ self._inverse @ across))
        half = self._reach * math.sqrt(max(spread, 1e-12))
        low, value, high = (
            math.exp(v) / point.flops_per_item for v in (centre - half, centre, centre + half)
        )
        return Prediction(point, value, low, high, LEVEL)

    def leave_one_out(self) -> LeftOut:
        """Predict each measured trial from all others; its interval is scaled by the others' errors alone."""
        errors, spreads = self._errors, np.sqrt(self._spreads)
        relative = np.abs(np.expm1(errors))
        z = np.abs(errors) / spreads
        inside = [z[i] <= _reach(np.delete(z, i)) for i in range(len(z))]
        return LeftOut(float(np.median(relative)), float(np.mean(inside)), len(z))

    def _choose(self) -> None:
        best = -math.inf
        for chosen in itertools.product(*_GRID):
            kernel = _kernel(self.points, self.points, *chosen[:2]) + chosen[2] * np.eye(len(self.points))
            inverse = np.linalg.inv(kernel)
            alpha = inverse @ (self._y - self._mean)
            diagonal = np.diag(inverse)
            errors = alpha / diagonal
            scale = float(np.mean(errors**2 * diagonal))
            spreads = scale / diagonal
            likelihood = -float(np.sum(0.5 * np.log(spreads) + errors**2 / (2 * spreads)))
            if likelihood > best:
                best = likelihood
                self._chosen, self._inverse, self._scale = chosen, inverse, scale
                self._errors, self._spreads = -errors, spreads
        self._reach = _reach(np.abs(self._errors) / np.sqrt(self._spreads))


def point_of(result: TrialResult) -> tuple[Point, float] | None:
    """Return what the model knows of a trial, and its throughput; None without counted FLOPs."""
    flops = result.estimates.get("flops.step")
    iteration = result.estimates.get("iteration.mean")
    rate = next((e for m in HEADLINES if (e := result.estimates.get(m)) is not None and e.value), None)
    if not (flops and flops.value and iteration and iteration.value and rate and rate.value):
        return None
    if "invalid" in {rate.validity, iteration.validity}:
        return None
    per_item = flops.value / (rate.value * iteration.value)
    clean = result.estimates.get("iteration.mean.clean")
    # Where it is known what an undisturbed iteration takes, a neighbour's noise teaches nothing.
    undisturbed = iteration.value / clean.value if clean is not None and clean.value else 1.0
    workload = result.config.get("workload", {})
    named = [result.machine_id, *(str(workload.get(k)) for k in ("name", "size", "mode"))]
    groups = [json.dumps(result.config.get(k), sort_keys=True, default=str) for k in SETTINGS]
    point = Point((*named, *groups), math.log(flops.value), per_item, rate.unit)
    return point, float(rate.value * undisturbed)


def unmeasured(predictor: Predictor) -> list[Prediction]:
    """Predict every combination of measured settings that was not run, on known machines and work."""
    held = {(p.settings, round(p.ln_flops, 6)) for p in predictor.points}
    choices = [sorted({p.settings[i] for p in predictor.points}) for i in range(4, 4 + len(SETTINGS))]
    work: dict[tuple[Any, ...], Point] = {}
    for p in predictor.points:
        work.setdefault((p.settings[:4], round(p.ln_flops, 6)), p)
    found = []
    for p in work.values():
        for combination in itertools.product(*choices):
            settings = (*p.settings[:4], *combination)
            if (settings, round(p.ln_flops, 6)) not in held:
                found.append(predictor.predict(Point(settings, p.ln_flops, p.flops_per_item, p.unit)))
    return sorted(found, key=lambda f: -f.value)[:MOST_PREDICTED]


def _kernel(a: Sequence[Point], b: Sequence[Point], distance: float, length: float) -> Floats:
    """Return how alike two configurations are: by all settings together, and by each alone; 1 is equal."""
    same = np.array([[[x == y for x, y in zip(p.settings, q.settings, strict=True)] for q in b] for p in a])
    apart = np.array([[p.ln_flops - q.ln_flops for q in b] for p in a])
    near = np.exp(-((apart / length) ** 2) / 2)
    together = np.exp(-distance * (~same).sum(axis=2))
    kernel: Floats = near * (0.5 * together + 0.5 * same.mean(axis=2))
    return kernel


def _reach(z: Floats) -> float:
    """Return the standardised error that a share `LEVEL` of new ones stays within."""
    rank = min(math.ceil(LEVEL * (len(z) + 1)), len(z))
    return float(np.sort(z)[rank - 1])


def described(predictor: Predictor, asked: Sequence[TrialResult]) -> dict[str, Any]:
    """Return predictions of what was not run, and how well the model does, as plain data.

    Args:
        predictor: Fitted to all trials that are known.
        asked: Trials of the work that predictions are wanted of.
    """
    work = {
        point.settings[1:4] for r in asked for point, _ in [point_of(r) or (None, 0)] if point is not None
    }
    held = predictor.leave_one_out()
    return {
        "median_error": held.median_error,
        "coverage": held.coverage,
        "trials": held.trials,
        "level": LEVEL,
        "cells": [
            {
                "label": " ".join([*p.point.settings[1:4], *_names(p.point)]),
                "machine_id": p.point.settings[0],
                "step_flops": math.exp(p.point.ln_flops),
                "value": p.value,
                "low": p.low,
                "high": p.high,
                "unit": p.point.unit,
            }
            for p in unmeasured(predictor)
            if p.point.settings[1:4] in work
        ],
    }


def _names(point: Point) -> list[str]:
    """Return the names of the settings that are not plain."""
    held = [json.loads(text) for text in point.settings[4:]]
    names = [str(group.get("name")) for group in held if isinstance(group, dict)]
    return [name for name in names if name not in {"none", "eager", "None"}]
