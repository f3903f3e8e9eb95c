"""A sample of the hostile inputs of `make bench-hostile`: no traceback, no escape, nothing outside."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.hostile import cases, run_case


def test_there_are_more_than_five_hundred() -> None:
    """They are products of tables."""
    assert len(list(cases())) > 500


@pytest.mark.parametrize(
    ("file", "field", "kind"),
    [
        ("record", "config.workload", "null"),
        ("record", "metrics.0.unit", "controls"),
        ("record", "label", "controls"),
        ("record", "metrics.0.n", "of 400 digits"),
        ("record", "started_at", "text"),
        ("plan", "trials.0", "null"),
        ("plan", "trials.0.replicas", "of 400 digits"),
    ],
)
def test_a_hostile_input_ends_nothing(file: str, field: str, kind: str) -> None:
    """Each went wrong once, or would without the check at the boundary."""
    assert run_case(file, field, kind) == []
