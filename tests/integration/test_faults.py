"""A sample of the faults of `make bench-faults`: those that cost little and come at no random moment."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.fault_bench.__main__ import by_sort

ROOT = Path(__file__).parents[2]
KINDS = (
    "RLIMIT_NOFILE of 32",
    "EMFILE of pipe in servers, once",
    "temporary files of killed runs",
    "the lock is a link out",
)


def test_the_documented_counts_are_those_of_the_faults():
    """docs/trust.md counts kinds and faults by sort, in the order in which they are injected."""
    counts = [(len({f.kind for _, f in faults}), len(faults)) for faults in by_sort(1).values()]
    table = (ROOT / "docs" / "trust.md").read_text().partition("| sort | kinds | faults |")[2]
    told = re.findall(r"\| (\d+) \| (\d+) \| \d+ \|", table.partition("\n\n")[0])
    assert told == [(str(a), str(b)) for a, b in (*counts, map(sum, zip(*counts, strict=True)))]


def test_each_ends_as_its_kind_promises(tmp_path):
    """The right record or the right line, nothing lost, no process and no temporary file left."""
    only = [word for kind in KINDS for word in ("--only", kind)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.fault_bench", *only, "--keep", str(tmp_path / "kept")],
        cwd=ROOT, env={**os.environ, "TMPDIR": str(tmp_path)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"| all | {len(KINDS)} | {len(KINDS)} | 0 |" in done.stdout
