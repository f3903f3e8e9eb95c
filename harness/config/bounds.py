"""How much may be asked for: overrides and groups are bounded before a library parses or expands them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from hydra.core.override_parser.types import Override, RangeSweep
from hydra.errors import HydraException

from harness.config.errors import ConfigError
from harness.records.bounded_yaml import MOST_BYTES, check_yaml
from harness.records.store import read_bounded

MOST_OVERRIDES = 1000
LONGEST_OVERRIDE = 10_000
DEEPEST = 20
MOST_TRIALS = 20_000
_MOST_VALUES = 5000
"""Of a group's file: Hydra takes a millisecond for each."""
_OPENING, _CLOSING = "([{", ")]}"


def check_overrides(overrides: Sequence[str]) -> None:
    """Refuse what would take a parser for ever.

    Raises:
        ConfigError: too many, too long or too deep; one line says which.
    """
    if len(overrides) > MOST_OVERRIDES:
        raise ConfigError(f"{len(overrides)} overrides: at most {MOST_OVERRIDES}")
    for override in overrides:
        if len(override) > LONGEST_OVERRIDE:
            raise ConfigError(f"{override[:40]}…: longer than {LONGEST_OVERRIDE} characters")
        depth = 0
        for character in override:
            depth += (character in _OPENING) - (character in _CLOSING)
            if depth > DEEPEST:
                raise ConfigError(f"{override[:40]}…: brackets nested more than {DEEPEST} deep")


def swept_values(override: Override) -> list[str]:
    """Return the values that one override sweeps over.

    Raises:
        ConfigError: more than a sweep may have trials, or none that can be counted.
    """
    value = override.value()
    if isinstance(value, RangeSweep):
        start, stop, step = (float(n) for n in (value.start or 0, value.stop or 0, value.step))
        if step == 0 or not (stop - start) / step <= MOST_TRIALS:
            raise _too_many(override.key_or_group)
    try:
        found = list(islice(override.sweep_string_iterator(), MOST_TRIALS + 1))
    except HydraException as error:  # a glob, which names options of a group, over a key that has none
        raise ConfigError(f"{override.key_or_group}: this has no values to sweep over: {error}") from error
    if len(found) > MOST_TRIALS:
        raise _too_many(override.key_or_group)
    return found


def check_count(axes: Iterable[Sequence[object]]) -> None:
    """Refuse a grid of too many trials.

    Raises:
        ConfigError: its axes make more than a sweep may have.
    """
    count = 1
    for axis in axes:
        count *= len(axis)
        if count > MOST_TRIALS:
            raise _too_many("the sweep")


def check_groups(folder: Path) -> None:
    """Hold the files of a user's groups to the bounds of YAML.

    Raises:
        ConfigError: one of them is beyond them, no YAML, or cannot be read.
    """
    for path in islice(sorted(folder.glob("**/*.yaml")), MOST_TRIALS):
        try:
            check_yaml(read_bounded(path.resolve(), MOST_BYTES), _MOST_VALUES)
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path}: {error}") from error


def _too_many(what: str) -> ConfigError:
    return ConfigError(f"{what}: more than {MOST_TRIALS} trials")
