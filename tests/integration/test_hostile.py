"""A sample of the hostile inputs of `make bench-hostile`: no traceback, no escape, nothing run or outside."""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.hostile_bench import beside, bundles, decisions, files, links, records
from benchmarks.hostile_bench.__main__ import by_sort, warm


@pytest.fixture(scope="module", autouse=True)
def _warm() -> None:
    """Import once what every case needs."""
    warm()


def test_the_documented_counts_are_those_of_the_inputs() -> None:
    """They are products of tables, each with a name of its own; docs/trust.md counts them by sort."""
    found = [(sort, name) for sort, name, _ in by_sort()]
    assert len(found) == len(set(found)) > 1500
    counts = Counter(sort for sort, _ in found)
    text = (Path(__file__).parents[2] / "docs" / "trust.md").read_text()
    table = text.partition("| sort | inputs | got in |")[2].partition("\n\n")[0]
    assert re.findall(r"\| (\d+) \| \d+ \|", table) == [str(n) for n in counts.values()]


@pytest.mark.parametrize(
    ("file", "field", "kind"),
    [
        ("record", "config.workload", "null"),
        ("record", "metrics.0.unit", "controls"),
        ("record", "label", "controls"),
        ("record", "metrics.0.n", "of 400 digits"),
        ("record", "metrics.0.value", "negative"),
        ("record", "started_at", "text"),
        ("plan", "trials.0", "null"),
        ("plan", "trials.0.replicas", "of 400 digits"),
    ],
)
def test_a_hostile_record_ends_nothing(tmp_path: Path, file: str, field: str, kind: str) -> None:
    """Each went wrong once, or would without the check at the boundary."""
    assert records.one(file, field, kind).run(tmp_path) == []


@pytest.mark.parametrize(
    ("sort", "name"),
    [
        (links, "demo/.lock is a link to a file outside"),
        (links, "index is a link to a folder outside"),
        (bundles, "a member '../outside/new', listed"),
        (bundles, "demo/log.txt is a link"),
        (beside, "log.txt is sparse, of 200 GB"),
        (beside, "a folder 2 deep whose name is an escape"),
        (decisions, "contract terms.0.threshold many e"),
        (files, "policy: a tag that runs"),
        (files, "limits: aliases"),
    ],
)
def test_a_hostile_file_runs_and_opens_nothing(tmp_path: Path, sort, name: str) -> None:
    """By what Python tells of every file opened and every process started."""
    (case,) = [case for case in sort.cases() if case.name == name]
    assert case.run(tmp_path) == []
