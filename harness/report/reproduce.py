"""The commands that run the same trials again, written from the configurations in the records."""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from harness.report.text import line
from harness.report.trials import Trial, fact

GROUPS = {"workload": "name", "compress": "name", "parallel": "name", "precision": "name", "optimize": "name",
          "measure": "preset", "price": "name"}
"""Groups that are chosen by a file's name, and the key of the record that holds it."""
SECTIONS = ("workload", "compress", "parallel", "precision", "optimize", "device", "measure", "power", "run")
OUTSIDE = frozenset({"run.results", "run.retry_failed"})
"""Keys that say where or when, not what."""
MOST_LINES = 60
_PLAIN = re.compile(r"[A-Za-z0-9_./:+-]+")


def overrides(config: Mapping[str, Any]) -> dict[str, str]:
    """Every override of one trial's configuration, key to Hydra value; null keys keep their group's value."""
    found = {"seed": _value(config.get("seed", 0))}
    for group, key in GROUPS.items():
        if (name := fact(config, group, key)) is not None:
            found[group] = _value(name)
    for section in SECTIONS:
        for key, value in _leaves(section, config.get(section)):
            if key not in OUTSIDE and key != f"{section}.{GROUPS.get(section)}":
                found[key] = _value(value)
    return found


def commands(trials: Sequence[Trial]) -> str:
    """Shell lines that run these trials of one sweep again.

    What is common stands once, in an array; a workload's trials that form a full grid take one line.
    """
    every = [overrides(t.result.config) for t in trials]
    common = {k: v for k, v in every[0].items() if all(o.get(k) == v for o in every)}
    by_workload: dict[str, list[dict[str, str]]] = defaultdict(list)
    for o in every:
        by_workload[o.get("workload", "")].append({k: v for k, v in o.items() if k not in common})
    lines = [call for several in by_workload.values() for call in _calls(several)]
    left = len(lines) - MOST_LINES
    run = ["joulemark run", '"${COMMON[@]}"']
    shown = [" ".join([*run, *(shlex.quote(f"{k}={v}") for k, v in call.items())]) for call in lines[:MOST_LINES]]
    if left > 0:
        shown.append(f"# … and {left} more lines; `joulemark plan` lists every trial of an experiment")
    array = "COMMON=(" + "\n  ".join(["", *(shlex.quote(f"{k}={v}") for k, v in common.items())]) + "\n)"
    return "\n".join([array, *dict.fromkeys(shown)])


def _calls(several: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """One multirun call when the trials are the full grid of their values, else a call each."""
    unique = [dict(pairs) for pairs in dict.fromkeys(tuple(sorted(o.items())) for o in several)]
    keys = list(several[0])
    if any(set(o) != set(keys) for o in unique):
        return list(several)
    axes = {k: list(dict.fromkeys(o[k] for o in several)) for k in keys}
    cells = 1
    for values in axes.values():
        cells *= len(values)
    return [{k: ",".join(v) for k, v in axes.items()}] if cells == len(unique) else list(several)


def _leaves(path: str, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [leaf for key, below in value.items() for leaf in _leaves(f"{path}.{line(key, 60)}", below)]
    return [] if value is None else [(path, value)]


def _value(value: Any) -> str:
    """Write a value so that Hydra reads the same value back."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "[" + ",".join(_value(v) for v in value) + "]"
    text = line(value, 300)
    if isinstance(value, str) and not _PLAIN.fullmatch(text):
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return text
