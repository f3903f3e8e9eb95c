"""`joulemark explain`: why A is faster than B, from the evidence in their records."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from harness.cli.output import print_blocks, print_json
from harness.cli.sweeps import current, read_sweeps, say_left_out
from harness.comparison.explain import explain
from harness.records import open_store
from harness.records.machines import machine_names
from harness.records.results import TrialResult
from harness.records.store import Store
from harness.system.errors import UsageError

MOST = 8
"""Explanations that are printed; `--json` has all."""


def main(options: argparse.Namespace) -> int:
    """Print an explanation for each piece of work that both sides have."""
    store = open_store(options.results)
    a, b = (chosen(store, side, options.work) for side in (options.a, options.b))
    pairs = matched(a, b)
    if not pairs:
        if options.a == options.b:
            raise UsageError(f"{options.a} on both sides: name two sweeps, or trials by SWEEP:WORDS")
        one, other = (", ".join(r.label for r in side[:3]) or "nothing with a result" for side in (a, b))
        raise UsageError(f"{options.a} and {options.b} have no work in common: {one} against {other}")
    names = machine_names(r for result in (*a, *b) for r in result.records)
    found = [described(one, other, names) for one, other in pairs]
    if options.json:
        print_json({"explanations": found})
        return 0
    from harness.report.sections.explanation import explanation_blocks

    for number, each in enumerate(found[:MOST]):
        print_blocks(explanation_blocks(each, number))
        print()
    if len(found) > MOST:
        print(f"{len(found) - MOST} more: name one by --work, or see --json")
    return 0


def described(a: TrialResult, b: TrialResult, names: dict[str, str]) -> dict[str, Any]:
    """Return an explanation as plain data, its sides named by what sets them apart."""
    apart = a.machine_id != b.machine_id
    sides = [f"{r.label}{f' on {names[r.machine_id]}' if apart else ''} ({r.sweep})" for r in (a, b)]
    return {"a": sides[0], "b": sides[1], **asdict(explain(a, b))}


def chosen(store: Store, side: str, work: str | None) -> list[TrialResult]:
    """Return a side's results: a sweep's, or those of it whose labels have the words behind the colon."""
    sweep, _, words = side.partition(":")
    found, unread = read_sweeps(store, [sweep])
    results, left_out = current(found)
    say_left_out([*unread, *left_out])
    wanted = f"{words} {work or ''}".split()
    return [r for r in results if r.replicas_ok and all(w in r.label.split() for w in wanted)]


def matched(a: Sequence[TrialResult], b: Sequence[TrialResult]) -> list[tuple[TrialResult, TrialResult]]:
    """Pair results of the same work; where none is the same, of the same workload, size and mode."""
    by_work = {r.work_id: r for r in b}
    same = [(r, by_work[r.work_id]) for r in a if r.work_id in by_work and by_work[r.work_id] is not r]
    if same:
        return [(one, other) for one, other in same if one.records != other.records]

    def kind(r: TrialResult) -> tuple[Any, ...]:
        return tuple(r.config.get("workload", {}).get(k) for k in ("name", "size", "mode"))

    by_kind: dict[tuple[Any, ...], list[TrialResult]] = {}
    for r in b:
        by_kind.setdefault(kind(r), []).append(r)
    return [(r, by_kind[kind(r)][0]) for r in a if len(by_kind.get(kind(r), ())) == 1]
