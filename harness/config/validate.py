"""A composed configuration, checked once at the boundary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel, ValidationError

from harness.config.errors import ConfigError
from harness.config.models import Config
from workloads.plugins import nearest


def validate(composed: Mapping[str, Any]) -> Config:
    """Validate one composed mapping.

    Raises:
        ConfigError: one line that names the key, what is wrong and, for an unknown key, the nearest one.
    """
    try:
        return Config.model_validate(composed)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise ConfigError(f"{key}: no such key{nearest(key, known_keys(), otherwise='')}") from error
        if first["type"] == "missing":
            raise ConfigError(f"{key}: is missing") from error
        why = first["msg"].removeprefix("Input ").removeprefix("Value error, ")
        raise ConfigError(f"{key}={first['input']!r}: {why}") from error


@cache
def known_keys() -> list[str]:
    """Return every key of the configuration, each section before what it holds."""
    return list(_keys(Config))


def _keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield prefix + name
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _keys(field.annotation, f"{prefix}{name}.")
