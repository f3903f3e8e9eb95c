"""Who a trial is: digests over named fields, so that comparisons join on what matters and on nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from harness.config.models import Config
from harness.system.threads import AUTO
from workloads.base import Size

WORK_FIELDS = ("workload", "size", "data", "compress", "parallel", "precision", "optimize", "device", "seed")
TRIAL_FIELDS = ("work_id", "measure", "power")


def digest(fields: Mapping[str, Any]) -> str:
    """Return the first 16 hexadecimal digits of the sha256 over the fields as canonical JSON."""
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def work_id(config: Config, size: Size, data_digest: str | None) -> str:
    """Identify the work: what is computed, not how it is measured nor on which machine.

    Args:
        config: validated, with `device.kind` resolved.
        size: every size of the model and its batch, resolved, so that a default and the same value asked for
            by name are one work.
        data_digest: digest of the real data's contents, or None for synthetic data.
    """
    w = config.workload
    fields = {
        "workload": {
            "name": w.name,
            "mode": w.mode,
            "accumulate": w.accumulate,
            "optimizer": w.optimizer,
            "lr": w.lr,
            "temperature": w.temperature,
            "top_k": w.top_k,
            # A program and a folder may lie anywhere; which of a module's functions it is counts.
            **({"source": [w.factory, w.source_sha256]} if w.source_sha256 is not None else {}),
        },
        "size": dict(size),
        "data": data_digest,
        "compress": config.compress.model_dump(),
        "parallel": config.parallel.model_dump(exclude={"scaling"}),  # the batch that it gives is in the size
        "precision": config.precision.model_dump(),
        "optimize": config.optimize.model_dump(),
        "device": {
            "kind": config.device.kind,
            "threads": config.device.threads,
            **({} if config.device.platform is None else {"platform": config.device.platform}),
        },
        "seed": config.seed,
    }
    assert tuple(fields) == WORK_FIELDS
    return digest(fields)


def trial_id(work: str, config: Config) -> str:
    """Identify the trial: the work and how it is measured; run control, price and report are no part."""
    fields = {"work_id": work, "measure": config.measure.model_dump(), "power": config.power.model_dump()}
    assert tuple(fields) == TRIAL_FIELDS
    # A policy that the user fixes is another measurement; `auto` is none, so that ids of before stay.
    return digest(fields if config.device.wait == AUTO else fields | {"wait": config.device.wait})
