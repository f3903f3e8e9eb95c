"""What records and plans keep of a configuration: paths and a meter's command line stay with the user.

`run.keep_paths=true` keeps them. Identities are made of what is kept, so that an audit can make them again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from harness.system.private import shown_device, shown_path, without_home

_PATHS = (
    *(("workload", "data"), ("workload", "program"), ("workload", "folder")),
    *(("serve", "trace"), ("run", "results")),
)
_KEYS = frozenset({*(".".join(key) for key in _PATHS), "power.devices", "hydra.searchpath"})

_NUMBERS = frozenset({float, int, bool, type(None)})

Shown = dict[str, str]
"""What is kept in place of a private text, by that text."""


def shown(payload: Mapping[str, Any]) -> Shown:
    """Return what is replaced in whatever is kept of a configuration; nothing where the user keeps it."""
    if _at(payload, "run", "keep_paths") is True:
        return {}
    return {text: kept for text, kept in _pairs(payload) if text and text != kept}


def _pairs(payload: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for section, key in _PATHS:
        if isinstance(path := _at(payload, section, key), str):
            yield path, shown_path(path)
    for device in _at(payload, "power", "devices") or ():
        if isinstance(device, str):
            kept = shown_device(device)
            yield device, kept
            # An error names the file or the line alone.
            yield device.partition(":")[2].partition("?")[0], kept.partition(":")[2].partition("?")[0]


def _at(payload: Mapping[str, Any], section: str, key: str) -> Any:
    found = payload.get(section)
    return found.get(key) if isinstance(found, Mapping) else None


def recorded(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration as records keep it."""
    replaced, kept = shown(payload), dict(payload)
    for section, key in _PATHS:
        if (path := _at(payload, section, key)) in replaced:
            kept[section] = {**kept[section], key: replaced[path]}
    if devices := _at(payload, "power", "devices"):
        kept["power"] = {**kept["power"], "devices": [replaced.get(device, device) for device in devices]}
    return kept


def kept_words(words: Iterable[str], replaced: Shown) -> list[str]:
    """Return overrides as records keep them; of a private key that is written otherwise, the key alone."""
    found = []
    for word in words:
        kept = hide(word, replaced)
        key, _, value = kept.partition("=")
        hidden = replaced and key.lstrip("+~") in _KEYS and ("/" in value or "command:" in value)
        found.append(f"{key}=left_out" if hidden and kept == word else kept)
    return found


def hidden(value: Any, payload: Mapping[str, Any]) -> Any:
    """Return what a worker reported of a trial, as records keep it: texts name no private path."""
    if _at(payload, "run", "keep_paths") is True:
        return value
    return _hidden(value, shown(payload))


def _hidden(value: Any, replaced: Shown) -> Any:
    if type(value) in _NUMBERS:  # most of what a worker tells
        return value
    if isinstance(value, str):
        return without_home(hide(value, replaced))
    if isinstance(value, Mapping):
        return {key: _hidden(each, replaced) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_hidden(each, replaced) for each in value]
    return value


def hide(text: str, replaced: Shown) -> str:
    """Return a text with every private part replaced, the longest first."""
    for part in sorted(replaced, key=len, reverse=True):
        text = text.replace(part, replaced[part])
    return text
