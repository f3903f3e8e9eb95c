"""Inject every fault, each in a fresh folder, and print a table by kind; `make bench-faults`.

What was judged is kept in `build/faults/`: a run that was stopped goes on, and `--again` begins afresh.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from benchmarks.fault_bench import failing
from benchmarks.fault_bench.judge import Fault, problems
from benchmarks.fault_bench.kinds import calls, disks, folders, limits, signals, surroundings
from benchmarks.fault_bench.world import World, orphans, prepare

_SORTS = (signals, calls, limits, folders, disks, surroundings)
_KEPT = Path("build/faults")
Judged = tuple[str, str, bool]
"""The sort, the kind, and whether it ended wrongly."""


def by_sort(rounds: int) -> dict[str, list[tuple[int, Fault]]]:
    """Return every fault by its sort: its number among those of its kind, and its kind."""
    return {
        sort.__name__.rpartition(".")[2]: [(n, f) for f in sort.faults() for n in range(f.weight * rounds)]
        for sort in _SORTS
    }


def judge(fault: Fault, number: int, parent: Path) -> list[str]:
    """Run one fault in a fresh folder; return what went wrong."""
    folder = Path(tempfile.mkdtemp(dir=parent))
    world = World(folder, Random(f"{fault.kind}:{number}"))
    try:
        return list(problems(world, fault))
    except Exception as error:  # noqa: BLE001 - what a fault asserts of its other runs, or could not do
        return [f"{type(error).__name__}: {error}"]
    finally:
        orphans(2.0)
        disks.unmount(world)
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """Run what is asked for; 1 where a fault ended wrongly."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1, help="how often, times the weight of a kind")
    parser.add_argument("--only", action="append", metavar="KIND", help="only this kind; it can be repeated")
    parser.add_argument("--keep", type=Path, default=_KEPT, help="where what was judged is kept")
    parser.add_argument("--sort", action="append", help="only this sort")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only each Nth fault")
    parser.add_argument("--seconds", type=float, default=1e9, help="stop then; the next call goes on")
    parser.add_argument("--again", action="store_true", help="forget what was judged before")
    options = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="joulemark-faults-"))
    deadline = time.monotonic() + options.seconds
    told: list[Judged] = []
    left = 0
    try:
        prepare()
        for sort, found in by_sort(options.rounds).items():
            if options.sort and sort not in options.sort:
                continue
            kept = Kept(options.keep / f"{sort}.json", forget=options.again)
            for number, fault in found[:: options.every]:
                name = f"{fault.kind} #{number}"
                if options.only and fault.kind not in options.only:
                    continue
                if name not in kept.told and time.monotonic() > deadline:
                    left += 1
                    continue
                if name not in kept.told:
                    kept.keep(name, fault.kind, judge(fault, number, scratch))
                told.append((sort, fault.kind, bool(kept.told[name]["wrong"])))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    _table(told)
    print(f"{left} left for the next call")
    return 1 if any(wrong for _, _, wrong in told) else 0


class Kept:
    """What was judged of one sort, kept so that a run that was stopped goes on."""

    def __init__(self, path: Path, *, forget: bool) -> None:
        self._path = path
        self.told: dict[str, dict[str, object]] = {}
        if self._path.exists() and not forget:
            self.told = json.loads(self._path.read_text())

    def keep(self, name: str, kind: str, wrong: list[str]) -> None:
        """Keep one fault's judgement, and print what was wrong."""
        for line in wrong:
            print(f"{name}: {line}", flush=True)
        self.told[name] = {"kind": kind, "wrong": wrong}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(self.told, indent=1))


def _table(told: list[Judged]) -> None:
    print("| sort | kinds | faults | ended wrongly |\n|---|---|---|---|")
    for sort in (*dict.fromkeys(sort for sort, _, _ in told), "all"):
        mine = [one for one in told if sort in {one[0], "all"}]
        kinds = {(one[0], one[1]) for one in mine}
        print(f"| {sort} | {len(kinds)} | {len(mine)} | {sum(wrong for _, _, wrong in mine)} |")


if __name__ == "__main__":
    failing.load_first(Path(tempfile.gettempdir()))
    sys.exit(main())
