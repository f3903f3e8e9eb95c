"""What of a record's configuration may be run again: data from anywhere, so by a list of what is allowed."""

from __future__ import annotations

import re

ALLOWED: dict[str, tuple[str, ...]] = {
    "workload": (
        *("name", "mode", "size", "batch", "seq", "new_tokens", "accumulate"),
        *("optimizer", "lr", "temperature", "top_k", "shape"),
    ),
    "serve": (
        *("batching", "slots", "context", "cache_gib", "chunk", "queue", "engines", "arrivals"),
        *("concurrency", "rate_per_s", "burstiness", "lengths", "prompt_tokens", "output_tokens", "sigma"),
        *("ttft_limit_s", "tpot_limit_s", "e2e_limit_s", "good_share"),
    ),
    "compress": ("name", "settings"),
    "parallel": ("name", "ranks", "scaling", "settings"),
    "precision": ("name",),
    "optimize": (
        *("name", "compile", "cuda_graphs", "checkpoint", "update", "channels_last", "kv_cache"),
        *("attention", "expandable_segments"),
    ),
    "device": ("kind", "index", "threads"),
    "measure": (
        *("preset", "replicas", "max_replicas", "seconds", "min_iterations", "warmup_s", "warmup_iterations"),
        *("warmup_cap_s", "steady_window_s", "steady_tolerance", "target_accelerator", "target_cpu"),
        *("target_loss", "within_run_only", "soak", "soak_window_s", "soak_cap_s", "soak_tolerance"),
        *("profile", "trace"),
    ),
    "power": ("sensor", "devices", "sample_hz", "guard", "phases", "phase_s"),
}
"""By section, the keys that may be taken from a record; beside them the seed and the shipped data."""
SAFE_SENSORS = frozenset({"auto", "none", "nvml", "rapl", "amdsmi", "hwmon"})
"""Sensors that run no program and ask no host."""
SAFE_DATA = "shipped"
"""The one name of data that opens no file of the user's."""
WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,79}")
SENSOR_DEVICE = re.compile(r"[0-9]{1,3}|(?:GPU|MIG)-[0-9A-Fa-f-]{8,64}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_LIST = re.compile(r"[\[\]{}(),:' ]+")


def is_commit(text: str) -> bool:
    """Tell whether a text is a whole commit id, so that it can name no folder, branch or option."""
    return _COMMIT.fullmatch(text) is not None


def is_safe_override(override: str) -> bool:
    """Tell whether one override of a record may stand in a command: a known setting, of plain words only."""
    key, equals, value = override.lstrip("+").partition("=")
    section, _, rest = key.partition(".")
    words = [word for word in _LIST.split(value) if word]
    if not equals or not all(WORD.fullmatch(word.lstrip("-")) for word in words):
        return False
    if key in {"seed", "experiment", "sweep", "run.name"}:
        return True
    if key in {"workload.data", "power", "power.sensor"}:
        return set(words) <= ({SAFE_DATA} if section == "workload" else SAFE_SENSORS)
    if key == "power.devices":
        return all(SENSOR_DEVICE.fullmatch(word) for word in words)
    if section not in ALLOWED:
        return False
    return not rest or rest.partition(".")[0] in ALLOWED[section]
