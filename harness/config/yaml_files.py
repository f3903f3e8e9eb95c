"""Read the small YAML files that users write (prices, requirements, contracts), strictly and bounded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from harness.records.bounded_yaml import load_yaml
from harness.system.errors import InputError
from workloads.plugins import nearest

_LIMIT_BYTES = 1 << 20
_Model = TypeVar("_Model", bound=BaseModel)


def read_yaml(path: Path) -> Mapping[str, Any]:
    """Return a file's mapping, empty for an empty file.

    Raises:
        ValueError: absent, too large, no YAML, or no mapping; the message names the file.
    """
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: not a plain file")
    try:
        with path.open("rb") as file:
            data = file.read(_LIMIT_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    if len(data) > _LIMIT_BYTES:
        raise InputError(f"{path}: larger than {_LIMIT_BYTES} bytes")
    try:
        content = load_yaml(data)
    except ValueError as error:
        raise InputError(f"{path}: {' '.join(str(error).split())[:200]}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise InputError(f"{path}: a mapping is needed")
    return {str(key): value for key, value in content.items()}


def validated(model: type[_Model], content: Any, path: Path, key: str = "") -> _Model:
    """Return the model of a file's content.

    Raises:
        ValueError: it does not fit; one line with the file and the key.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in ([key] if key else []) + list(first["loc"]))
        said = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            word, known = str(first["loc"][-1]), dict.fromkeys(_keys(model))
            said = "no such key here" if word in known else "no such key" + nearest(word, known, otherwise="")
        elif first["type"] == "too_short":
            said = f"at least {first['ctx']['min_length']} is needed"
        elif first["type"] == "string_too_long":
            said = f"longer than {first['ctx']['max_length']} characters"
        elif first["type"] in {"dict_type", "model_type", "model_attributes_type"}:
            said = "a mapping is needed"
        raise InputError(f"{path}: {where}: {said}" if where else f"{path}: {said}") from error


def _keys(model: type[BaseModel]) -> Iterator[str]:
    """Every key of a model and of the models in it."""
    for name, field in model.model_fields.items():
        yield name
        inner = [
            field.annotation,
            *(a for part in get_args(field.annotation) for a in (part, *get_args(part))),
        ]
        for each in inner:
            if isinstance(each, type) and issubclass(each, BaseModel):
                yield from _keys(each)
