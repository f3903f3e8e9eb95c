"""`joulemark ab`: two configurations, environments or checkouts as interleaved pairs, with a verdict."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from harness.cli.output import print_json
from harness.cli.verdict_table import effect, print_verdicts
from harness.comparison.pairs import Pairs, SideFailedError
from harness.comparison.sides import Side, environment, make_side
from harness.comparison.verdicts import Line
from harness.execution.progress import duration
from harness.records import open_store
from harness.stats import next_look
from harness.system.errors import UsageError

_EXIT = {"worse": 3, "inconclusive": 4, "unavailable": 4}
_SIDES = ("base", "head")


def main(options: argparse.Namespace) -> int:
    """Measure pairs until there is a verdict; 3 when the head is worse, 4 when nothing can be said."""
    if not 0 < options.delta < 1:
        raise UsageError(f"--delta {options.delta:g}: choose between 0 and 1, e.g. 0.01")
    overrides = side_overrides(options)
    name = options.name or f"ab-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    with contextlib.ExitStack() as stack:
        sides = []
        for side in _SIDES:
            where = environment(getattr(options, f"{side}_python"), getattr(options, f"{side}_checkout"))
            folders = [Path(d) for d in options.config_dir]
            sides.append(make_side(side, overrides[side], stack.enter_context(where), folders))
        return _compare(options, name, *sides)


def side_overrides(options: argparse.Namespace) -> dict[str, list[str]]:
    """Return the overrides of each side, the shared ones first.

    Raises:
        ValueError: BASE or HEAD is missing, or cannot be split into words.
    """
    words = list(options.overrides)
    elsewhere = [getattr(options, f"{side}_{what}") for side in _SIDES for what in ("python", "checkout")]
    own: dict[str, list[str]] = {side: [] for side in _SIDES}
    if not any(elsewhere):
        if len(words) < len(_SIDES):
            raise UsageError("ab takes BASE and HEAD, each a quoted list of overrides; '' is an empty one")
        own = {side: _split(side, words.pop(0)) for side in _SIDES}
    if options.pair_seconds is not None:
        words.append(f"measure.seconds={options.pair_seconds:g}")
    if any(elsewhere):
        # Settings that act at import differ between environments: each process is a new interpreter.
        words.append("run.worker=exec")
    return {side: [*words, *own[side]] for side in _SIDES}


def _split(side: str, words: str) -> list[str]:
    try:
        return shlex.split(words)
    except ValueError as error:
        raise UsageError(f"{side.upper()} {words!r}: {error}") from error


def _compare(options: argparse.Namespace, name: str, base: Side, head: Side) -> int:
    results = {side.trial.config.run.results for side in (base, head)}
    if len(results) > 1:
        raise UsageError(f"run.results: one comparison has one folder, not {', '.join(sorted(results))}")
    store = open_store(results.pop())
    pairs = Pairs(name, base, head, store, delta=options.delta)
    began = time.monotonic()

    pairs_now = 0

    def show_pair(done: int, lines: list[Line]) -> None:
        nonlocal pairs_now
        pairs_now += 1
        _tell(done, lines, (time.monotonic() - began) / pairs_now)

    pairs.on_pair = show_pair
    pairs.note = partial(print, file=sys.stderr)
    print(f"{name}: {_what(base)} against {_what(head)}", file=sys.stderr)
    try:
        lines = pairs.run()
    except KeyboardInterrupt:
        print(
            f"joulemark: interrupted after {pairs.pairs()} pairs, which are kept; "
            f"go on with the same command and --name {name}",
            file=sys.stderr,
        )
        return 130
    except SideFailedError as error:
        print(f"joulemark: {error}; its record is in {store.root / name}-*", file=sys.stderr)
        return 1
    code = _EXIT.get(lines[0].label, 0)
    took_s = time.monotonic() - began
    if options.json:
        print_json(
            {
                "name": name,
                "sweeps": [pairs.sweep(base), pairs.sweep(head)],
                "base": _facts(base),
                "head": _facts(head),
                "pairs": pairs.pairs(),
                "seconds": took_s,
                "delta": options.delta,
                "headline": lines[0].metric_id,
                "verdict": lines[0].label,
                "metrics": [line.plain() for line in lines],
                "exit_code": code,
            }
        )
        return code
    print_verdicts(lines)
    print(f"\n{sentence(lines[0])}, after {pairs.pairs()} pairs in {duration(took_s)}")
    print(f"records: {pairs.sweep(base)} and {pairs.sweep(head)} in {store.root}")
    return code


def sentence(headline: Line) -> str:
    """Say the headline's verdict in a few words."""
    found = headline.comparison
    if found is None:
        return f"no verdict: {headline.reason}"
    if found.label == "inconclusive":
        could = "" if found.mde is None else f"; {found.mde:.1%} would have been found in four cases of five"
        return f"inconclusive: {effect(found)}{could}"
    return f"{found.label}: {effect(found)}"


def _tell(done: int, lines: Sequence[Line], each_s: float) -> None:
    headline = lines[0]
    found = headline.comparison
    usable = found.pairs if found is not None else 0
    look = next_look(usable - 1) or usable
    say = str(headline.reason) if found is None else f"{headline.metric_id} {effect(found)}"
    say += f", {done - usable} disturbed" if found is not None and usable < done else ""
    left = f"look at {look} in {duration(each_s * (look - usable))}" if look > usable else "look"
    print(f"pair {done:2d}  {say}  ({each_s:.1f} s a pair; {left})", file=sys.stderr)


def _what(side: Side) -> str:
    where = [str(part) for part in (side.environment.python, side.environment.checkout) if part]
    return f"{side.name} {side.trial.label}" + (f" in {', '.join(where)}" if where else "")


def _facts(side: Side) -> dict[str, object]:
    return {
        "label": side.trial.label,
        "work_id": side.trial.work_id,
        "trial_id": side.trial.trial_id,
        "code_id": side.identity.code_id,
        "python": side.environment.python,
        "commit": side.environment.commit,
        "overrides": list(side.trial.overrides),
    }
