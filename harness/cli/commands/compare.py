"""`joulemark compare`: two sweeps from their records alone, joined by what was computed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from harness.cli.commands.compare_foreign import is_foreign, show_beside
from harness.cli.output import print_json, print_table, visible
from harness.cli.sweeps import merged_beside, read_sweep
from harness.cli.verdict_table import COLUMNS, row
from harness.comparison.sweeps import Differences, SweepComparison, compare_sweeps
from harness.records import open_store
from harness.records.estimates import trial_results
from harness.records.results import TrialResult, own_first
from harness.system.errors import InputError, UsageError

_SHOWN = 60


def main(options: argparse.Namespace) -> int:
    """Compare; 3 when anything is worse, 4 when a headline is undecided, 2 when comparing would mislead."""
    if not 0 < options.delta < 1:
        raise UsageError(f"--delta {options.delta:g}: choose between 0 and 1, e.g. 0.01")
    foreign = [is_foreign(name) for name in (options.a, options.b)]
    if all(foreign):
        raise UsageError(f"{options.a} and {options.b}: nothing of ours is to be compared, both are foreign")
    if any(foreign):
        ours, theirs = (options.b, options.a) if foreign[0] else (options.a, options.b)
        return show_beside(_results(ours, options.results), ours, theirs, options)
    a, b = (_results(name, options.results) for name in (options.a, options.b))
    try:
        joined = compare_sweeps(a, b, delta=options.delta)
    except InputError as error:
        raise UsageError(f"{options.a} and {options.b}: {error}") from error
    if joined.software and "software" not in options.allow:
        raise UsageError(
            f"{options.a} and {options.b} ran different software ({_words(joined.software)}); "
            "say --allow software to compare them anyway"
        )
    headlines = {work.lines[0].label for work in joined.works}
    code = 3 if "worse" in headlines else 4 if headlines & {"inconclusive", "unavailable"} else 0
    if options.json:
        print_json(_plain(options, joined, code))
    else:
        _print(options, joined)
    return code


def _results(name: str, folder: str) -> list[TrialResult]:
    """Read a sweep, by its name or by the path of its folder."""
    path = Path(name)
    store = open_store(path.parent if len(path.parts) > 1 else folder)
    results, beside = own_first(trial_results(read_sweep(store, path.name)[0]))
    for result in beside:
        print(f"joulemark: {visible(merged_beside(result))}", file=sys.stderr)
    return results


def _print(options: argparse.Namespace, joined: SweepComparison) -> None:
    rows = []
    for work in joined.works:
        for number, line in enumerate(work.lines):
            counts = f"{work.replicas[0]} and {work.replicas[1]}" if number == 0 else ""
            rows.append([work.label if number == 0 else "", counts, *row(line)])
    print_table(["trial", "replicas", *COLUMNS], rows, title=f"{options.b} against {options.a}")
    print()
    for what, differences in (("hardware", joined.hardware), ("software", joined.software)):
        if differences:
            print_table([what, options.a, options.b], [[k, *map(_short, v)] for k, v in differences.items()])
        else:
            print(f"{what}: no difference")
    settings: Differences = {key: v for work in joined.works for key, v in work.settings.items()}
    if settings:
        print(visible(f"measured in another way: {_words(settings)}"))
    for work in joined.works:
        if work.started_from:
            numbers = _words(work.started_from)
            print(visible(f"one seed gave other numbers in {work.label}: {numbers}"))
    for name, labels in zip((options.a, options.b), joined.unmatched, strict=True):
        if labels:
            print(visible(f"only in {name}: {', '.join(labels)}"))
    if joined.superseded:
        print(f"left out: {joined.superseded} earlier results of work that was measured again")


def _plain(options: argparse.Namespace, joined: SweepComparison, code: int) -> dict[str, Any]:
    return {
        "base": options.a,
        "head": options.b,
        "delta": options.delta,
        "works": [
            {
                "work_id": work.work_id,
                "label": work.label,
                "replicas": work.replicas,
                "settings": work.settings,
                "started_from": work.started_from,
                "verdict": work.lines[0].label,
                "metrics": [line.plain() for line in work.lines],
            }
            for work in joined.works
        ],
        "hardware": joined.hardware,
        "software": joined.software,
        "only_base": joined.unmatched[0],
        "only_head": joined.unmatched[1],
        "superseded": joined.superseded,
        "exit_code": code,
    }


def _words(differences: Differences) -> str:
    return ", ".join(f"{key} {_short(a)} to {_short(b)}" for key, (a, b) in differences.items())


def _short(value: Any) -> str:
    text = "none" if value is None else " ".join(str(value).split())
    if len(text) == 64 and all(c in "0123456789abcdef" for c in text):
        return text[:12]
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
