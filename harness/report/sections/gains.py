"""What each change buys: trials beside the plain one of the same work (docs/optimization.md)."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.records.results import Estimate
from harness.report.document import Cell, Column, Measured, Row, Section, Table
from harness.report.sections.plots import drawable
from harness.report.sections.speed import SpeedTest
from harness.report.sections.tables import NONE, metric_cell, name_cells, name_columns, without_empty
from harness.report.text import line
from harness.report.trials import Trial, fact, groups, headline

if TYPE_CHECKING:
    from harness.stats import Comparison
    from harness.stats.errors import Direction

TIMES = "\u00d7"
PLAIN = (None, False, "auto", "static")
"""What the keys of `optimize` say in the eager model."""
_SAME_WORK = ("seed", "parallel", "measure", "power")
_MEMORY = ("memory.peak_allocated", "memory.peak_rss")
_ENERGY = ("energy.token", "energy.sample", "energy.request", "energy.iteration")
_WORDS = {"better": "faster", "worse": "slower", "equivalent": "equal", "inconclusive": "undecided"}
_NOTE = (
    "A baseline is the plain trial of its work (fp32, eager, uncompressed) or the one with the fewest "
    "changes. Below it stand those that change more, fastest first. Speed, memory and energy are ratios to "
    "the baseline, with the 95 % interval from the replicas of both. Speed is the ranking's (throughput, "
    "undisturbed where that is known of all), its intervals hold for the whole group together; memory is the "
    "peak since the start, which holds what compiling "
    "took. Equal is within 1 %; undecided: the replicas do not tell. Last change is the speed over the trial "
    "that has most of the same changes. The first iteration compiles: below its time stands what came of "
    "that."
)


@dataclass(frozen=True, slots=True)
class Gain:
    """A trial beside its baseline."""

    trial: Trial
    base: Trial
    speed: Comparison | None = None
    """None where one of them has no valid time, and for the baseline itself."""
    beside: Trial | None = None
    """The trial with the most of this one's changes, where that is not the baseline."""
    last: Comparison | None = None
    """Its speed over that trial."""


def gains_section(ok: Sequence[Trial], energy: str, tests: Sequence[SpeedTest] | None = None) -> Section:
    """Tabulate every trial that differs from a plainer one in precision, compression or optimisation alone.

    Args:
        ok: Trials with results.
        energy: What is known of energy, said where no trial has any.
        tests: Of each group, in the order of `groups`; what they tell apart is faster or slower here too.
    """
    held = list(groups(ok).values())
    judged = tests if tests is not None else [SpeedTest(members, headline(members)) for members in held]
    gains = [
        gain
        for members, test in zip(held, judged, strict=True)
        for family in _families(members, test)
        for gain in family
    ]
    where = any(t.where for t in ok)
    columns = (
        *name_columns(where=where),
        Column("Speed", numeric=True),
        Column("Verdict"),
        Column("Last change", numeric=True),
        Column("Peak memory", numeric=True),
        Column("Energy", numeric=True),
        Column("Signal to noise", numeric=True),
        Column("First iteration", numeric=True),
    )
    known = any(drawable(g.trial, metric) for g in gains for metric in _ENERGY)
    note = _NOTE if known else f"{_NOTE} {energy[:1].upper()}{energy[1:]}."
    table = Table(
        "gains-table", "What each change buys", columns, tuple(_row(g, where=where) for g in gains), note,
        sortable=False,
    )  # fmt: skip
    return Section("gains", "What each change buys", (without_empty(table),) if gains else ())


def _row(gain: Gain, *, where: bool) -> Row:
    t, base = gain.trial, gain.trial is gain.base
    estimates = t.result.estimates
    compiled = t.result.replicas()[0].evidence.get("compiled") or ""
    word = "baseline" if base else _WORDS[gain.speed.label] if gain.speed else NONE
    cells = (
        *name_cells(t, where=where),
        _cell(gain.speed, gain),
        Cell(word, order=word),
        _last(gain),
        _cell(_ratio(gain, _MEMORY), gain),
        _cell(_ratio(gain, _ENERGY), gain),
        metric_cell(estimates.get("quality.sqnr")),
        _first(estimates.get("time.first_iteration"), line(compiled, 40)),
    )
    return Row(cells, t.workload, first=base)


