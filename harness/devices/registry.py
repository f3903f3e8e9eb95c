"""Find devices by kind: our own files, and other packages' through the entry point `joulemark.devices`."""

from __future__ import annotations

import importlib
from functools import cache
from importlib.metadata import entry_points

from harness.devices.base import Device

BUILT_IN = {
    "cpu": "harness.devices.cpu:CpuDevice",
    "cuda": "harness.devices.cuda:CudaDevice",
}
GROUP = "joulemark.devices"


@cache
def _plugins() -> tuple[dict[str, type[Device]], dict[str, str]]:
    found: dict[str, type[Device]] = {}
    broken: dict[str, str] = {}
    for point in entry_points(group=GROUP):
        try:
            loaded = point.load()
        except Exception as error:  # noqa: BLE001 - another package's import may fail in any way
            broken[point.name] = f"{point.value}: {type(error).__name__}: {error}"
            continue
        if not (isinstance(loaded, type) and issubclass(loaded, Device)):
            broken[point.name] = f"{point.value} is not a Device class"
        elif point.name in BUILT_IN or point.name == "auto":
            broken[point.name] = f"{point.value} takes the name of a built-in device"
        else:
            found[point.name] = loaded
    return found, broken


def kinds() -> list[str]:
    """Return all device kinds, built-in first."""
    return [*BUILT_IN, *_plugins()[0]]


def get(kind: str) -> type[Device]:
    """Return the class of a device kind.

    Raises:
        KeyError: no such kind.
    """
    if kind in BUILT_IN:
        module, _, attribute = BUILT_IN[kind].partition(":")
        loaded: type[Device] = getattr(importlib.import_module(module), attribute)
        return loaded
    return _plugins()[0][kind]


def broken() -> dict[str, str]:
    """Return the plugins that disabled themselves, with the reason, for `joulemark doctor`."""
    return _plugins()[1]


def resolve_kind(kind: str) -> str:
    """Return the kind that `auto` stands for here: `cuda` where there is a working one, else `cpu`."""
    if kind != "auto":
        return kind
    return "cuda" if get("cuda").unavailable_reason() is None else "cpu"


def device(name: str, *, threads: int | None = None) -> Device:
    """Return the unopened device of a name such as `cpu`, `cuda:1` or `auto`.

    Raises:
        KeyError: no such kind.
        ValueError: what follows the colon is not a number.
    """
    kind, _, index = name.partition(":")
    return get(resolve_kind(kind))(int(index or 0), threads=threads)
