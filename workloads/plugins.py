"""Find classes by name: our own, loaded when asked for, and other packages' through an entry point."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Mapping
from functools import cached_property
from importlib.metadata import entry_points
from typing import Generic, TypeVar, cast

T = TypeVar("T")


class Registry(Generic[T]):
    """The classes of one kind. A plugin that fails to load disables itself, and nothing else.

    Args:
        kind: The class that all of them extend.
        group: The entry point that other packages register under.
        built_in: Our own, `name: "module:Class"`; none is imported before it is asked for.
    """

    def __init__(self, kind: type[T], group: str, built_in: Mapping[str, str]) -> None:
        self._kind = kind
        self._group = group
        self._built_in = built_in

    @cached_property
    def _plugins(self) -> tuple[dict[str, type[T]], dict[str, str]]:
        found: dict[str, type[T]] = {}
        broken: dict[str, str] = {}
        noun = self._kind.__name__.lower()
        for point in entry_points(group=self._group):
            try:
                loaded = point.load()
                if not (isinstance(loaded, type) and issubclass(loaded, self._kind)):
                    broken[point.name] = f"{point.value} is not a {self._kind.__name__} class"
                elif point.name in self._built_in:
                    broken[point.name] = f"{point.value} takes the name of a built-in {noun}"
                else:
                    found[point.name] = loaded
            except Exception as error:  # noqa: BLE001 - another package's import may fail in any way
                broken[point.name] = f"{point.value}: {type(error).__name__}: {error}"
        return found, broken

    def names(self) -> list[str]:
        """Return all names, built-in first."""
        return [*self._built_in, *self._plugins[0]]

    def get(self, name: str) -> type[T]:
        """Return a class by its name.

        Raises:
            KeyError: no such name.
        """
        if name not in self._built_in:
            return self._plugins[0][name]
        module, _, attribute = self._built_in[name].partition(":")
        return cast("type[T]", getattr(importlib.import_module(module), attribute))

    def broken(self) -> dict[str, str]:
        """Return the plugins that disabled themselves, with the reason, for `joulemark doctor`."""
        return self._plugins[1]


def nearest(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the closest known word, else the list of them."""
    known = list(known)
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; it has {', '.join(known)}"
