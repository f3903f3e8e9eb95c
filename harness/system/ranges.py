"""Whether installed packages lie in the ranges that this project promises, by its own metadata."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, requires, version


@cache
def least_versions() -> dict[str, str]:
    """Return by package the least version asked for, extras included; nothing where this is not installed."""
    try:
        asked = requires("joulemark") or []
    except PackageNotFoundError:
        return {}
    found = (re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*[^;]*?>=\s*([0-9][0-9.]*)", line) for line in asked)
    return {one[1].lower(): one[2] for one in found if one is not None}


def too_old(package: str) -> str | None:
    """Return one line when an installed package is older than promised; None when it is fine or absent."""
    least = least_versions().get(package)
    try:
        installed = version(package)
    except PackageNotFoundError:
        return None
    if least is None or _release(installed) >= _release(least):
        return None
    return f"{package} >= {least} is needed, {installed} is installed: pip install '{package}>={least}'"


def all_too_old(packages: Iterable[str]) -> list[str]:
    """Return the line of each package that is too old."""
    return [words for name in packages if (words := too_old(name)) is not None]


def _release(text: str) -> tuple[int, ...]:
    """Return the numbers that a version begins with, without zeros at their end: 5.6 is 5.6.0."""
    numbers = re.match(r"\d+(?:\.\d+)*", text)
    parts = [int(n) for n in numbers[0].split(".")] if numbers else []
    while parts and parts[-1] == 0:
        parts.pop()
    return tuple(parts)
