"""Planted candidates: configurations whose truth is known."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from harness.advice.candidates import Candidate, draw
from harness.cost import Basis, Input
from harness.records.metrics import METRICS

PLACES = (-1.0, -0.5, 0.0, 0.0, 0.5, 1.0)


def replicated(values, spread=0.002, logs=None, replicas=6):
    """A result whose replicas scatter about the given values by a relative spread."""
    logs = PLACES[:replicas] if logs is None else logs

    def record(i):
        held = {m: SimpleNamespace(value=v * math.exp(spread * logs[i])) for m, v in values.items()}
        return SimpleNamespace(status="ok", replica=i, metric=held.get)

    estimates = {
        m: SimpleNamespace(
            value=v * math.exp(spread * float(np.mean(logs))), low=None, high=None, unit=METRICS[m].unit,
            validity="valid", reasons=(),
        )
        for m, v in values.items()
    }  # fmt: skip
    return SimpleNamespace(
        records=tuple(record(i) for i in range(len(logs))), estimates=estimates, replicas_ok=len(logs),
        machine_id="m", trial_id="t", config={"workload": {}},
    )  # fmt: skip


def planted(
    name, values, *, capex=None, hourly=None, seed=0, devices=1, batch=None, spread=0.002, draws=4000, **how
):
    """A candidate with its draws, and with a price where one is given."""
    result = replicated(values, spread, **how)
    result.config["workload"]["batch"] = batch
    estimates = {m: e.value for m, e in result.estimates.items()}
    drawn, _ = draw(result, list(values), np.random.default_rng([seed, len(name)]), draws)
    basis = None
    if capex is not None or hourly is not None:
        rate = values["throughput.tokens"]
        site = {"utilisation": 0.5, "interest": 0.0, "years": 4.0}
        mine = {"capex": capex, "resale": 0.0} if capex is not None else {"rent_per_used_hour": hourly}
        inputs = {n: Input(n, "", v, v, v, "planted", "site", "site") for n, v in site.items()}
        inputs |= {n: Input(n, "", v, v, v, "planted", "device", name) for n, v in mine.items()}
        inputs["throughput"] = Input("throughput", "", rate, rate, rate, "planted", "measured", name)
        basis = Basis("token", 1e6, "EUR", inputs, {}, "not planted")
    return Candidate(
        name, "", result, devices, estimates, drawn, basis, "no price", replicated=result.replicas_ok > 1
    )


@pytest.fixture
def plant():
    """The factory of planted candidates."""
    return planted
