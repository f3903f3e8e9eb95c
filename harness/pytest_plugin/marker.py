"""What the marker `joulemark` asks of a test."""

from __future__ import annotations

from typing import Any

import pytest

NAME = "joulemark"
SETTINGS = {"mode": "workload.mode", "size": "workload.size", "precision": "precision"}
"""By the marker's word, the configuration's."""
_WORDS = ("workload", *SETTINGS, "device", "overrides")


def marker_options(item: pytest.Item) -> dict[str, Any]:
    """Return what the markers of module, class and test say together; the closest wins."""
    together: dict[str, Any] = {}
    for marker in reversed(list(item.iter_markers(NAME))):
        together |= marker.kwargs
    return together


def marker_error(item: pytest.Item) -> str | None:
    """Say what is wrong with a test's markers, in one line, or return None."""
    for marker in item.iter_markers(NAME):
        if marker.args:
            return f"{marker.args[0]!r} has no name; it takes {', '.join(f'{word}=' for word in _WORDS)}"
    found = marker_options(item)
    if unknown := sorted(set(found) - set(_WORDS)):
        return f"unknown {', '.join(unknown)}; it takes {', '.join(_WORDS)}"
    overrides = found.get("overrides", ())
    if not isinstance(overrides, list | tuple) or not all(isinstance(word, str) for word in overrides):
        return f"overrides={overrides!r}: it is a list of strings"
    for word, value in found.items():
        if word != "overrides" and not isinstance(value, str):
            return f"{word}={value!r}: it is a string"
    if "workload" not in found and (of_one := sorted(set(found) - {"device"})):
        return f"{', '.join(of_one)} are of a workload, and none is named"
    return None
