"""Tell work that a function only promised from work that it did: what was not run is no result.

Standard library only: the pytest plugin asks it of any function's result.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any

_LAZY = (map, filter, zip, enumerate, reversed)
_MOST_PARTS = 100
"""Of a list or tuple, so many parts are looked at."""


class UnrunError(ValueError):
    """A function returned work that nobody runs; the message says how to measure it."""


def unrun(result: Any) -> str | None:
    """Return what a result is where it is work that nobody has run, e.g. `a coroutine`; else None.

    A coroutine that is found is closed, so that Python does not warn of it as well.
    """
    if inspect.iscoroutine(result):
        result.close()
        return "a coroutine"
    if inspect.isasyncgen(result):
        return "an asynchronous generator"
    if inspect.isgenerator(result):
        return "a generator"
    if isinstance(result, _LAZY) or type(result).__module__ == "itertools":
        return f"a lazy {type(result).__name__}"
    if isinstance(result, Future):
        return None if result.done() else "a future that is not done"
    if inspect.isawaitable(result):
        done = getattr(result, "done", None)
        return None if callable(done) and done() else "an awaitable"
    if isinstance(result, list | tuple):
        return _first(result[:_MOST_PARTS])
    return None


def advice(what: str, name: str) -> str:
    """Return one line that says what was returned, and how to measure the work itself."""
    runs = "asyncio.run" if what in {"a coroutine", "an awaitable"} else "list"
    if "future" in what:
        return f"{name} returns {what}: measure a function that waits for its result()"
    if what == "an asynchronous generator":
        return (
            f"{name} returns {what} that nobody runs: measure a function that goes through it in asyncio.run"
        )
    return f"{name} returns {what} that nobody runs: measure {runs} of it, e.g. lambda: {runs}({name}(…))"


def _first(parts: Iterable[Any]) -> str | None:
    found = [what for what in map(unrun, parts) if what is not None]
    return f"{found[0]} within its result" if found else None
