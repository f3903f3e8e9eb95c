"""Records with known content."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.records.metrics import make
from harness.records.schema import Record
from harness.records.store import Store, open_store
from workloads.kernels import library

MakeRecord = Callable[..., Record]


@pytest.fixture(autouse=True)
def _kernels_stay_in_their_test() -> Iterator[None]:
    """A trial in this process leaves it compiling C; the next test starts with torch's own kernels."""
    yield
    library.build_with(None)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return an empty store."""
    return open_store(tmp_path / "results")


@pytest.fixture
def make_record() -> MakeRecord:
    """Return a function that makes an ok record; metrics are given as values by id, the rest as fields."""

    def make_one(metrics: dict[str, float | None] | None = None, **fields: Any) -> Record:
        filled: dict[str, Any] = {
            "sweep": "demo",
            "label": "gpt tiny train fp32",
            "work_id": "a" * 64,
            "trial_id": "b" * 64,
            "machine_id": "c" * 64,
            "code_id": "d" * 64,
            "replica": 0,
            "attempt": 0,
            "status": "ok",
            "phase": "done",
            "started_at": "2025-01-01T00:00:00Z",
            "config": {
                "workload": {"name": "gpt", "mode": "train", "size": "tiny"},
                "device": {"kind": "cpu"},
                "measure": {"replicas": 3, "target_cpu": 0.05, "target_accelerator": 0.01},
            },
            "machine": {"host_processors_per_node": 1},
            "code": {"torch": "2.13.0"},
            "worker": {"kind": "warm"},
            "metrics": tuple(
                make(i, v, reason="no sensor" if v is None else None) for i, v in (metrics or {}).items()
            ),
        }
        return Record(**(filled | fields))

    return make_one
