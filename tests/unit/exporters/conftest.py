"""A sweep of records with known content: two good trials, one out of memory, one refused."""

from __future__ import annotations

from typing import Any

import pytest

from harness.records.estimates import trial_results
from harness.records.metrics import make
from harness.records.results import TrialResult
from harness.records.schema import Record

MACHINE = {
    "number_of_nodes": 1,
    "host_processor_architecture": "x86_64",
    "host_processor_model_name": "Example 9 CPU",
    "host_processors_per_node": 2,
    "host_memory_capacity": "64 GiB",
    "accelerators_per_node": 2,
    "accelerator_model_name": "Example A1",
    "accelerator_memory_capacity": [80 * 2**30, 80 * 2**30],
    "operating_system": "Example OS 1",
}


def record(
    label: str, replica: int = 0, metrics: dict[str, float | None] | None = None, **fields: Any
) -> Record:
    """Make one record; metrics by id, the rest as fields."""
    filled: dict[str, Any] = {
        "sweep": "night",
        "label": label,
        "work_id": f"{abs(hash(label)) % 16**16:016x}",
        "trial_id": label.encode().hex().ljust(32, "0")[:32],
        "machine_id": "c" * 32,
        "code_id": "d" * 32,
        "replica": replica,
        "attempt": 0,
        "status": "ok",
        "phase": "done",
        "started_at": f"2026-01-01T00:00:0{replica}Z",
        "wall_s": 2.5,
        "config": {
            "workload": {"name": "gpt", "mode": "train", "size": "tiny"},
            "precision": {"name": "fp32"},
            "device": {"kind": "cpu"},
            "measure": {"replicas": 3, "target_cpu": 0.5, "target_accelerator": 0.01},
        },
        "machine": MACHINE,
        "code": {
            "torch": "2.13.0",
            "python": "CPython 3.11.7",
            "framework": "PyTorch 2.13.0",
            "git_commit": "e" * 40,
        },
        "worker": {"kind": "warm"},
        "series": {"loss": (5.5, 5.25, 5.0)},
        "metrics": tuple(
            make(i, v, reason="no sensor" if v is None else None) for i, v in (metrics or {}).items()
        ),
    }
    return Record(**(filled | fields))


@pytest.fixture
def times() -> list[float]:
    """Iteration times of the good trial's processes, in seconds."""
    return [0.010, 0.011, 0.0105]


@pytest.fixture
def results(times: list[float]) -> list[TrialResult]:
    """Derive the sweep's results."""
    good = [
        record(
            "gpt tiny train",
            i,
            {
                "throughput.tokens": 64 / t,
                "iteration.mean": t,
                "loss.last": 5.0,
                "energy.token": None,
                "memory.peak_rss": 2.0**30,
            },
        )
        for i, t in enumerate(times)
    ]
    odd = '=bad "label" <&>\n\x1b[31m | name'
    return trial_results(
        [
            *good,
            record(odd, metrics={"iteration.mean": 0.25}, evidence={"output_ok": False}),
            record("gpt large train", status="oom", phase="build", reason="out of memory", log_tail="a\x00b"),
            record("bert tiny train", status="refused", phase="plan", reason="tf32 needs CUDA"),
        ]
    )
