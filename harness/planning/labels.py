"""What trials are called: short labels, distinguished where they would be equal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.config.models import Config

LONGEST = 160
"""Characters of a label."""
_PLAIN = {"compress": "none", "parallel": "none", "optimize": "eager"}

_USUAL_DEVICES = ("auto", "cpu", "cuda")
"""Devices that a label leaves out."""


def label(config: Config) -> str:
    """Return workload, size, mode, precision and what is not plain, e.g. `gpt tiny train bf16 ddp x2`."""
    w = config.workload
    if w.model is not None:  # a server's own size and precision are not ours to state
        return f"{w.name} {Path(w.model).name} {w.mode}"
    own = w.factory or w.program or w.folder
    words = [w.name, *([Path(own).name] if own else []), w.size, w.mode, config.precision.name]
    words += [name for group, plain in _PLAIN.items() if (name := getattr(config, group).name) != plain]
    if config.device.kind not in _USUAL_DEVICES:
        words.append("-".join(filter(None, (config.device.kind, config.device.platform))))
    if config.parallel.ranks > 1:
        words.append(f"x{config.parallel.ranks}")
    return " ".join(words)


def told_apart(configs: Sequence[Config]) -> list[str]:
    """Return the labels of a sweep's configurations; equal ones get what sets them apart, `key=value`."""
    groups: dict[str, list[int]] = defaultdict(list)
    for place, config in enumerate(configs):
        groups[label(config)].append(place)
    labels = [""] * len(configs)
    for name, places in groups.items():
        flats = [dict(_flat(configs[p].model_dump(exclude={"run", "price", "report"}))) for p in places]
        keys = sorted({k for flat in flats for k in flat if any(flat[k] != o.get(k) for o in flats)})
        for place, flat in zip(places, flats, strict=True):
            extra = [f"{key.rpartition('.')[2]}={_shown(flat[key])}" for key in keys if key in flat]
            labels[place] = " ".join([name, *extra])[:LONGEST]
    return labels


def _shown(value: Any) -> str:
    return "+".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _flat(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat += _flat(value, f"{prefix}{key}.")
        else:
            flat.append((prefix + key, value))
    return flat
