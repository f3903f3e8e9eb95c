"""The commands that run the same trials again, from the overrides that each record keeps."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from functools import lru_cache

from harness.records.repeatable import is_safe_override
from harness.report.text import line
from harness.report.trials import Trial, fact

MOST_LINES = 60
LONGEST = 500
MOST_LEFT_OUT = 10
WHERE = frozenset({"run.results"})
"""Overrides that say where the records went, not what was measured."""
Call = dict[str, tuple[str, ...]]
"""One command: an override's key to the values that it sweeps over; an override without a value has none."""


def commands(trials: Sequence[Trial]) -> list[str]:
    """Return the command lines that run these trials again; trials that form a grid share a line."""
    recorded = [fact(t.result.config, "overrides") for t in trials]
    calls = [_call(found) for found in recorded if isinstance(found, list | tuple)]
    lines = [" ".join(["joulemark run", *_arguments(call)]) for call in _merged(calls)]
    if len(lines) > MOST_LINES:
        more = len(lines) - MOST_LINES
        lines = [*lines[:MOST_LINES], f"# and {more} more; every record keeps its own overrides"]
    return lines + _left_out(recorded)


def _call(overrides: Sequence[object]) -> Call:
    call: Call = {}
    for key, values, is_safe in map(_read, map(str, overrides)):
        if key in WHERE or not is_safe:
            continue
        call[key] = values
        if key.lstrip("+") == "experiment":
            call["sweep"] = ("[]",)  # the trial's own overrides stand for the experiment's grids
    return call


@lru_cache(maxsize=1 << 12)
def _read(override: str) -> tuple[str, tuple[str, ...], bool]:
    """Return an override's key, its value if it has one, and whether it may stand in a command."""
    text = line(override, LONGEST)
    key, equals, value = text.partition("=")
    return key, (value,) if equals else (), is_safe_override(text)


def _left_out(recorded: Sequence[object]) -> list[str]:
    """Name the keys whose values a record may not put into a command: paths, programs, hosts."""
    words = (str(word) for found in recorded if isinstance(found, list | tuple) for word in found)
    keys = {key for key, _, is_safe in map(_read, words) if not is_safe} - WHERE
    return [f"# not taken from records, give it yourself: {key[:80]}" for key in sorted(keys)[:MOST_LEFT_OUT]]


def _merged(calls: Sequence[Call]) -> list[Call]:
    """Join calls that differ in one key only into a sweep over it, key by key, last key first."""
    found = list(calls)
    for key in reversed(list(dict.fromkeys(k for call in found for k in call))):
        same: dict[object, Call] = {}
        for call in found:
            if key not in call:
                same.setdefault(("without", tuple(call.items())), call)
                continue
            rest = tuple((k, v) for k, v in call.items() if k != key)
            values = same.get((key, rest), {}).get(key, ())
            same[key, rest] = call | {key: tuple(sorted({*values, *call[key]}, key=_by_length))}
        found = list(same.values())
    return found


def _by_length(value: str) -> tuple[int, str]:
    return len(value), value  # so that 10 comes after 9


def _arguments(call: Call) -> list[str]:
    return [shlex.quote(f"{key}={','.join(values)}" if values else key) for key, values in call.items()]
