"""Hostile inputs from tables: every field of a record and a plan times every kind of wrong value.

Each is put beside an honest record in a fresh folder, and every command that reads it runs. None may end with
a traceback, take longer than 5 s, print an escape of a terminal, or write outside its folder.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.cli import main
from harness.records.metrics import make
from harness.records.schema import Record
from harness.records.store import Store, open_store

LIMIT_S = 5.0
RECORD_FIELDS = (
    "sweep", "label", "work_id", "trial_id", "machine_id", "code_id", "replica", "attempt", "status", "phase",
    "reason", "started_at", "wall_s", "config", "config.workload", "config.workload.name", "config.device",
    "config.measure", "config.measure.replicas", "config.report", "config.price", "config.price.name",
    "config.overrides", "machine", "code", "code.git_commit", "metrics", "metrics.0.id", "metrics.0.value",
    "metrics.0.unit", "metrics.0.n", "evidence", "evidence.timing_flags", "evidence.roofline",
    "evidence.energy", "evidence.audit", "series", "series.iteration_s", "worker", "log_tail", "seal",
)  # fmt: skip
PLAN_FIELDS = (
    "sweep", "machine_id", "code_id", "trials", "trials.0", "trials.0.label", "trials.0.trial_id",
    "trials.0.replicas", "trials.0.refusal", "overrides",
)  # fmt: skip
VALUES: dict[str, Any] = {
    "null": None,
    "true": True,
    "negative": -1,
    "of 400 digits": 10**400,
    "text": "text",
    "empty": "",
    "controls": "\x1b]0;title\x07\x1b[2Jtext\r\n",
    "long": "x" * 100_000,
    "markup": "<script>alert(1)</script>![a](http://example.org/a)|`b`",
    "formula": "=1+1",
    "list": [1, [2], {}],
    "mapping": {"a": {"b": [None]}},
    "path": "../../outside",
}
COMMANDS = (
    ("status", "demo", "--results", "{results}"),
    ("report", "demo", "--results", "{results}", "--format", "md", "-o", "{out}/report"),
    ("export", "demo", "--results", "{results}", "--to", "junit", "-o", "{out}/a.xml"),
    ("export", "demo", "--results", "{results}", "--to", "csv", "-o", "{out}/a.csv"),
    ("export", "demo", "--results", "{results}", "--to", "markdown", "-o", "{out}/a.md"),
    ("index", "query", "SELECT label, value FROM trials", "--results", "{results}"),
)


def cases() -> Iterator[tuple[str, str, str]]:
    """Yield every case: which file, which field, which kind of value."""
    for file, fields in (("record", RECORD_FIELDS), ("plan", PLAN_FIELDS)):
        for field, value in itertools.product(fields, VALUES):
            yield file, field, value


def _honest(store: Store) -> tuple[Path, Path]:
    """Write one honest record and its plan; return a second record's path, and the plan's."""
    paths = []
    for replica in range(2):
        record = Record(
            sweep="demo", label="gpt tiny", work_id="a" * 16, trial_id="b" * 16, machine_id="c" * 64,
            code_id="d" * 64, replica=replica, attempt=0, status="ok", phase="done",
            started_at="2026-01-01T00:00:00Z",
            config={"workload": {"name": "gpt"}, "device": {"kind": "cpu"}, "measure": {"replicas": 2},
                    "price": {"name": "none"}, "report": {"title": None}, "overrides": ["workload=gpt"]},
            machine={}, code={"git_commit": "e" * 40}, worker={"kind": "warm"},  # type: ignore[arg-type]
            metrics=(make("throughput.tokens", 5.0 + replica), make("iteration.mean", 0.1)),
            evidence={"timing_flags": [], "steady": True, "iterations": 40, "span_ns": 4_000_000_000},
            series={"iteration_s": (0.1, 0.1)},
        )  # fmt: skip
        paths.append(store.write(record))
    trial = {
        "label": "gpt tiny", "work_id": "a" * 16, "trial_id": "b" * 16, "refusal": None, "replicas": 2,
        "overrides": [],
    }  # fmt: skip
    plan = {"sweep": "demo", "overrides": [], "machine_id": "c" * 64, "code_id": "d" * 64, "trials": [trial]}
    return paths[1], store.write_plan("demo", plan)


def _put(path: Path, field: str, value: Any) -> None:
    told = json.loads(path.read_text())
    *parents, last = field.split(".")
    place = told
    for part in parents:
        place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
    place[int(last) if isinstance(place, list) else last] = value
    path.write_text(json.dumps(told))


def run_case(file: str, field: str, kind: str) -> list[str]:
    """Run every command on one hostile input in a fresh folder; return what went wrong."""
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        root, out = Path(folder, "inside", "results"), Path(folder, "inside", "out")
        record, plan = _honest(open_store(root))
        _put(record if file == "record" else plan, field, VALUES[kind])
        before = sorted(Path(folder).iterdir())
        for command in COMMANDS:
            words = [word.format(results=root, out=out) for word in command]
            began, printed = time.monotonic(), io.StringIO()
            try:
                with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
                    code = main(words)
            except BaseException as error:  # noqa: BLE001 - whatever escapes is what is looked for
                wrong.append(f"{command[0]}: {type(error).__name__}: {str(error)[:100]}")
                continue
            if code not in range(5):
                wrong.append(f"{command[0]}: exit code {code}")
            if time.monotonic() - began > LIMIT_S:
                wrong.append(f"{command[0]}: {time.monotonic() - began:.1f} s")
            if "\x1b" in printed.getvalue():
                wrong.append(f"{command[0]}: printed an escape")
        if sorted(Path(folder).iterdir()) != before:
            wrong.append("something was written outside")
    return wrong


def _main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only each Nth case")
    told = Counter[str]()
    for file, field, kind in itertools.islice(cases(), 0, None, parser.parse_args().every):
        wrong = run_case(file, field, kind)
        told["wrong" if wrong else "right"] += 1
        for line in wrong:
            print(f"{file} {field} {kind}: {line}")
    print(f"{told.total()} hostile inputs, each through {len(COMMANDS)} commands: {told['wrong']} went wrong")
    return 1 if told["wrong"] else 0


if __name__ == "__main__":
    sys.exit(_main())
