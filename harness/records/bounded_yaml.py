"""YAML from anywhere: bounded in size, depth, count and expansion before a library builds anything of it."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from harness.system.errors import InputError

MOST_BYTES = 1 << 20
MOST_NODES = 30_000
DEEPEST = 50
MOST_ALIASES = 20
"""Each may stand for a whole branch, and branches of branches: few lines would become billions of nodes."""
LONGEST_NUMBER = 400
"""Characters; YAML has numbers to the base 60, whose digits take time as their square."""
_NUMBER = re.compile(r"[-+0-9a-fA-FxXo_:.,]*")
_FIRST = frozenset("-+.0123456789")
"""Of a number without a tag: other letters begin a word, be it of nothing else."""
_BASE_60 = re.compile(r"[-+]?(?:[1-9][0-9_]*(?::[0-5]?[0-9])+|[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*)")
"""A time limit of 12:00:00 would be the number 43200, which a scheduler takes for minutes."""


def load_yaml(data: bytes) -> Any:
    """Return what a YAML document holds: plain data alone.

    Raises:
        ValueError: it is no YAML, names a key twice, or is larger, deeper or more tangled than any file of
            settings.
    """
    import yaml

    check_yaml(data, MOST_NODES)
    try:
        return yaml.load(data, _loader())  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(_line(error)) from error


def check_yaml(data: bytes, most: int) -> None:
    """Hold a document to the bounds, and to `most` values.

    Raises:
        ValueError: it is no YAML, beyond a bound, holds itself, or holds a number to the base 60.
    """
    import yaml

    if len(data) > MOST_BYTES:
        raise InputError(f"larger than {MOST_BYTES} bytes")
    nodes = aliases = 0
    within: list[str | None] = []
    try:
        for event in yaml.parse(data, Loader=yaml.SafeLoader):
            nodes += 1
            if isinstance(event, yaml.CollectionStartEvent):
                within.append(event.anchor)
            elif isinstance(event, yaml.CollectionEndEvent):
                within.pop()
            elif isinstance(event, yaml.AliasEvent):
                aliases += 1
                if event.anchor in within:
                    raise InputError(f"{str(event.anchor)[:60]} holds itself")
            elif isinstance(event, yaml.ScalarEvent):
                _check_scalar(event)
            if len(within) > DEEPEST:
                raise InputError(f"nested more than {DEEPEST} deep")
            if nodes > most:
                raise InputError(f"more than {most} values")
            if aliases > MOST_ALIASES:
                raise InputError(f"more than {MOST_ALIASES} aliases")
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(_line(error)) from error


def _check_scalar(event: Any) -> None:
    """Refuse what may be read as a number, and is longer than any or written as a time."""
    plain, text = event.implicit[0], event.value
    number = text[:1] in _FIRST if plain else event.tag is not None
    if number and len(text) > LONGEST_NUMBER and _NUMBER.fullmatch(text):
        raise InputError(f"a number of more than {LONGEST_NUMBER} characters")
    if plain and _BASE_60.fullmatch(text):
        line = event.start_mark.line + 1
        raise InputError(f"line {line}: YAML reads {text[:60]} to the base 60; write it in quotes")


@cache
def _loader() -> Any:
    """Return a SafeLoader that takes each key once: of two, people read the first and a program the last."""
    import yaml

    class Loader(yaml.SafeLoader):
        def compose_mapping_node(self, anchor: Any) -> Any:
            # Here, before merges (`<<`) add keys that the mapping's own may override.
            node = super().compose_mapping_node(anchor)
            named: set[str] = set()
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    continue
                text = "<<" if key.tag.endswith(":merge") else str(self.construct_object(key))
                if text in named:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"{text} is named twice", key.start_mark
                    )
                named.add(text)
            return node

    return Loader


def _line(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    line = f"line {mark.line + 1} " if mark is not None else ""
    problem = " ".join(str(getattr(error, "problem", None) or error).split())
    return f"{line}is not YAML: {problem}"
