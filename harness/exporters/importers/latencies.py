"""What the tables of the load generators share: a latency's rows, its mean and three quantiles."""

from __future__ import annotations

import re

from harness.exporters.importers.definitions import Definition

QUANTILES = ("p50", "p90", "p99")


def latency(
    name: str, meaning: str, ours: str | None = None, *, mean: str = "avg", unit: str = "ms"
) -> tuple[Definition, ...]:
    """Return the rows of a latency of requests, `NAME.STATISTIC`; without a like of ours they are one row.

    Args:
        name: The tool's.
        meaning: From when to when, in words.
        ours: Our metric of the mean, whose quantiles are `.p50`, `.p90` and `.p99`.
        mean: The tool's word for the mean.
        unit: The tool's.
    """
    scale = {"ms": 1e-3, "s": 1.0}[unit]
    phase = "a request"
    if ours is None:
        statistics = "|".join((mean, *QUANTILES))
        pattern = rf"{re.escape(name)}\.(?:{statistics})"
        return (Definition(pattern, f"{name}.{mean}", unit, "as named", phase, meaning, "s", scale),)
    rows = [
        Definition(
            re.escape(f"{name}.{mean}"), f"{name}.{mean}", unit, "mean", phase, meaning, "s", scale, ours=ours
        )
    ]
    rows += [
        Definition(
            re.escape(f"{name}.{q}"), f"{name}.{q}", unit, q, phase, meaning, "s", scale, ours=f"{ours}.{q}"
        )
        for q in QUANTILES
    ]
    return tuple(rows)


def rate(name: str, unit: str, meaning: str, kept: str = "") -> Definition:
    """Return the row of a rate over a whole run, which no rate of ours is: ours leave out start and end."""
    return Definition(
        re.escape(name), name, unit, "total / total time", "the whole run", meaning, kept,
        direction="higher",
    )  # fmt: skip
