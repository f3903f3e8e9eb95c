"""`joulemark adopt`: let records count as measured here that the journal lacks: the user says so."""

from __future__ import annotations

import argparse

from harness.bundles.consistency import audit_store
from harness.cli.output import print_json, visible
from harness.cli.sweeps import read_sweep
from harness.identity.machine import identify
from harness.records import open_store
from harness.system.errors import UsageError


def main(options: argparse.Namespace) -> int:
    """Adopt a sweep's records of this machine, all or none: what contradicts itself is refused."""
    store, here = open_store(options.results), identify().machine_id
    records, _ = read_sweep(store, options.sweep)
    merged = [r for r in records if r.merged and r.machine_id == here]
    found = audit_store(store, [options.sweep])
    if merged and found.label == "inconsistent":
        said = f"{visible(str(found.findings[0]))} (of {len(found.findings)})"
        raise UsageError(f"{options.sweep}: inconsistent: {said}; nothing was adopted")
    if merged:
        store.journal.add(options.sweep, [r.sha256 for r in merged])
    if options.json:
        print_json({"sweep": options.sweep, "adopted": len(merged)})
    else:
        print(f"{options.sweep}: {len(merged)} records adopted: they count as measured here")
    return 0
