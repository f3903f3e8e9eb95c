"""YAML from anywhere: bounded in size, depth, count and expansion before a library builds anything of it."""

from __future__ import annotations

from typing import Any

from harness.system.errors import InputError

MOST_BYTES = 1 << 20
MOST_NODES = 100_000
DEEPEST = 50
MOST_ALIASES = 20
"""Each may stand for a whole branch, and branches of branches: few lines would become billions of nodes."""


def load_yaml(data: bytes) -> Any:
    """Return what a YAML document holds: plain data alone.

    Raises:
        ValueError: it is no YAML, or larger, deeper or more tangled than any file of settings.
    """
    import yaml

    check_yaml(data)
    try:
        return yaml.safe_load(data)
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(_line(error)) from error


def check_yaml(data: bytes) -> None:
    """Hold a document to the bounds.

    Raises:
        ValueError: it is no YAML, or beyond a bound.
    """
    import yaml

    if len(data) > MOST_BYTES:
        raise InputError(f"larger than {MOST_BYTES} bytes")
    depth = nodes = aliases = 0
    try:
        for event in yaml.parse(data, Loader=yaml.SafeLoader):
            nodes += 1
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            aliases += isinstance(event, yaml.AliasEvent)
            if depth > DEEPEST:
                raise InputError(f"nested more than {DEEPEST} deep")
            if nodes > MOST_NODES:
                raise InputError(f"more than {MOST_NODES} values")
            if aliases > MOST_ALIASES:
                raise InputError(f"more than {MOST_ALIASES} aliases")
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(_line(error)) from error


def _line(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    line = f"line {mark.line + 1} " if mark is not None else ""
    problem = " ".join(str(getattr(error, "problem", None) or error).split())
    return f"{line}is not YAML: {problem}"
