"""Read the sweeps that a verb names."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache

from harness.cli.output import visible
from harness.records.chain import positions
from harness.records.headline import HEADLINES
from harness.records.index import read_records, read_results
from harness.records.numbers import quantity
from harness.records.results import TrialResult, own_first, ran
from harness.records.schema import Record
from harness.records.store import Store, UnreadableRecord
from harness.system.errors import UsageError

_SAID = 10
"""Lines of what is left out; the report has all."""


def read_sweep(store: Store, sweep: str) -> tuple[list[Record], Sequence[UnreadableRecord]]:
    """Return a sweep's records, and those that cannot be read.

    Raises:
        ValueError: there is no record; the message names the sweeps that there are.
    """
    records, torn = read_records(store, sweep)
    if not records:
        raise _nothing_of(store, sweep, torn)
    return records, torn


def _nothing_of(store: Store, sweep: str, torn: Sequence[UnreadableRecord]) -> UsageError:
    known = ", ".join(store.sweeps())
    hint = f"there are: {known}" if known else "no sweep has been run yet"
    unread = f", and {len(torn)} that cannot be read: {torn[0].reason}" if torn else ""
    return UsageError(f"{store.root}: no records of a sweep {sweep}{unread}; {hint}")


def read_sweeps(store: Store, sweeps: Sequence[str]) -> tuple[list[TrialResult], list[str]]:
    """Return the results of sweeps, and a line for each record that cannot be read.

    Raises:
        ValueError: a sweep has no records.
    """
    results: list[TrialResult] = []
    left_out: list[str] = []
    for sweep in dict.fromkeys(sweeps):
        found, unread = read_results(store, sweep)
        if not found and not unread:
            raise _nothing_of(store, sweep, unread)
        results += found
        left_out += [f"{each.path.relative_to(store.root)}: {each.reason}" for each in unread]
    return results, left_out


def current(results: Sequence[TrialResult]) -> tuple[list[TrialResult], list[str]]:
    """Keep, of the results of one trial on one machine, what holds now; say in a line each what does not.

    What was measured here stands before what was merged, and of that the code that ran last: `joulemark
    compare` is for what changed between codes.
    """
    kept, beside = own_first(results)
    last: dict[tuple[str, str, str], TrialResult] = {}
    places = cache(lambda: positions(record for result in kept for record in result.records))
    for result in kept:
        key = (result.sweep, result.trial_id, result.machine_id)
        if key not in last or ran(result, places()) > ran(last[key], places()):
            last[key] = result
    said = [merged_beside(result) for result in beside]
    if superseded := len(kept) - len(last):
        said.append(f"{superseded} results of earlier code, measured again since")
    whole = _whole_copies(list(last.values()), places)
    if copies := len(last) - len(whole):
        said.append(f"{copies} results that a cluster's blocks began on one node and measured on another")
    return whole, said


def _whole_copies(
    results: Sequence[TrialResult], places: Callable[[], Mapping[str, int]]
) -> list[TrialResult]:
    """Keep, of what a cluster's blocks left of one trial on several machines, the one with most replicas."""
    best: dict[tuple[str, str], TrialResult] = {}

    def standing(result: TrialResult) -> tuple[int, object]:
        return result.replicas_ok, ran(result, places())

    of_blocks = [result for result in results if any(map(_of_block, result.records))]
    for result in of_blocks:
        key = (result.sweep, result.trial_id)
        if key not in best or standing(result) > standing(best[key]):
            best[key] = result
    left_out = {id(result) for result in of_blocks} - {id(result) for result in best.values()}
    return [result for result in results if id(result) not in left_out]


def _of_block(record: Record) -> bool:
    allocation = record.evidence.get("allocation")
    return isinstance(allocation, dict) and allocation.get("block") is not None


def say_left_out(lines: Sequence[str]) -> None:
    """Name on standard error what an answer does not rest on, ten at most."""
    for line in lines[:_SAID]:
        print(f"joulemark: {visible(line)}", file=sys.stderr)
    if len(lines) > _SAID:
        print(f"joulemark: and {len(lines) - _SAID} more", file=sys.stderr)


def merged_beside(result: TrialResult) -> str:
    """Say in one line what was merged beside a result of ours."""
    shown = "no result"
    for name in HEADLINES:
        e = result.estimates.get(name)
        if e is not None and e.value is not None:
            shown = quantity(e.value, e.unit, e.low, e.high).whole
            break
    return f"merged beside yours, which stands: {result.label}: {shown}, {result.replicas_ok} replicas"
