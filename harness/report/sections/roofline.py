"""Each trial under the ceilings measured on its own device, what bounds it, and which certificate says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any

from harness.records.numbers import quantity
from harness.report.document import (
    Block,
    Cell,
    Column,
    Mark,
    Paragraph,
    Roof,
    Roofline,
    RooflineMark,
    Row,
    Section,
    Table,
)
from harness.report.sections.profiles import profile_table
from harness.report.sections.tables import NONE, name_cells, name_columns, without_empty
from harness.report.text import line, listing, number, plural
from harness.report.trials import Trial, fact

MOST_MARKS, MOST_ROOFS = 24, 4
"""Trials and pairs of ceilings in one figure; the table holds all."""
NO_CERTIFICATE = "No certificate"


@dataclass(frozen=True, slots=True)
class _Place:
    """One trial under its ceilings, the median of its replicas."""

    number: int
    trial: Trial
    intensity: float
    attained_flop_s: float
    share: float
    under: str
    roof: Roof


def roofline_section(ok: Sequence[Trial]) -> Section:
    """The table of places and bottlenecks, and the figure; where there is none, the reason."""
    places = [p for i, t in enumerate(ok) if (p := _place(t, i + 1)) is not None]
    blocks: list[Block] = []
    if places:
        blocks.append(
            Paragraph(
                "Work is placed by its counted FLOPs and the least bytes that it must move, under what was "
                "measured on the very device that ran it. The least traffic is a lower bound: what a step "
                "moves beyond it is not counted."
            )
        )
    blocks += _absent(ok, places)
    if places or any(map(_verdict, ok)):
        blocks.append(_table(ok, {p.trial.name: p for p in places}))
    if places:
        blocks.append(_figure(places))
    if (profiles := profile_table(ok)) is not None:
        blocks.append(profiles)
    return Section("roofline", "Ceilings and bottlenecks", tuple(blocks))


def certificate_section(named: Sequence[Trial]) -> Section:
    """Which certificates of the instrument held when the trials ran, their age and failed checks."""
    found: dict[str, list[tuple[Trial, Mapping[str, Any], str]]] = {}
    without: dict[str, int] = {}
    for t in named:
        for record in t.result.records:
            certificate = record.evidence.get("certificate")
            if record.status != "ok" or not isinstance(certificate, Mapping):
                continue
            if certificate.get("id") is None:
                reason = line(certificate.get("reason") or "no reason was recorded", 160)
                without[reason] = without.get(reason, 0) + 1
            else:
                found.setdefault(line(certificate["id"], 32), []).append((t, certificate, record.started_at))
    blocks: list[Block] = [
        Paragraph(f"{NO_CERTIFICATE} held for {plural(n, 'replica')}: {reason}.")
        for reason, n in without.items()
    ]
    if not found and not without and named:
        blocks.append(Paragraph(f"{NO_CERTIFICATE} is named in these records."))
    if found:
        columns = ("Certificate", "Device", "Made", "Age at the last trial", "Checks", "Failed checks")
        rows = tuple(_certificate_row(identity, uses) for identity, uses in found.items())
        blocks.append(
            Table(
                "certificates-table",
                "Certificates",
                tuple(Column(c, wide=c == "Failed checks") for c in columns),
                rows,
                "A certificate is what joulemark qualify found of the instrument and the device.",
            )
        )
    return Section("instrument", "Instrument", tuple(blocks))


def _certificate_row(identity: str, uses: Sequence[tuple[Trial, Mapping[str, Any], str]]) -> Row:
    trial, certificate, _ = uses[0]
    device = fact(trial.result.config, "device") or {}
    made = line(certificate.get("made_at", ""), 40)
    failed = [line(f, 40) for f in certificate.get("failed") or ()]
    kind = "quick" if certificate.get("quick") else "full"
    passed, missing = (int(number(certificate.get(k)) or 0) for k in ("passed", "not_available"))
    counts = f"{kind}: {passed} passed, {len(failed)} failed, {missing} not available"
    status: Mark = "flagged" if failed else "valid"
    return Row(
        (
            Cell(identity),
            Cell(f"{line(fact(device, 'kind') or '', 20)}:{line(fact(device, 'index') or 0, 6)}"),
            Cell(made),
            Cell(_age(made, max(at for _, _, at in uses))),
            Cell(counts, mark=status),
            Cell(listing(failed) if failed else "none"),
        )
    )


def _age(made: str, used: str) -> str:
    try:
        seconds = (datetime.fromisoformat(used) - datetime.fromisoformat(made)).total_seconds()
    except (ValueError, TypeError):
        return NONE
    return f"{seconds / 86400:.1f} days" if seconds >= 86400 else f"{max(0.0, seconds) / 3600:.1f} hours"


def _place(trial: Trial, place_number: int) -> _Place | None:
    read = [_placed(r.evidence.get("roofline")) for r in trial.result.records if r.status == "ok"]
    found = [numbers for numbers in read if numbers is not None]
    if not found:
        return None
    intensity, _, _, flop_s, bandwidth = found[-1]
    precision = line(fact(trial.result.config, "precision", "name") or "", 12)
    return _Place(
        place_number,
        trial,
        intensity,
        median(attained for _, attained, _, _, _ in found),
        median(share for _, _, share, _, _ in found),
        "compute" if flop_s <= intensity * bandwidth else "memory",
        Roof(f"{precision} {trial.where}".strip(), flop_s, bandwidth),
    )


def _placed(evidence: Any) -> tuple[float, ...] | None:
    """Return intensity, attained FLOP/s, share and both ceilings, or None: evidence may hold anything."""
    if not isinstance(evidence, Mapping):
        return None
    keys = ("intensity", "attained_flop_s", "share", "flop_s", "bandwidth_b_s")
    numbers = [n for key in keys if (n := number(evidence.get(key))) is not None and n > 0]
    return tuple(numbers) if len(numbers) == len(keys) else None


def _verdict(trial: Trial) -> Mapping[str, Any] | None:
    for record in trial.result.records:
        found = record.evidence.get("bottleneck")
        if record.status == "ok" and isinstance(found, Mapping):
            return found
    return None


def _absent(ok: Sequence[Trial], places: Sequence[_Place]) -> list[Block]:
    """Say of the trials that have no place why they have none."""
    placed = {p.trial.name for p in places}
    reasons: dict[str, int] = {}
    for t in ok:
        if t.name not in placed:
            told = [fact(r.evidence, "roofline", "reason") for r in t.result.records if r.status == "ok"]
            reason = line(next((r for r in told if r), "their records name no ceilings"), 160)
            reasons[reason] = reasons.get(reason, 0) + 1
    return [Paragraph(f"{plural(n, 'trial')} not placed: {reason}.") for reason, n in reasons.items()]


def _table(ok: Sequence[Trial], places: Mapping[str, _Place]) -> Table:
    where = any(t.where for t in ok)
    columns = (
        Column("No.", numeric=True),
        *name_columns(where=where),
        Column("FLOPs per byte", numeric=True),
        Column("Attained", numeric=True),
        Column("Of the ceiling", numeric=True),
        Column("Bound by"),
        Column("Evidence", wide=True),
    )
    rows = []
    for i, t in enumerate(ok):
        place, verdict = places.get(t.name), _verdict(t)
        if place is None and verdict is None:
            continue
        first = Cell(str(i + 1), order=float(i + 1)) if place else Cell(NONE)
        cells = (first, *name_cells(t, where=where), *_place_cells(place), *_verdict_cells(verdict))
        rows.append(Row(cells, t.workload))
    note = "Ceilings are the arithmetic or, left of the ridge, the bandwidth ceiling, whichever is lower."
    return without_empty(Table("roofline-table", "Places and bottlenecks", columns, tuple(rows), note))


def _place_cells(place: _Place | None) -> tuple[Cell, ...]:
    if place is None:
        return (Cell(NONE, mark="unavailable"),) * 3
    return (
        Cell(quantity(place.intensity, "1").text, order=place.intensity),
        Cell(quantity(place.attained_flop_s, "FLOP/s").text, order=place.attained_flop_s),
        Cell(quantity(100 * place.share, "%").text, f"under {place.under}", order=place.share),
    )


def _verdict_cells(verdict: Mapping[str, Any] | None) -> tuple[Cell, Cell]:
    if verdict is None:
        return Cell(NONE), Cell("not profiled")
    evidence = verdict.get("evidence")
    sentences = [line(e, 160) for e in evidence[:3]] if isinstance(evidence, list | tuple) else []
    return Cell(line(verdict.get("bound") or NONE, 20)), Cell("; ".join(sentences))


def _figure(places: Sequence[_Place]) -> Roofline:
    roofs = list(dict.fromkeys(p.roof for p in places))[:MOST_ROOFS]
    drawn = [p for p in places if p.roof in roofs][:MOST_MARKS]
    caption = "Lines are measured ceilings; a marker's number is the table's."
    if len(drawn) < len(places):
        caption += f" {plural(len(places) - len(drawn), 'trial')} left out here; the table has all."
    marks = tuple(
        RooflineMark(str(p.number), p.intensity, p.attained_flop_s, roofs.index(p.roof)) for p in drawn
    )
    return Roofline("roofline-figure", "Roofline", tuple(roofs), marks, caption)
