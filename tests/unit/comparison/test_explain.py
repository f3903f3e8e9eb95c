"""Planted causes are named first, and the factors multiply to the ratio."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

from harness.comparison.explain import explain
from harness.comparison.factors import UNEXPLAINED

NOISE = (0.999, 1.0, 1.001, 1.0)
OPERATORS = {"gemm": 0.7, "softmax": 0.3}


def trial(seconds, idle=0.1, operators=None, roofline=None, **evidence):
    """A trial that takes so long per item, with a profile in its first replica."""
    held = OPERATORS if operators is None else operators
    profile = {
        "busy_share": 1 - idle, "idle_share": idle, "copy_share": 0.0, "exposed_communication_share": 0.0,
        "input_share": 0.0, "gap_median_ns": 1e4 * idle,
        "operators": [{"name": n, "kind": "compute", "share": s} for n, s in held.items()],
    }  # fmt: skip

    def record(i):
        metrics = {"throughput.tokens": SimpleNamespace(value=NOISE[i] / seconds)}
        shown = {"profile": profile} if i == 0 and idle is not None else {}
        return SimpleNamespace(
            status="ok", replica=i, metric=metrics.get, code={},
            evidence={**shown, **evidence, **({"roofline": roofline} if roofline else {})},
        )  # fmt: skip

    records = tuple(record(i) for i in range(4))
    return SimpleNamespace(
        label="x",
        estimates={},
        records=records,
        values=lambda m: tuple(r.metric(m).value for r in records if r.metric(m)),
    )


def roof(bandwidth, memory=0.8):
    """A place under measured ceilings."""
    return {
        "flop_s": 1e12,
        "bandwidth_b_s": bandwidth,
        "memory_share": memory,
        "compute_share": 1 - memory,
    }


# By cause: A, B and the factor to expect. B is A with one thing worse.
PLANTED = {
    "clock": (
        trial(1.0, clock_mhz=1980.0),
        trial(0.1 + 0.9 / 0.9, 0.1 / 1.1, clock_mhz=1782.0),
        1.1,
    ),
    "launch gaps": (trial(1.0, 0.2), trial(1.2, 0.4 / 1.2), 1.2),
    "other kernels": (
        trial(1.0, 0.1, {"gemm": 0.9, "fused": 0.1}),
        trial(0.1 + 0.81 + 0.49, 0.1 / 1.4, {"gemm": 0.81 / 1.3, "naive": 0.49 / 1.3}),
        1.4,
    ),
    "bandwidth": (trial(1.0, 0.1, roofline=roof(2e12)), trial(1.9, 0.1 / 1.9, roofline=roof(1e12)), 1.9),
    "busy host": (trial(1.0, steal_ratio=0.0), trial(1.25, steal_ratio=0.2), 1.25),
}


@pytest.mark.parametrize("cause", PLANTED)
def test_the_planted_cause_is_named_first(cause):
    """It alone explains the ratio; everything else is one."""
    a, b, expected = PLANTED[cause]
    found = explain(a, b)
    assert found.ratio == pytest.approx(expected)
    assert found.first.name == cause
    assert found.first.value == pytest.approx(expected, rel=1e-6)
    for other in found.factors[1:]:
        assert other.value == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("cause", PLANTED)
def test_factors_multiply_to_the_ratio(cause):
    """To 1e-9, in both directions, with the noise of the replicas."""
    a, b, _ = PLANTED[cause]
    for one, other in ((a, b), (b, a)):
        found = explain(one, other)
        assert math.prod(f.value for f in found.factors) == pytest.approx(found.ratio, rel=1e-9)


def test_mixed_causes_are_told_apart():
    """Doubled gaps and a lower clock at once: both are named, and the product holds."""
    a = trial(1.0, 0.2, clock_mhz=2000.0)
    b = trial(0.4 + 0.8 / 0.9, 0.4 / (0.4 + 0.8 / 0.9), clock_mhz=1800.0)
    found = explain(a, b)
    assert [f.name for f in found.factors[:2]] == ["launch gaps", "clock"]
    assert math.prod(f.value for f in found.factors) == pytest.approx(found.ratio, rel=1e-9)
    assert found.factors[2].value == pytest.approx(1.0, abs=1e-9)


def test_without_evidence_no_cause_is_named():
    """The whole ratio is unexplained, and what evidence would explain more is said."""
    a, b = trial(1.0), trial(1.3)
    for side in (a, b):
        side.records[0].evidence.clear()
    found = explain(a, b)
    assert [f.name for f in found.factors] == [UNEXPLAINED]
    assert found.first.value == pytest.approx(1.3)
    assert any("profile" in m for m in found.missing)


def test_a_zero_part_on_one_side_is_exact():
    """Waits that only B has are B's."""
    found = explain(trial(1.0, 0.0), trial(1.5, 0.5 / 1.5))
    assert found.first.name == "launch gaps"
    assert found.first.value == pytest.approx(1.5)


def test_intervals_come_from_the_replicas():
    """The steal that differs from replica to replica has an interval around it."""
    a, b = trial(1.0, steal_ratio=0.0), trial(1.25)
    for record, share in zip(b.records, (0.15, 0.2, 0.25, 0.2), strict=True):
        record.evidence["steal_ratio"] = share
    host = next(f for f in explain(a, b).factors if f.name == "busy host")
    assert host.low < host.value < host.high
