"""Parse overrides with Hydra's grammar, and say of one that it refuses which it is and how to quote it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from harness.config.errors import ConfigError


def parse_overrides(overrides: Sequence[str]) -> list[Override]:
    """Return the parsed overrides.

    Raises:
        ConfigError: one cannot be parsed; the line names it, and the quoting that works.
    """
    parser = OverridesParser.create()
    parsed: list[Override] = []
    for override in overrides:
        try:
            parsed += parser.parse_overrides([override])
        except HydraException as error:
            raise ConfigError(_refused(override, error)) from error
        except ValueError as error:  # a number of more digits than Python reads
            raise ConfigError(f"{override[:60]}: {error}") from error
    return parsed


def refuse_without_effect(key: str) -> None:
    """Refuse Hydra's own settings, of which only `hydra.searchpath` does something here.

    Raises:
        ConfigError: the key is one of them.
    """
    if key == "hydra" or key.startswith(("hydra.", "hydra/")):
        raise ConfigError(
            f"{key}: it has no effect, since Hydra only composes here and launches nothing; "
            "of its keys hydra.searchpath=[FOLDER] is taken, and run.results=PATH says where results go"
        )


def _refused(override: str, error: HydraException) -> str:
    key, equals, value = override.partition("=")
    said = " ".join(str(error).split("See https://")[0].split())
    if not equals:
        return f"{override}: an override is KEY=VALUE ({said})"
    for quoted in _quotings(key, value):
        if _parses(quoted):
            return f"{override.lstrip('+~')}: the value needs quotes: {shlex.quote(quoted.lstrip('+'))}"
    return f"{override}: {said}"


def _quotings(key: str, value: str) -> list[str]:
    items = value[1:-1].split(",") if value[:1] == "[" and value[-1:] == "]" else None
    lists = [] if items is None else [f"{key}=[{','.join(_quote(i.strip()) for i in items)}]"]
    return [*lists, f"{key}={_quote(value)}"]


def _quote(value: str) -> str:
    bare = value.strip("'\"") if value[:1] in {"'", '"'} and value[:1] == value[-1:] else value
    escaped = bare.replace('"', '\\"')
    return f'"{escaped}"'


def _parses(override: str) -> bool:
    try:
        OverridesParser.create().parse_overrides([override])
    except HydraException:
        return False
    return True
