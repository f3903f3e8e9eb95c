"""`joulemark report`: draw one document from the records of one or more sweeps."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.bundles.marks import read_marks
from harness.cli.decisions import asked_price, decided
from harness.cli.output import print_json
from harness.cli.sweeps import current, read_sweeps
from harness.records import open_store
from harness.records.foreign import read_foreign
from harness.records.results import TrialResult
from harness.records.schema import Record
from harness.system.collector import uncollected
from harness.system.errors import UsageError
from harness.system.ranges import too_old

if TYPE_CHECKING:
    from harness.report import ReportModel

FORMATS = ("html", "pdf", "md")


def main(options: argparse.Namespace) -> int:
    """Write the report and print where it is; 4 when no trial has a result."""
    formats = [f.strip() for f in options.format.split(",")]
    if wrong := [f for f in formats if f not in FORMATS]:
        raise UsageError(f"--format {wrong[0]}: choose of {', '.join(FORMATS)}")
    if "pdf" in formats and (words := too_old("typst")) is not None:
        if formats == ["pdf"]:
            raise UsageError(f"PDF: {words}")
        print(f"joulemark: no PDF, the other formats are written: {words}", file=sys.stderr)
        formats.remove("pdf")
    from harness.report import write

    with uncollected():
        model, good = _model(options)
        folder = Path(options.output or Path("reports") / "+".join(options.sweeps))
        paths = write(model, folder, formats)
    if options.json:
        print_json({"reports": [str(p) for p in paths]})
    else:
        for path in paths:
            print(path)
    return 0 if good else 4


def _model(options: argparse.Namespace) -> tuple[ReportModel, bool]:
    """Return what the report says and whether any trial has a result; the records go before it is written."""
    store = open_store(options.results)
    found, left_out = read_sweeps(store, options.sweeps)

    from harness.report import build

    results, said = current(found)
    left_out += said
    marks, unread = read_marks(store)
    records = [record for result in found for record in result.records]
    machines = {result.machine_id for result in found}
    left_out += [str(mark) for mark in marks if machines & set(mark.machines)] + unread
    foreign, unreadable = read_foreign(store)
    left_out += unreadable
    title = options.title or _title(records) or f"Joulemark: {', '.join(options.sweeps)}"
    # The newest record dates the document: drawing it again gives the same bytes.
    generated_at = max(
        (r.started_at for r in records), default=datetime.now(UTC).isoformat(timespec="seconds")
    )
    prices = _costs(results, asked_price(options), _price(records), generated_at, left_out)
    model = build(
        results,
        title=title,
        torn=left_out,
        generated_at=generated_at,
        costs=prices,
        foreign=foreign,
        decision=decided(results, options, datetime.fromisoformat(generated_at).date()),
    )
    return model, any(r.replicas_ok for r in results)


def _price(records: Sequence[Record]) -> str:
    """Return the price file that the newest record names; `none` where it names none."""
    last = max(records, key=lambda r: (not r.merged, r.started_at), default=None)
    section = last.config.get("price") if last is not None else None
    return str(section.get("name", "none")) if isinstance(section, dict) else "none"


def _costs(
    results: Sequence[TrialResult], asked: str | None, recorded: str, as_of: str, left_out: list[str]
) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Return money and carbon of each trial that gave a result; nothing without prices.

    Only the user's own `--price` may name a file; a record may name one of our tables, if it is here.
    """
    from harness.config.folder import config_folder
    from harness.cost import buying_from, costs_or_reason, load_prices

    folder = config_folder() / "price"
    if asked is None and recorded not in {path.stem for path in folder.glob("*.yaml")}:
        left_out.append(
            f"costs: the records name the prices {recorded[:80]!r}, which are not here; see --price"
        )
        return {}
    price = asked or recorded
    if price == "none":
        return {}
    prices = load_prices(price, folder)
    day = datetime.fromisoformat(as_of).date()
    ok = [r for r in results if r.status == "ok"]
    return {
        (r.trial_id, r.machine_id): [
            asdict(figure)
            for figure in (*costs_or_reason(r, prices, as_of=day), buying_from(r, prices, as_of=day))
            if figure is not None
        ]
        for r in ok
    }


def _title(records: list[Record]) -> str | None:
    titles = {r.config.get("report", {}).get("title") for r in records} - {None}
    return str(titles.pop()) if len(titles) == 1 else None
