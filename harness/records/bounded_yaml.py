"""YAML from anywhere: bounded in size, depth, count and expansion before a library builds anything of it."""

from __future__ import annotations

from functools import cache
from typing import Any

from harness.system.errors import InputError

MOST_BYTES = 1 << 20
MOST_NODES = 100_000
DEEPEST = 50
MOST_ALIASES = 20
"""Each may stand for a whole branch, and branches of branches: few lines would become billions of nodes."""
LONGEST_NUMBER = 400
"""Characters; YAML has numbers to the base 60, whose digits take time as their square."""


def load_yaml(data: bytes) -> Any:
    """Return what a YAML document holds: plain data alone.

    Raises:
        ValueError: it is no YAML, names a key twice, or is larger, deeper or more tangled than any file of
            settings.
    """
    import yaml

    check_yaml(data)
    try:
        return yaml.load(data, _loader())  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(_line(error)) from error


def check_yaml(data: bytes) -> None:
    """Hold a document to the bounds.

    Raises:
        ValueError: it is no YAML, or beyond a bound.
    """
    import yaml

    if len(data) > MOST_BYTES:
        raise InputError(f"larger than {MOST_BYTES} bytes")
    depth = nodes = aliases = 0
    try:
        for event in yaml.parse(data, Loader=yaml.SafeLoader):
            nodes += 1
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            aliases += isinstance(event, yaml.AliasEvent)
            if depth > DEEPEST:
                raise InputError(f"nested more than {DEEPEST} deep")
            if nodes > MOST_NODES:
                raise InputError(f"more than {MOST_NODES} values")
            if aliases > MOST_ALIASES:
                raise InputError(f"more than {MOST_ALIASES} aliases")
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(_line(error)) from error


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

        def construct_number(self, node: Any) -> Any:
            if len(node.value) > LONGEST_NUMBER:
                raise yaml.constructor.ConstructorError(
                    None, None, f"a number of more than {LONGEST_NUMBER} characters", node.start_mark
                )
            whole = node.tag.endswith(":int")
            return self.construct_yaml_int(node) if whole else self.construct_yaml_float(node)

    for kind in ("int", "float"):
        Loader.add_constructor(f"tag:yaml.org,2002:{kind}", Loader.construct_number)
    return Loader


def _line(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    line = f"line {mark.line + 1} " if mark is not None else ""
    problem = " ".join(str(getattr(error, "problem", None) or error).split())
    return f"{line}is not YAML: {problem}"
