"""Run every hostile input and print a table by sort; `make bench-hostile`.

What was judged is kept in `build/hostile/`: a run that was stopped goes on, and `--again` begins afresh.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.hostile_bench import beside, bundles, decisions, files, links, monitor, records
from benchmarks.hostile_bench.case import Case, honest
from harness import cli

_KEPT = Path("build/hostile")
Judge = Callable[[], list[str]]


def judged(case: Case) -> list[str]:
    """Run one case in a fresh folder; return what went wrong."""
    with tempfile.TemporaryDirectory(prefix="joulemark-hostile-") as folder:
        return case.run(Path(folder))


def warm() -> None:
    """Run the commands once on honest input: what they import is there before the first case is forked."""
    readers = [words for commands in files.READERS.values() for words in commands]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "in").mkdir()
        honest(Path(folder))
        (Path(folder) / "in" / "f").write_text("metrics:\n  - {metric: iteration.mean}\n")
        out, inside = io.StringIO(), Path(folder) / "in"
        with contextlib.chdir(inside), contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            for words in (*records.COMMANDS, *readers, *bundles.COMMANDS, decisions.PAGE):
                cli.main(list(words))


def by_sort() -> Iterator[tuple[str, str, Judge]]:
    """Yield every input: its sort, its name, and what judges it."""
    for sort in (records, links, bundles, files, beside, decisions):
        for case in sort.cases():
            yield sort.__name__.rpartition(".")[2], case.name, lambda case=case: judged(case)  # type: ignore[misc]
    for name in monitor.names():
        yield "monitor", name, lambda name=name: list(monitor.run(name))  # type: ignore[misc]


def main() -> int:
    """Run what is asked for; 1 where an input got in."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only each Nth input")
    parser.add_argument("--sort", action="append", help="only this sort")
    parser.add_argument("--seconds", type=float, default=1e9, help="stop then; the next call goes on")
    parser.add_argument("--again", action="store_true", help="forget what was judged before")
    options = parser.parse_args()
    warm()
    deadline, left = time.monotonic() + options.seconds, 0
    kept: dict[str, dict[str, list[str]]] = {}
    for number, (sort, name, judge) in enumerate(by_sort()):
        if number % options.every or (options.sort and sort not in options.sort):
            continue
        path = _KEPT / f"{sort}.json"
        if sort not in kept:
            kept[sort] = json.loads(path.read_text()) if path.exists() and not options.again else {}
        if name in kept[sort]:
            continue
        if time.monotonic() > deadline:
            left += 1
            continue
        kept[sort][name] = judge()
        for line in kept[sort][name]:
            print(f"{sort}: {name}: {line}", flush=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(kept[sort], indent=1))
    print("| sort | inputs | got in |\n|---|---|---|")
    for sort, told in kept.items():
        print(f"| {sort} | {len(told)} | {sum(map(bool, told.values()))} |")
    everything = [wrong for told in kept.values() for wrong in told.values()]
    print(f"| all | {len(everything)} | {sum(map(bool, everything))} |\n{left} left for the next call")
    return 1 if any(everything) else 0


if __name__ == "__main__":
    sys.exit(main())
