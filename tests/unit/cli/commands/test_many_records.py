"""Commands that read records say the same, to the byte, whether they read their files or the index."""

import json
import re
from pathlib import Path

import pytest

from harness.cli import main
from harness.records.codec import parse
from harness.records.store import Store

GOLDEN = Path(__file__).parents[3] / "golden" / "records"
COMMANDS = {
    "status": ["status", "night-1"],
    "status --json": ["status", "night-2", "--json"],
    "compare": ["compare", "night-1", "night-2", "--json", "--allow", "software"],
    "gate": ["gate", "--policy", "gate.yaml", "--screen-only", "--json"],
    "export": ["export", "night-1", "night-2", "--to", "csv", "-o", "out"],
    "report": ["report", "night-1", "night-2", "--format", "html,md", "-o", "out"],
}


@pytest.fixture
def folder(store, tmp_path, monkeypatch):
    """Two nights of real records, some replicas at a slightly other speed, one record torn, with plans."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    golden = [parse(path.read_bytes()) for path in sorted(GOLDEN.glob("*.json"))]
    for night, sweep in enumerate(("night-1", "night-2")):
        kept = {}
        for number, record in enumerate(golden):
            for replica in range(2):
                when = f"2025-01-0{night + 1}T00:{number:02d}:00Z"
                place = {"sweep": sweep, "replica": replica, "attempt": 0, "started_at": when}
                made = record.model_copy(update=place)
                path = store.attempt_dir(sweep, made.machine_id, made.trial_id, replica, 0) / "record.json"
                if not path.exists():
                    store.write(made)
                    kept[made.trial_id] = made
        path.write_text("{")
        (tmp_path / "gate.yaml").write_text("nights: night-*\nmetrics:\n  - {metric: iteration.mean}\n")
        write_plan(store, sweep, kept)
    return tmp_path


def write_plan(store: Store, sweep, kept):
    """Write the plan of the trials of which there are records."""
    trials = [
        {"trial_id": key, "work_id": r.work_id, "label": r.label, "refusal": None, "replicas": 2,
         "code_id": r.code_id}
        for key, r in kept.items()
    ]  # fmt: skip
    first = next(iter(kept.values()))
    store.write_plan(
        sweep,
        {"sweep": sweep, "machine_id": first.machine_id, "code_id": first.code_id, "trials": trials},
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_the_index_changes_no_byte(name, folder, store, monkeypatch, capsys):
    """What is printed, what is written and the exit code are the same."""
    found = []
    for many in (10**9, 0):
        monkeypatch.setattr("harness.records.index.restore.MANY", many)
        code = main([*COMMANDS[name], "--history" if name == "gate" else "--results", str(store.root)])
        captured = capsys.readouterr()
        out = folder / "out"
        files = sorted(p for p in out.rglob("*") if p.is_file()) if out.is_dir() else [out]
        written = {p.name: p.read_bytes() for p in files if p.is_file()}
        found.append((code, captured.out, captured.err, written))
    assert found[0] == found[1]
    assert (store.root / "index").is_dir(), "it was read"
    assert code in {0, 1, 3, 4}
    assert written or re.search(r"\w", captured.out)
    assert name != "status --json" or json.loads(captured.out)["left_out"]
