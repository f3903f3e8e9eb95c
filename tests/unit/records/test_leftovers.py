"""What killed runs left is removed; everything else stays."""

from __future__ import annotations

import os

from harness.records.leftovers import sweep_up


def test_temporary_files_and_folders_of_the_sweep_go(store):
    """Those of a record, a plan, the agent of ranks and a probe of a process that has ended."""
    sweep = store.sweep_dir("s")
    attempt = sweep / "machine" / "trial" / "r00-a00"
    (attempt / ".agent-x").mkdir(parents=True)
    gone = [attempt / ".record.json.tmp", sweep / ".plan.json.7.tmp", store.root / ".probe-999999999"]
    kept = [
        attempt / "record.json",
        attempt / "log.txt",
        store.root / f".probe-{os.getpid()}",
        sweep / ".lock",
    ]
    for path in (*gone, *kept):
        path.write_text("x")
    sweep_up(store, "s")
    assert [path for path in (*gone, attempt / ".agent-x") if path.exists()] == []
    assert all(path.exists() for path in kept)


def test_another_sweep_is_left_alone(store):
    """Its own lock is not held."""
    other = store.sweep_dir("other")
    other.mkdir(parents=True)
    (other / ".plan.json.7.tmp").write_text("x")
    sweep_up(store, "s")
    assert (other / ".plan.json.7.tmp").exists()
