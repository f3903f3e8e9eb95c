"""What the sampler saw, as one table over time, and what the device's states say in a few numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.energy.estimation.estimate import Span
from harness.energy.sampling.trace import Samples
from harness.energy.sensors.base import POWERS

SLOWDOWNS = 0x8 | 0x20 | 0x40 | 0x80
"""Clock event reasons that are slowdowns: by hardware, by heat (software, hardware), by the power brake."""


def states(trace: Sequence[Samples], span: Span) -> dict[str, Any]:
    """Return each device's states over the span: ranges, shares of event reasons, and whether it was slowed.

    Returns:
        By sensor id: for temperatures, clocks and utilisation `first`, `last`, `least`, `most`; for events
        `share` by reason, and `slowed`, the share of samples with a slowdown. Empty without such sensors.
    """
    from harness.energy.sensors.nvml_facts import event_reasons

    found: dict[str, Any] = {}
    for samples in trace:
        values = samples.between(*span).values()
        if samples.sensor.kind in POWERS or not values:
            continue
        if samples.sensor.kind == "events":
            bits = [int(v) for v in values]
            reasons = sorted({name for b in set(bits) for name in event_reasons(b)})
            share = {r: sum(r in event_reasons(b) for b in bits) / len(bits) for r in reasons}
            slowed = sum(bool(b & SLOWDOWNS) for b in bits) / len(bits)
            found[samples.sensor.id] = {"share": share, "slowed": slowed}
        else:
            found[samples.sensor.id] = {
                "first": values[0], "last": values[-1], "least": min(values), "most": max(values),
            }  # fmt: skip
    return found


def slowed(found: dict[str, Any]) -> bool | None:
    """Say whether heat or hardware slowed a device down; None where no device reports it."""
    shares = [state["slowed"] for state in found.values() if "slowed" in state]
    return any(share > 0 for share in shares) if shares else None


def columns(trace: Sequence[Samples], iterations: tuple[Any, int] | None = None) -> dict[str, Any]:
    """Return the trace as columns of one table, in order of time.

    Args:
        trace: Of one window.
        iterations: Edges of consecutive iterations in ns on the same clock, shape (n + 1,), and how many
            iterations lie between two edges.
    """
    import numpy as np

    parts = [
        (
            np.asarray(s.t0_ns), np.asarray(s.t1_ns),
            np.where(np.asarray(s.status) == 0, np.asarray(s.value), np.nan),
            np.asarray(s.status), s.sensor.id, s.sensor.unit,
        )
        for s in trace
    ]  # fmt: skip
    if iterations is not None:
        edges, group = iterations
        count = np.full(len(edges) - 1, float(group))
        parts.append((edges[:-1], edges[1:], count, np.zeros(len(count)), "iteration", "1"))
    lengths = [len(part[0]) for part in parts]
    table = {
        "t0_ns": np.concatenate([p[0] for p in parts]).astype(np.int64),
        "t1_ns": np.concatenate([p[1] for p in parts]).astype(np.int64),
        "series": np.repeat(np.array([p[4] for p in parts], dtype=object), lengths),
        "value": np.concatenate([p[2] for p in parts]).astype(np.float64),
        "unit": np.repeat(np.array([p[5] for p in parts], dtype=object), lengths),
        "status": np.concatenate([p[3] for p in parts]).astype(np.int32),
    }
    order = np.argsort(table["t0_ns"], kind="stable")
    return {name: column[order] for name, column in table.items()}
