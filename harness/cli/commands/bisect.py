"""`joulemark bisect`: the commit that made a metric worse, by pairs of processes."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from harness.cli.output import print_json
from harness.gate.bisect import Bisect, Step
from harness.records import open_store


def main(options: argparse.Namespace) -> int:
    """Search; 4 when the bad revision is not measurably worse than the good one."""
    overrides = list(options.overrides)
    if options.pair_seconds is not None:
        overrides.append(f"measure.seconds={options.pair_seconds:g}")
    search = Bisect(
        options.good,
        options.bad,
        Path(options.repository),
        overrides,
        open_store(options.results),
        metric=options.metric,
        delta=options.delta,
        python=options.python,
        config_dirs=tuple(Path(d).resolve() for d in options.config_dir),
        on_step=_tell,
    )
    first = search.run()
    if options.json:
        print_json({"first_bad": first, "steps": [asdict(step) for step in search.steps]})
    elif first is not None:
        print(f"first bad commit: {first}")
    else:
        print(f"{options.bad} is not measurably worse than {options.good}: nothing to search for")
    return 0 if first is not None else 4


def _tell(step: Step) -> None:
    effect = f" {step.comparison.effect:+.2%} over {step.comparison.pairs} pairs" if step.comparison else ""
    print(
        f"{step.commit[:12]} {step.answer}{effect}{f' ({step.reason})' if step.reason else ''}",
        file=sys.stderr,
    )
