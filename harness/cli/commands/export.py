"""`joulemark export`: write the results of sweeps in another tool's format."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from harness.cli.output import print_json, visible
from harness.cli.sweeps import read_sweep
from harness.exporters import registry
from harness.records import open_store
from harness.records.estimates import trial_results
from harness.records.schema import Record
from harness.system.errors import access_to


def main(options: argparse.Namespace) -> int:
    """Write the files and print where they are; 4 when no trial has a result."""
    export = registry.get(options.to)
    store = open_store(options.results)
    records: list[Record] = []
    for sweep in options.sweeps:
        found, torn = read_sweep(store, sweep)
        for bad in torn:
            print(visible(f"joulemark: left out {bad.path}: {bad.reason}"), file=sys.stderr)
        records += found
    results = trial_results(records)
    path = Path(options.output or f"{'+'.join(options.sweeps)}-{options.to}{registry.suffix(options.to)}")
    with access_to(path):
        written = export(results, path)
    if options.json:
        print_json({"files": [str(p) for p in written]})
    else:
        for p in written:
            print(p)
    return 0 if any(r.replicas_ok for r in results) else 4
