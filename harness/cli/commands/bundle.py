"""`joulemark bundle`, `verify` and `merge`: sweeps as one file, checked, and put together again."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from harness.bundles.archive import merge_bundles, verify_bundle, write_bundle
from harness.cli.output import print_json
from harness.records import open_store


def main(options: argparse.Namespace) -> int:
    """Do what the verb says; 1 when a merge met files of the same name with other contents."""
    if options.verb == "bundle":
        path = Path(options.output or f"{'+'.join(options.sweeps)}.tar")
        count = write_bundle(open_store(options.results), options.sweeps, path)
        _say(options, {"bundle": str(path), "files": count}, f"{path}: {count} files")
        return 0
    if options.verb == "verify":
        count = len(verify_bundle(Path(options.bundle)))
        told = {"bundle": options.bundle, "files": count}
        _say(options, told, f"{options.bundle}: sound, {count} files")
        return 0
    store = open_store(options.results)
    done = merge_bundles(store, [Path(b) for b in options.bundles])
    for name in done.conflicts:
        print(f"joulemark: kept {store.root / name}: the bundle's differs", file=sys.stderr)
    told = {"added": done.added, "known": done.known, "conflicts": list(done.conflicts)}
    _say(options, told, f"{done.added} files added, {done.known} were there, {len(done.conflicts)} differ")
    return 1 if any(name.endswith("record.json") for name in done.conflicts) else 0


def _say(options: argparse.Namespace, told: dict[str, object], line: str) -> None:
    print_json(told) if options.json else print(line)
