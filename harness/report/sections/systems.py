"""Machine and software facts: what the numbers hold for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.records.schema import Record
from harness.report.document import Block, Cell, Column, Paragraph, Row, Section, Table
from harness.report.sections.method import facts_rows
from harness.report.sections.tables import NONE
from harness.report.trials import Trial, letters

UNTESTED = "untested on hardware"
SIDE_BY_SIDE = 3
"""Machines in one table."""


def machine_section(trials: Sequence[Trial]) -> Section:
    """Facts of every machine, side by side."""
    ids = {t.result.machine_id: t.machine for t in sorted(trials, key=lambda t: t.colour)}
    facts = {
        i: next((r.machine for t in trials if t.result.machine_id == i for r in t.result.records), {})
        for i in ids
    }
    return Section("machine", "Machine", _blocks("machine", ids, facts))


def software_section(trials: Sequence[Trial]) -> Section:
    """Facts of every set of software."""
    ids = {i: f"Software {letter}" for i, letter in letters([t.result.code_id for t in trials]).items()}
    facts = {
        i: next((r.code for t in trials if t.result.code_id == i for r in t.result.records), {}) for i in ids
    }
    return Section("software", "Software", _blocks("software", ids, facts))


def device_section(trials: Sequence[Trial]) -> Section:
    """What differs between the devices of a report, where there are several or one is untested."""
    records = [record for t in trials for record in t.result.records if record.status == "ok"]
    rows = dict.fromkeys(map(_device_facts, records))
    if len({row[:2] for row in rows}) < 2 and not any(row[-1] == UNTESTED for row in rows):
        return Section("devices", "Devices", ())
    names = ("Device", "Name", "Clock of a step", "Compiled by", "fp32 products", "Note")
    table = Table(
        "devices",
        "Devices",
        tuple(Column(name, wide=name == "Name") for name in names),
        tuple(Row(tuple(Cell(text or NONE) for text in row)) for row in rows),
        sortable=False,
    )
    said = Paragraph(
        "Trials on different devices do the same work from the same weights; what stands here differs between"
        " them, and with it what a difference in speed may come from."
    )
    return Section("devices", "Devices", (said, table))


def _device_facts(record: Record) -> tuple[str, ...]:
    """Return kind and platform, name, clock, compiler, fp32 products, and whether it is untested."""
    facts, transformed = record.evidence.get("device") or {}, record.evidence.get("transformed") or {}
    xla = transformed.get("xla") or {}
    fenced = facts.get("kind") not in {"cpu", "cuda"}
    clock = str(record.evidence.get("clock") or "")
    compiled = str(record.evidence.get("compiled") or "eager")
    return (
        "-".join(str(part) for part in (facts.get("kind"), facts.get("platform")) if part),
        str(facts.get("name") or ""),
        f"{clock}, each step fenced" if fenced else clock,
        "XLA" if xla else compiled.partition(",")[0],
        str(xla.get("matmul_precision") or ""),
        UNTESTED if facts.get("untested_on_hardware") else "",
    )


def _blocks(name: str, ids: Mapping[str, str], facts: Mapping[str, Mapping[str, Any]]) -> tuple[Block, ...]:
    if not any(facts.values()):
        return (Paragraph("Not recorded."),)
    keys = list(ids)
    blocks: list[Block] = []
    for start in range(0, len(keys), SIDE_BY_SIDE):
        part = keys[start : start + SIDE_BY_SIDE]
        texts = {key: dict([("id", key), *facts_rows(facts[key])]) for key in part}
        names = dict.fromkeys(n for key in part for n in texts[key])
        rows = tuple(Row((Cell(n), *(Cell(texts[key].get(n, NONE)) for key in part))) for n in names)
        titles = [ids[key] if len(keys) > 1 else "Value" for key in part]
        columns = (Column("Fact"), *(Column(title, wide=True) for title in titles))
        blocks.append(Table(f"{name}-{start}", name.capitalize(), columns, rows, sortable=False))
    return tuple(blocks)
