"""Compose configurations with Hydra: groups and overrides in, one plain mapping per trial out.

Hydra only composes here; nothing is launched or instantiated by it. A sweep of many trials merges group
files from a cache, which gives what Hydra's own composition gives as long as a group's file writes only below
its own key; where it does not, Hydra composes that trial.
"""

from __future__ import annotations

import copy
import importlib.util
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Self

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.basecontainer import BaseContainer
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from harness.config.bounds import check_count, check_groups, check_overrides, swept_values
from harness.config.errors import ConfigError
from harness.config.folder import config_folder
from harness.config.grammar import parse_overrides, refuse_without_effect
from harness.config.validate import known_keys
from workloads.plugins import nearest

ENTRY_POINTS = "joulemark.conf"
_OPEN_KEYS = (
    "workload.shape.",
    "workload.extra.",
    "compress.settings.",
    "parallel.settings.",
    "report.limits.",
)
"""Below these a user may name any key: planning knows sizes, settings and metrics."""
_RESOLVERS = frozenset(
    {"oc.create", "oc.decode", "oc.deprecated", "oc.dict.keys", "oc.dict.values", "oc.select"}
)
"""Of `${…}`: those that see the configuration alone."""
Composed = dict[str, Any]


def _plugin_folders() -> list[Path]:
    """Return the folders that other packages add through the entry point `joulemark.conf`."""
    folders: list[Path] = []
    for point in entry_points(group=ENTRY_POINTS):
        found = importlib.util.find_spec(point.value)
        if found is not None:
            folders += [Path(place) for place in found.submodule_search_locations or ()]
    return folders


