"""Who a trial is: digests over named fields, so that comparisons join on what matters and on nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from harness.config.models import Config
from harness.system.threads import AUTO
from workloads.base import SERVE, Size

WORK_FIELDS = ("workload", "size", "data", "compress", "parallel", "precision", "optimize", "device", "seed")
LIMITS = ("ttft_limit_s", "tpot_limit_s", "e2e_limit_s", "good_share")
"""Of a good answer: part of how served requests are measured."""
_SERVER = ("url", "model", "api", "extra")
"""Of an endpoint: whom it asks, and for what; how long it waits, and with which key, is no part."""
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
    return recorded_work_id(config.model_dump(mode="json"), size, data_digest)


def recorded_work_id(config: Mapping[str, Any], size: Mapping[str, Any], data_digest: str | None) -> str:
    """Identify the work of a configuration as a record keeps it, by the keys that it had then.

    Raises:
        KeyError: a part of it is missing.
        TypeError: a part of it is something else.
    """
    w, device = config["workload"], config["device"]
    named = ("name", "mode", "accumulate", "optimizer", "lr", "temperature", "top_k")
    fields = {
        "workload": {
            **{key: w[key] for key in named},
            # A program and a folder may lie anywhere; which of a module's functions it is counts.
            **({"source": [w["factory"], w["source_sha256"]]} if w.get("source_sha256") is not None else {}),
        },
        "size": dict(size),
        **({"serve": _load_of(config["serve"])} if w["mode"] == SERVE else {}),
        **({"server": {key: w[key] for key in _SERVER}} if w.get("url") is not None else {}),
        "data": data_digest,
        "compress": config["compress"],
        # The batch that the scaling gives is in the size; one node is what all records of before had.
        "parallel": {
            key: value
            for key, value in config["parallel"].items()
            if key != "scaling" and (key, value) != ("nodes", 1)
        },
        "precision": config["precision"],
        "optimize": config["optimize"],
        "device": {
            "kind": device["kind"],
            "threads": device["threads"],
            **({} if device.get("platform") is None else {"platform": device["platform"]}),
        },
        "seed": config["seed"],
    }
    assert tuple(key for key in fields if key not in {"serve", "server"}) == WORK_FIELDS
    return digest(fields)


def _load_of(serve: Mapping[str, Any]) -> dict[str, Any]:
    """Return the load and the engine: a trace is its contents, and limits only judge what was measured."""
    return {
        key: value
        for key, value in serve.items()
        if key not in {*LIMITS, "trace"} and (key, value) != ("engines", 1)  # which all of before had
    }


def recorded_trial_id(work: str, config: Mapping[str, Any]) -> str:
    """Identify the trial of a configuration as a record keeps it.

    Raises:
        KeyError: a part of it is missing.
    """
    fields = {"work_id": work, "measure": config["measure"], "power": config["power"]}
    assert tuple(fields) == TRIAL_FIELDS
    if config["workload"]["mode"] == SERVE:
        fields["limits"] = {key: value for key, value in config["serve"].items() if key in LIMITS}
    # A policy that the user fixes is another measurement; `auto` is none, so that ids of before stay.
    wait = config["device"].get("wait", AUTO)
    return digest(fields if wait == AUTO else fields | {"wait": wait})
