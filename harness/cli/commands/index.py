"""`joulemark index`: rebuild the tables derived from the records, or query them."""

from __future__ import annotations

import argparse

from harness.cli.output import print_json, print_table
from harness.records import open_store
from harness.records.index import query
from harness.system.errors import UsageError


def main(options: argparse.Namespace) -> int:
    """Rebuild or query."""
    store = open_store(options.results)
    if not store.root.is_dir():
        raise UsageError(
            f"{store.root}: no such results folder; run a sweep first or name one with --results"
        )
    if options.action == "rebuild":
        from harness.records.index import rebuild

        counts = rebuild(store)
        print_json(counts) if options.json else print(", ".join(f"{n} {name}" for name, n in counts.items()))
        return 0
    if len(options.sql) != 1:
        raise UsageError(
            "index query takes one SQL query in quotes, e.g. 'SELECT label, status FROM records'"
        )
    table = query(store, options.sql[0])
    if options.json:
        print_json([dict(zip(table.columns, row, strict=True)) for row in table.rows])
    else:
        print_table(table.columns, table.rows)
    return 0