def split_searchpath(overrides: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Take Hydra's own `hydra.searchpath=[…]` out of the overrides: the folders it names, and the rest.

    Raises:
        ConfigError: a place that is neither a folder nor a package.
    """
    folders: list[Path] = []
    rest: list[str] = []
    for override in overrides:
        key, _, value = override.partition("=")
        if key != "hydra.searchpath":
            rest.append(override)
            continue
        for place in filter(None, (p.strip().strip("'\"") for p in value.strip("[]").split(","))):
            if place.startswith("pkg://"):
                try:
                    found = importlib.util.find_spec(place.removeprefix("pkg://"))
                except (ImportError, ValueError):  # no name of a package
                    found = None
                if found is None:
                    raise ConfigError(f"hydra.searchpath: no package {place.removeprefix('pkg://')}")
                folders += [Path(p) for p in found.submodule_search_locations or ()]
            else:
                folders.append(Path(place.removeprefix("file://")))
    return folders, rest


@dataclass(frozen=True, slots=True)
class Job:
    """One trial's overrides and the mapping that they compose to."""

    overrides: tuple[str, ...]
    config: Composed


class Composer:
    """Composes trials from our groups and the user's; use as a context manager (Hydra's state is global)."""

    def __init__(self, user_folders: Sequence[Path] = ()) -> None:
        for folder in user_folders:
            if not folder.is_dir():
                raise ConfigError(f"configuration folder {folder}: no such folder")
            check_groups(folder)
        further = [*user_folders, *_plugin_folders()]
        self._search = [f"file://{folder.resolve()}" for folder in further]
        self.groups: dict[str, list[str]] = {}
        for file in (f for folder in (config_folder(), *further) for f in sorted(folder.glob("*/*.yaml"))):
            options = self.groups.setdefault(file.parent.name, [])
            options += [file.stem] if file.stem not in options else []
        self._composed: dict[tuple[str, ...], DictConfig] = {}
        self._parts: dict[tuple[tuple[str, ...], str], DictConfig | None] = {}

    def __enter__(self) -> Self:
        self._context = initialize_config_dir(str(config_folder()), version_base="1.3", job_name="joulemark")
        self._context.__enter__()
        # A record keeps what is resolved: nothing of the environment, or of a file, comes into it unseen.
        self._resolvers = dict(BaseContainer._resolvers)  # noqa: SLF001 - there is no public list
        for name in self._resolvers.keys() - _RESOLVERS:
            OmegaConf.clear_resolver(name)
        return self

    def __exit__(self, *error: object) -> None:
        self._context.__exit__(*error)
        BaseContainer._resolvers.update(self._resolvers)  # noqa: SLF001 - as it was for others

    def jobs(self, overrides: Sequence[str]) -> list[Job]:
        """Return every trial asked for: the experiment's grids times the command line's sweeps.

        Raises:
            ConfigError: an override that cannot be parsed, or names what does not exist.
        """
        check_overrides(overrides)
        parsed = [self._checked(override) for override in parse_overrides([_opened(o) for o in overrides])]
        fixed = [_line(o) for o in parsed if not o.is_sweep_override()]
        base = self.compose(fixed)
        grids = [_grid(entry, number) for number, entry in enumerate(base.pop("sweep", None) or [{}])]
        asked = {o.key_or_group: _values(o) for o in parsed}
        chosen = _restrict(grids, asked)
        swept = {o.key_or_group: _values(o) for o in parsed if o.is_sweep_override()}
        jobs: list[Job] = []
        for grid in chosen:
            axes = [[_opened(f"{key}={value}") for value in values] for key, values in (swept | grid).items()]
            check_count([*axes, chosen])
            for varying in itertools.product(*axes):
                config = self._merged(tuple(fixed), list(varying))
                config.pop("sweep", None)
                jobs.append(Job((*fixed, *varying), config))
        return jobs

    def compose(self, overrides: Sequence[str]) -> Composed:
        """Return Hydra's own composition as a plain mapping.

        Raises:
            ConfigError: Hydra refused it.
        """
        return _plain(self._hydra(overrides))

    def _hydra(self, overrides: Sequence[str]) -> DictConfig:
        """Return what Hydra composes, which the caller must not change."""
        if not self._search:
            return _of_our_own(tuple(overrides))
        key = tuple(overrides)
        if key not in self._composed:
            self._composed[key] = _by_hydra([*overrides, f"hydra.searchpath=[{','.join(self._search)}]"])
        return self._composed[key]

    def _merged(self, fixed: tuple[str, ...], varying: list[str]) -> Composed:
        merged: DictConfig = copy.deepcopy(self._hydra(fixed))
        values: list[Override] = []
        for override in parse_overrides(varying):
            self._checked(override)
            if not override.is_add() and override.key_or_group in self.groups and override.package is None:
                part = self._part(fixed, _line(override))
                if part is None:
                    return self.compose([*fixed, *varying])
                merged[override.key_or_group] = copy.deepcopy(part[override.key_or_group])
            else:
                values.append(override)
        if any(o.is_delete() or (o.is_add() and not _is_open(o.key_or_group)) for o in values):
            return self.compose([*fixed, *varying])
        try:
            for override in values:
                if not _is_open(override.key_or_group) and not _has(merged, override.key_or_group):
                    return self.compose([*fixed, *varying])
                OmegaConf.update(merged, override.key_or_group, override.value(), force_add=True)
        except OmegaConfBaseException as error:
            raise ConfigError(_one_line(error)) from error
        return _plain(merged)

    def _part(self, fixed: tuple[str, ...], choice: str) -> DictConfig | None:
        """Compose once per choice of a group; None when that choice reaches beyond its own key."""
        key = (fixed, choice)
        if key not in self._parts:
            part, base = self._hydra([*fixed, choice]), self._hydra(fixed)
            beyond = {*part, *base} - {choice.partition("=")[0]}
            self._parts[key] = None if any(part.get(k) != base.get(k) for k in beyond) else part
        return self._parts[key]

    def _checked(self, override: Override) -> Override:
        """Refuse an unknown group option or key before Hydra does, with the nearest match."""
        key = override.key_or_group
        refuse_without_effect(key)
        if key in self.groups:
            for value in _values(override):
                if value not in self.groups[key] and value != "null":
                    raise ConfigError(f"{key}={value}: no such {key}{nearest(value, self.groups[key])}")
        elif not override.is_add() and not override.is_delete():
            known = (*known_keys(), "sweep")
            if key not in known and not _is_open(key):
                raise ConfigError(f"{key}: no such key{nearest(key, [*known, *self.groups])}")
        return override


@lru_cache(maxsize=256)
def _of_our_own(overrides: tuple[str, ...]) -> DictConfig:
    """Compose from our own groups alone: they stay as they are for as long as a process lives."""
    return _by_hydra(overrides)


def _by_hydra(overrides: Sequence[str]) -> DictConfig:
    try:
        return compose("config", overrides=list(overrides))
    except (HydraException, OmegaConfBaseException, YAMLError, ValueError) as error:
        # The last two are a group's file that is no YAML, or holds what YAML alone cannot make.
        raise ConfigError(_one_line(error)) from error


def _plain(config: DictConfig) -> Composed:
    try:
        plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(_one_line(error)) from error
    assert isinstance(plain, dict)
    return plain  # type: ignore[return-value]


def _is_open(key: str) -> bool:
    return f"{key}.".startswith(_OPEN_KEYS)


def _has(config: DictConfig, key: str) -> bool:
    node: Any = config
    for part in key.split("."):
        if not isinstance(node, DictConfig) or part not in node:
            return False
        node = node._get_node(part)  # noqa: SLF001 - a null value must count as present
    return True


def _opened(override: str) -> str:
    """Let `workload.shape.layers=4` and `experiment=demo` do without Hydra's `+`."""
    if _is_open(override.partition("=")[0]):
        return f"++{override}"
    return f"+{override}" if override.startswith("experiment=") else override


def _values(override: Override) -> list[str]:
    if override.is_delete():
        return []
    if override.is_sweep_override():
        return swept_values(override)
    return [_line(override).partition("=")[2].strip("'\"")]


def _line(override: Override) -> str:
    """Return an override as it was written."""
    return override.input_line or ""


def _grid(entry: Any, number: int) -> dict[str, list[str]]:
    """Turn one entry of an experiment's `sweep` into choices by key; a text may use Hydra's sweep syntax."""
    if not isinstance(entry, Mapping):
        raise ConfigError(f"sweep[{number}]: give a mapping from a key to its values, not {entry!r}")
    grid: dict[str, list[str]] = {}
    for key, value in entry.items():
        if isinstance(value, list):
            grid[key] = [_text(v) for v in value]
        else:
            grid[key] = _values(parse_overrides([_opened(f"{key}={_text(value)}")])[0])
    return grid


def _text(value: Any) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _restrict(
    grids: list[dict[str, list[str]]], asked: Mapping[str, list[str]]
) -> list[dict[str, list[str]]]:
    """Let the command line narrow the experiment's grids.

    A value that some grid holds selects the trials that have it; a value that none holds replaces theirs.
    """
    chosen: list[dict[str, list[str]]] = []
    held = {key: {v for grid in grids for v in grid.get(key, ())} for key in asked}
    for grid in grids:
        narrowed = dict(grid)
        for key, values in asked.items():
            if key in narrowed:
                known = [v for v in values if v in held[key]]
                narrowed[key] = [v for v in values if v in grid[key]] if known else values
        if all(narrowed.values()):
            chosen.append(narrowed)
    return chosen


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
