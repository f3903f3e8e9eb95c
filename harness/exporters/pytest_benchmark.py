"""pytest-benchmark's JSON: a benchmark a trial, a round a process, so that its `compare` reads it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

from harness.exporters.common import names, started_at, write_json
from harness.records.results import TrialResult, config_columns

VERSION = "5.1.0"
"""The version of pytest-benchmark whose layout this is."""
_TIMES = ("iteration.mean.clean", "iteration.mean")


def export(results: Sequence[TrialResult], path: Path) -> list[Path]:
    """Write one file; trials without an iteration time are left out, for the format has no failures."""
    machine = results[0].records[0].machine if results else {}
    code = results[0].records[0].code if results else {}
    benchmarks = [
        _benchmark(result, name, times)
        for result, name in zip(results, names(results), strict=True)
        if (times := _times(result))
    ]
    return [
        write_json(
            path,
            {
                "machine_info": {
                    "node": None,
                    "machine": machine.get("host_processor_architecture"),
                    "python_version": str(code.get("python", "")).rpartition(" ")[2],
                    "cpu": {"brand_raw": machine.get("host_processor_model_name")},
                    "joulemark": machine,
                },
                "commit_info": {"id": code.get("git_commit"), "dirty": code.get("git_dirty")},
                "benchmarks": benchmarks,
                "datetime": started_at(results),
                "version": VERSION,
            },
        )
    ]


def _times(result: TrialResult) -> list[float]:
    """Return the iteration time of every good process, of the kind that all of them have."""
    good = result.replicas()
    for name in _TIMES:
        found = [m.value for r in good if (m := r.metric(name)) is not None and m.value is not None]
        if found and len(found) == len(good) and result.estimates[name].validity != "invalid":
            return found
    return []


def _benchmark(result: TrialResult, name: str, times: list[float]) -> dict[str, Any]:
    return {
        "group": result.sweep,
        "name": name,
        "fullname": f"{result.sweep}::{name}",
        "params": config_columns(result.config),
        "param": name,
        "extra_info": {
            "joulemark": {
                "trial_id": result.trial_id,
                "machine_id": result.machine_id,
                "code_id": result.code_id,
                "metrics": {k: e._asdict() for k, e in result.estimates.items()},
            }
        },
        "options": {
            "disable_gc": True,
            "timer": "device_time",
            "min_rounds": len(times),
            "max_time": None,
            "min_time": None,
            "warmup": True,
        },
        "stats": statistics(times),
    }


def statistics(times: list[float]) -> dict[str, Any]:
    """Return pytest-benchmark's statistics of a series, by its definitions.

    Quartiles lie at n·q - 1/2, counted from 0 (Hazen); outliers beyond one standard deviation of the mean,
    and beyond 1.5 interquartile ranges of the quartiles.
    """
    import numpy as np

    data = sorted(times)
    mean = fmean(data)
    spread = stdev(data) if len(data) > 1 else 0.0
    q1, q3 = (float(q) for q in np.quantile(data, [0.25, 0.75], method="hazen"))
    iqr = q3 - q1
    low, high = q1 - 1.5 * iqr, q3 + 1.5 * iqr
    by_spread = sum(t < mean - spread or t > mean + spread for t in data)
    by_iqr = sum(t < low or t > high for t in data)
    return {
        "min": data[0],
        "max": data[-1],
        "mean": mean,
        "stddev": spread,
        "rounds": len(data),
        "median": median(data),
        "iqr": iqr,
        "q1": q1,
        "q3": q3,
        "iqr_outliers": by_iqr,
        "stddev_outliers": by_spread,
        "outliers": f"{by_spread};{by_iqr}",
        "ld15iqr": min(t for t in data if t >= low),
        "hd15iqr": max(t for t in data if t <= high),
        "ops": 1 / mean,
        "total": sum(data),
        "data": times,
        "iterations": 1,
    }
