"""Run the bench: print its tables, keep them in the document, and fail where a bound does not hold."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from benchmarks.stats_bench import comparisons, estimates, orders
from benchmarks.stats_bench.table import Table, of_bounds, shown, write


def main() -> int:
    """Return 0 when every bound holds, else 1."""
    parser = argparse.ArgumentParser(prog="stats_bench", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=2000, help="seeded repetitions of each cell")
    parser.add_argument("--write", type=Path, help="document whose tables to replace")
    options = parser.parse_args()
    began = time.monotonic()
    different = estimates.differing(20)
    if different:
        print(f"{different} processes differ between the harness's loop and the fast path", file=sys.stderr)
        return 1
    tables: list[Table] = []
    for make in (
        estimates.intervals,
        estimates.rounds,
        estimates.warm_up,
        comparisons.false_alarms,
        comparisons.power,
        comparisons.order_in_the_pair,
        orders.rankings,
        orders.nights,
    ):
        tables.append(make(options.repetitions))
        print(tables[-1].markdown(), flush=True)
    bounds = of_bounds(tables)
    print(bounds.markdown())
    print(f"{time.monotonic() - began:.0f} s")
    if options.write:
        says = (
            f"Cells that bear a bound have {options.repetitions} seeded repetitions, all others "
            f"{shown(options.repetitions)}.\n"
        )
        shown_tables = [bounds, estimates.scenarios(), *tables]
        write(options.write, "\n".join([says, *(table.markdown() for table in shown_tables)]))
    return 0 if all(bound.held for table in tables for bound in table.bounds) else 1


if __name__ == "__main__":
    sys.exit(main())
