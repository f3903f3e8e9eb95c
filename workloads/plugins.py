"""Find things by name: our own, loaded when asked for, and other packages' through an entry point."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Generic, TypeVar

T = TypeVar("T")
_MOST_NAMES = 40
_ALIKE = 0.5
"""Of two words, by difflib's ratio, from which one may have been meant for the other."""


class Registry(Generic[T]):
    """What there is of one kind. A plugin that fails to load disables itself, and nothing else.

    Args:
        noun: What one of them is called.
        group: The entry point that other packages register under.
        built_in: Our own, `name: "module:attribute"`; none is imported before it is asked for.
        problem: Says why what a plugin gave is none of this kind; None when it is one.
        reserved: Names that no plugin may take, beside our own.
    """

    def __init__(
        self,
        noun: str,
        group: str,
        built_in: Mapping[str, str],
        problem: Callable[[object], str | None],
        reserved: Iterable[str] = (),
    ) -> None:
        self._noun = noun
        self._group = group
        self._built_in = built_in
        self._problem = problem
        self._reserved = {*built_in, *reserved}
        self._loaded: dict[str, T] = {}

    @cached_property
    def _plugins(self) -> tuple[dict[str, T], dict[str, str]]:
        from importlib.metadata import entry_points  # slow to import, and not needed for our own

        found: dict[str, T] = {}
        broken: dict[str, str] = {}
        for point in entry_points(group=self._group):
            try:
                loaded = point.load()
                if (problem := self._problem(loaded)) is not None:
                    broken[point.name] = f"{point.value} {problem}"
                elif point.name in self._reserved:
                    broken[point.name] = f"{point.value} takes the name of a built-in {self._noun}"
                else:
                    found[point.name] = loaded
            except Exception as error:  # noqa: BLE001 - another package's import may fail in any way
                broken[point.name] = f"{point.value}: {type(error).__name__}: {error}"
        return found, broken

    def names(self) -> list[str]:
        """Return all names, built-in first."""
        return [*self._built_in, *self._plugins[0]]

    def get(self, name: str) -> T:
        """Return one by its name.

        Raises:
            KeyError: no such name.
        """
        if name not in self._built_in:
            return self._plugins[0][name]
        if name not in self._loaded:
            module, _, attribute = self._built_in[name].partition(":")
            self._loaded[name] = getattr(importlib.import_module(module), attribute)
        return self._loaded[name]

    def broken(self) -> dict[str, str]:
        """Return the plugins that disabled themselves, with the reason, for `joulemark doctor`."""
        return self._plugins[1]


def classes(
    kind: type[T],
    group: str,
    built_in: Mapping[str, str],
    *,
    noun: str | None = None,
    reserved: Iterable[str] = (),
) -> Registry[type[T]]:
    """Return the registry of the classes that extend `kind`; without a noun they are called by its name."""

    def problem(loaded: object) -> str | None:
        right = isinstance(loaded, type) and issubclass(loaded, kind)
        return None if right else f"is not a {kind.__name__} class"

    return Registry(noun or kind.__name__.lower(), group, built_in, problem, reserved)


def nearest(word: str, known: Iterable[str], otherwise: str | None = None) -> str:
    """Return `; did you mean x?` for the known word that is most like `word`.

    Where none is like it, `otherwise` stands behind the semicolon; without one, the known words.
    """
    from difflib import get_close_matches

    known = list(known)
    if close := get_close_matches(word, known, n=1, cutoff=_ALIKE):
        return f"; did you mean {close[0]}?"
    if otherwise is None:
        otherwise = f"there are: {', '.join(known[:_MOST_NAMES])}"
    return f"; {otherwise}" if otherwise else ""