def _first(estimate: Estimate | None, compiled: str) -> Cell | Measured:
    """Show the time of the first iteration, below it what compiling came to."""
    cell = metric_cell(estimate)
    if compiled or not isinstance(cell, Measured):
        return Cell(cell.text, compiled, cell.order, cell.mark)
    return cell._replace(part="number")


def _cell(found: Comparison | None, gain: Gain) -> Cell | Measured:
    if found is None:
        return Cell(NONE, mark="" if gain.trial is gain.base else "unavailable")
    low, high = (None if end is None else 1 + end for end in (found.low, found.high))
    return Measured(1 + found.effect, "1", low, high, after=TIMES)


def _last(gain: Gain) -> Cell:
    """Show the speed over the nearest trial, and which that is."""
    if gain.beside is None:
        return Cell(NONE)
    cell = _cell(gain.last, gain)
    return Cell(cell.text, f"{cell.detail} over {gain.beside.config}".strip(), cell.order, cell.mark)


def _families(members: Sequence[Trial], test: SpeedTest) -> list[list[Gain]]:
    """Gather trials that differ in their changes alone, each family's baseline first; none of one trial."""
    found: dict[str, list[Trial]] = defaultdict(list)
    for t in members:
        found[_work(t)].append(t)
    return [gains for family in found.values() if len(gains := _gains(family, test)) > 1]


def _gains(family: Sequence[Trial], test: SpeedTest) -> list[Gain]:
    changes = [_changes(t) for t in family]
    at = min(range(len(family)), key=lambda i: len(changes[i]))
    base = family[at]
    changed = [
        Gain(t, base, test.compare(base, t), near, test.compare(near, t) if near else None)
        for t, own in zip(family, changes, strict=True)
        if own > changes[at]
        for near in [_nearest(t, own, changes[at], family, changes)]
    ]
    return [Gain(base, base), *sorted(changed, key=lambda g: -g.speed.effect if g.speed else 1.0)]


def _nearest(
    trial: Trial,
    own: frozenset[str],
    plain: frozenset[str],
    family: Sequence[Trial],
    changes: Sequence[frozenset[str]],
) -> Trial | None:
    """Return the trial that lacks the fewest of this one's changes; of several the one in its precision."""
    found = [(len(theirs), t) for t, theirs in zip(family, changes, strict=True) if plain < theirs < own]

    def near(other: tuple[int, Trial]) -> tuple[int, bool]:
        n, t = other
        return n, fact(t.result.config, "precision") == fact(trial.result.config, "precision")

    return max(found, key=near, default=(0, None))[1]


def _changes(trial: Trial) -> frozenset[str]:
    """What of a trial is not plain, as text."""
    config = trial.result.config
    settings = {k: v for k, v in _part(config, "optimize").items() if k != "name" and v not in PLAIN}
    if (precision := fact(config, "precision", "name")) != "fp32":
        settings["precision"] = precision
    if fact(config, "compress", "name") not in ("none", None):
        settings["compress"] = fact(config, "compress")
    if (accumulate := fact(config, "workload", "accumulate")) not in (1, None):
        settings["accumulate"] = accumulate
    return frozenset(json.dumps(item, sort_keys=True) for item in settings.items())


def _work(trial: Trial) -> str:
    r, config = trial.result, trial.result.config
    workload = {k: v for k, v in _part(config, "workload").items() if k != "accumulate"}
    device = {k: v for k, v in _part(config, "device").items() if k != "index"}
    rest: list[Any] = [config.get(k) for k in _SAME_WORK]
    return json.dumps([r.machine_id, r.code_id, r.sweep, workload, device, rest], sort_keys=True)


def _part(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = config.get(name)
    return found if isinstance(found, Mapping) else {}


def _ratio(gain: Gain, metrics: Sequence[str]) -> Comparison | None:
    """Compare trial / base of the first of these metrics that the baseline has."""
    metric = next((m for m in metrics if drawable(gain.base, m)), None)
    if metric is None or gain.trial is gain.base:
        return None
    return _compared(metric, gain.base, gain.trial, "lower")


def _compared(metric: str, below: Trial, above: Trial, direction: Direction) -> Comparison | None:
    from harness.stats import StatsError, compare_unpaired

    if not (drawable(below, metric) and drawable(above, metric)):
        return None
    try:
        base, head = below.result.values(metric), above.result.values(metric)
        return compare_unpaired(base, head, direction=direction, mde=False)
    except StatsError:  # values that no ratio can be made of
        return None
