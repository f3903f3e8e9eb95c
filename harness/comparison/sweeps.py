"""Two sweeps compared from their records alone, trial by trial, joined by what was computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from harness.comparison.verdicts import Line, verdicts
from harness.identity.fingerprint import CODE_IDENTITY, CODE_IDENTITY_LATER
from harness.records.chain import positions
from harness.records.results import TrialResult, ran
from harness.stats import across_sweep, compare_unpaired
from harness.system.errors import InputError

INITIAL = ("initial_weights_sha256", "first_batch_sha256")
"""Evidence of what a trial began with; records of before have none."""
Differences = dict[str, tuple[Any, Any]]
"""By fact, its value of A and of B."""


@dataclass(frozen=True, slots=True)
class MatchedTrial:
    """One piece of work that both sweeps have done, and the verdict on each of its metrics."""

    work_id: str
    label: str
    lines: list[Line]
    replicas: tuple[int, int]
    settings: Differences
    """What of `measure` and `power` differs: the numbers mean the same and were had in another way."""
    started_from: Differences
    """Digests of the initial weights and the first batch that differ: one seed gave other numbers."""


@dataclass(frozen=True, slots=True)
class SweepComparison:
    """Two sweeps side by side."""

    works: list[MatchedTrial]
    hardware: Differences
    software: Differences
    unmatched: tuple[list[str], list[str]]
    """Labels of what only A, and only B, has good records of."""
    superseded: int
    """Results left out because the same work was measured again later in the same sweep."""


def compare_sweeps(
    a: Sequence[TrialResult], b: Sequence[TrialResult], *, delta: float = 0.01
) -> SweepComparison:
    """Join two sweeps' results by work, and compare what both have.

    Within a metric the verdicts of all works stand or fall together: `better` and `worse` are kept where
    Benjamini and Hochberg's procedure and the least effect `delta` bear them.

    Raises:
        ValueError: they have no work in common.
    """
    newest_a, newest_b = _newest(a), _newest(b)
    common = [work_id for work_id in newest_a if work_id in newest_b]
    unmatched = tuple([r.label for w, r in one.items() if w not in common] for one in (newest_a, newest_b))
    if not common:
        one, other = (", ".join(labels[:3]) or "no good record" for labels in unmatched)
        raise InputError(f"they have no work in common: {one} against {other}")
    works = _across([_work(newest_a[work_id], newest_b[work_id], delta) for work_id in common], delta)
    software: Differences = {}
    hardware: Differences = {}
    for work_id in common:
        x, y = newest_a[work_id].records[-1], newest_b[work_id].records[-1]
        software |= _software(x.code, y.code) | _products(x.evidence, y.evidence)
        hardware |= _differences(x.machine, y.machine, sorted({*x.machine, *y.machine}))
    superseded = sum(r.replicas_ok > 0 for r in (*a, *b)) - len(newest_a) - len(newest_b)
    return SweepComparison(works, hardware, software, (unmatched[0], unmatched[1]), superseded)


def _newest(results: Sequence[TrialResult]) -> dict[str, TrialResult]:
    """Return each work's last result that has a good record, by work."""
    places = positions(record for result in results for record in result.records)
    good = sorted((r for r in results if r.replicas_ok), key=lambda r: ran(r, places))
    last = {r.work_id: r for r in good}
    return {r.work_id: last[r.work_id] for r in results if r.work_id in last}


def _work(a: TrialResult, b: TrialResult, delta: float) -> MatchedTrial:
    settings: Differences = {}
    for section in ("measure", "power"):
        one, other = a.config.get(section, {}), b.config.get(section, {})
        found = _differences(one, other, sorted({*one, *other}))
        settings |= {f"{section}.{key}": values for key, values in found.items()}
    how = partial(compare_unpaired, delta=delta)
    lines = verdicts(a.replicas(), b.replicas(), how, paired=False)
    one, other = a.records[-1].evidence, b.records[-1].evidence
    known = [name for name in INITIAL if one.get(name) is not None and other.get(name) is not None]
    started_from = _differences(one, other, known)
    return MatchedTrial(a.work_id, b.label, lines, (a.replicas_ok, b.replicas_ok), settings, started_from)


def _across(works: list[MatchedTrial], delta: float) -> list[MatchedTrial]:
    """Judge each metric's comparisons together; iteration times are one metric, filtered or not."""

    def family(line: Line) -> str:
        return line.metric_id.removesuffix(".clean")

    judged: dict[int, Line] = {}
    for name in {family(line) for work in works for line in work.lines}:
        lines = [line for work in works for line in work.lines if family(line) == name and line.comparison]
        found = across_sweep([c for line in lines if (c := line.comparison)], least_effect=delta, looks=1)
        judged |= {id(line): replace(line, comparison=c) for line, c in zip(lines, found, strict=True)}
    return [replace(work, lines=[judged.get(id(line), line) for line in work.lines]) for work in works]


def _software(a: Mapping[str, Any], b: Mapping[str, Any]) -> Differences:
    """Compare what decides the numbers; each library that a trial uses is a fact of its own."""
    names = [name for name in (*CODE_IDENTITY, *CODE_IDENTITY_LATER) if name != "libraries"]
    one, other = a.get("libraries") or {}, b.get("libraries") or {}
    return _differences(a, b, names) | _differences(one, other, sorted({*one, *other}))


def _products(a: Mapping[str, Any], b: Mapping[str, Any]) -> Differences:
    """Compare the precision in which XLA multiplied, where both sides are XLA's."""
    one, other = ((e.get("transformed") or {}).get("xla") or {} for e in (a, b))
    return _differences(one, other, ["matmul_precision"]) if one and other else {}


def _differences(a: Mapping[str, Any], b: Mapping[str, Any], names: Sequence[str]) -> Differences:
    return {name: (a.get(name), b.get(name)) for name in names if a.get(name) != b.get(name)}
