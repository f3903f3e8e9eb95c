"""A results folder with a history of nights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.records.metrics import make
from harness.records.schema import Record
from harness.records.store import Store, open_store

MakeNight = Callable[..., str]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return an empty store."""
    return open_store(tmp_path / "results")


@pytest.fixture
def add_night(store: Store) -> MakeNight:
    """Return a function that writes night `number`, one record, and returns its name."""

    def add(number: int, value: float | None, metric: str = "iteration.mean", **fields: Any) -> str:
        name = f"nightly-{number:03d}"
        filled: dict[str, Any] = {
            "sweep": name,
            "label": "gpt tiny train",
            "work_id": "a" * 32,
            "trial_id": "b" * 32,
            "machine_id": "c" * 32,
            "code_id": f"{number:032x}",
            "replica": 0,
            "attempt": 0,
            "status": "ok",
            "phase": "done",
            "started_at": f"2026-01-01T00:00:00.{number:03d}Z",
            "config": {"workload": {"name": "gpt"}, "device": {"kind": "cpu"}},
            "machine": {},
            "code": {"git_commit": f"{number:040x}"},
            "worker": {"kind": "warm"},
            "metrics": (make(metric, value, reason="no sensor" if value is None else None),),
        }
        store.write(Record(**(filled | fields)))
        return name

    return add
