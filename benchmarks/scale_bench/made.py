"""Records of a made sweep: three replicas each of many trials, with the fields of one real record."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

REPLICAS = 3
SWEEP = "made"


def make(example: Path, root: Path, first: int, last: int) -> None:
    """Write the records from number `first` up to `last` below `root`, as the store lays them out.

    They are written without syncing: nothing is lost that cannot be made again.
    """
    told = json.loads(example.read_bytes())
    for number in range(first, last):
        record = _record(told, number)
        trial = root / SWEEP / record["machine_id"] / record["trial_id"]
        folder = trial / f"r{record['replica']:02d}-a00"
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(json.dumps(record, ensure_ascii=False) + "\n")


def _record(told: dict[str, Any], number: int) -> dict[str, Any]:
    trial, replica = divmod(number, REPLICAS)
    chance = random.Random(number)
    config = told["config"] | {"seed": trial}
    told = {key: value for key, value in told.items() if key != "seal"}  # schema 1: older builds read it
    return told | {
        "schema_version": 1,
        "sweep": SWEEP,
        "label": f"{told['label']} seed={trial}",
        "work_id": _digest("work", trial),
        "trial_id": _digest("trial", trial),
        "replica": replica,
        "attempt": 0,
        "config": config,
        "metrics": [_moved(metric, chance) for metric in told["metrics"]],
        "series": {name: [_near(v, chance) for v in values] for name, values in told["series"].items()},
    }


def _moved(metric: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    return metric | {
        key: _near(metric[key], chance) for key in ("value", "ci_low", "ci_high") if key in metric
    }


def _near(value: Any, chance: random.Random) -> Any:
    """Return a measured number up to a hundredth away; counts and what is no number as they are."""
    return value * (1 + chance.random() / 100) if isinstance(value, float) and value % 1 else value


def _digest(what: str, number: int) -> str:
    return hashlib.sha256(f"{what} {number}".encode()).hexdigest()[:16]
