"""Records and plans: every field times every kind of wrong value, through every command that reads them."""

from __future__ import annotations

import csv
import itertools
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

from benchmarks.hostile_bench.case import RESULTS, VALUES, Case, Command, honest, put
from harness.records.estimates import trial_results
from harness.records.store import open_store

RECORD_FIELDS = (
    "sweep", "label", "work_id", "trial_id", "machine_id", "code_id", "replica", "attempt", "status", "phase",
    "reason", "started_at", "wall_s", "config", "config.workload", "config.workload.name", "config.device",
    "config.measure", "config.measure.replicas", "config.report", "config.price", "config.price.name",
    "config.overrides", "machine", "code", "code.git_commit", "metrics", "metrics.0.id", "metrics.0.value",
    "metrics.0.unit", "metrics.0.n", "evidence", "evidence.timing_flags", "evidence.roofline",
    "evidence.energy", "evidence.audit", "series", "series.iteration_s", "worker", "log_tail", "seal",
)  # fmt: skip
PLAN_FIELDS = (
    "sweep", "machine_id", "code_id", "trials", "trials.0", "trials.0.label", "trials.0.trial_id",
    "trials.0.replicas", "trials.0.refusal", "overrides",
)  # fmt: skip
COMMANDS: tuple[Command, ...] = (
    ("status", "demo", *RESULTS),
    ("report", "demo", *RESULTS, "--format", "md", "-o", "out/report"),
    ("export", "demo", *RESULTS, "--to", "junit", "-o", "out/a.xml"),
    ("export", "demo", *RESULTS, "--to", "csv", "-o", "out/a.csv"),
    ("export", "demo", *RESULTS, "--to", "markdown", "-o", "out/a.md"),
    ("index", "query", "SELECT label, value FROM trials", *RESULTS),
    ("compare", "demo", "demo", *RESULTS),
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_MARKUP = re.compile(r"(?<!\\)(?:<script|!\[)")
"""That no backslash makes plain."""
_NUMBER = "-+.0123456789e"


def cases() -> Iterator[Case]:
    """Yield every case."""
    for file, fields in (("record", RECORD_FIELDS), ("plan", PLAN_FIELDS)):
        for field, kind in itertools.product(fields, VALUES):
            yield one(file, field, kind)


def one(file: str, field: str, kind: str) -> Case:
    """Return the case of one wrong value in one field of a record or of the plan."""

    def plant(folder: Path) -> None:
        store = honest(folder)
        records = sorted(store.root.glob("demo/*/*/*/record.json"))
        path = records[-1] if file == "record" else store.root / "demo" / "plan.json"
        told = json.loads(path.read_text())
        put(told, field, VALUES[kind])
        path.write_text(json.dumps(told))

    check = _no_sound_number if field == "metrics.0.value" else outputs
    return Case(f"{file} {field} {kind}", plant, COMMANDS, check=check)


def outputs(folder: Path) -> Iterator[str]:
    """Say what is wrong with what was exported: XML that is none, cells that are formulas, raw markup."""
    out = folder / "in" / "out"
    if (path := out / "a.xml").exists():
        try:
            ET.parse(path)  # noqa: S314 - our own output
        except ET.ParseError as error:
            yield f"JUnit is no XML: {error}"
    if (path := out / "a.csv").exists():
        with path.open(newline="") as file:
            for cell in itertools.chain(*csv.reader(file)):
                if cell.startswith(_FORMULA) and cell.strip(_NUMBER):
                    yield f"a cell is a formula: {cell[:40]!r}"
    for path in (out / "a.md", out / "report" / "report.md"):
        if path.exists() and _MARKUP.search(path.read_text()):
            yield f"{path.name} holds markup of a record"


def _no_sound_number(folder: Path) -> Iterator[str]:
    records, _ = open_store(folder / "in" / "results").records("demo")
    for result in trial_results(records):
        shown = result.estimates.get("throughput.tokens")
        if shown is not None and shown.n > 1 and shown.validity == "valid":
            yield f"shown as a sound number: {shown.value}"
    yield from outputs(folder)
