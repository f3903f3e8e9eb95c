"""`joulemark import`: keep another tool's results for comparison, labelled as what they are."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli.output import print_json, print_table, visible
from harness.exporters.importers import read_file
from harness.records import open_store
from harness.records.bounded_json import require_modest
from harness.records.errors import faults_of
from harness.records.foreign import MOST, MOST_BYTES, foreign_path
from harness.system.errors import UsageError
from harness.system.files import write_atomically
from harness.system.inside import require_inside


def main(options: argparse.Namespace) -> int:
    """Read the file, keep what it holds below `foreign/`, and show it."""
    found = read_file(Path(options.file), options.source)
    store = open_store(options.results)
    path = foreign_path(store, found)
    text = found.model_dump_json(indent=1) + "\n"
    if len(text) > MOST_BYTES:
        raise UsageError(
            f"{options.file}: its {len(found.results)} results would take {len(text) >> 20} MiB, "
            f"and at most {MOST_BYTES >> 20} are kept; import a part of it"
        )
    with faults_of(Path(options.file)):
        require_modest(text.encode(), *MOST)
    require_inside(store.root, path.parent)
    write_atomically(path, text)
    if options.json:
        print_json({"kept": str(path), **found.model_dump(mode="json")})
        return 0
    print_table(
        ["result", "metric", "value", "unit", "like our"],
        [[r.name, r.metric, f"{r.value:.6g}", r.unit, r.comparable_to] for r in found.results],
        title=f"{found.file}: {', '.join(found.labels)}",
    )
    for line in found.left_out:
        print(visible(f"left out: {line}"))
    print(f"\nkept in {path}")
    return 0
