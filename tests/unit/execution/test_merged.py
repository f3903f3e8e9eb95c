"""Merged records never count as done, never replace ours and never block us: real bundles, really merged."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, Self

import pytest

from harness.bundles.archive import merge_bundles, write_bundle
from harness.cli.sweeps import current
from harness.execution.host_watch import HostWatch
from harness.execution.sweep import Sweep
from harness.identity.machine import Identity
from harness.isolation.protocol import Outcome
from harness.planning.plan import Plan, make_plan
from harness.records.estimates import trial_results
from harness.records.journal import Journal
from harness.records.metrics import make
from harness.records.store import Store, open_store
from harness.system.contention import Contention

HERE = Identity({"host_processor_model_name": "Scripted"}, {"torch": "2.13.0"}, "a" * 64, "b" * 64)
PLAN = ("workload=noop", "device=cpu", "power=none", "measure=quick", "run.name=s", "run.remeasure=0")
REPLICAS = 2


class Workers:
    """Every process measures the same time."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.calls = seconds, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to end."""

    def run(self, *_: Any, **__: Any) -> Outcome:
        """Answer."""
        self.calls += 1
        found = [make("iteration.mean", self.seconds), make("throughput.samples", 1 / self.seconds)]
        metrics = [asdict(m) for m in found]
        return Outcome(exit_code=0, result={"status": "ok", "metrics": metrics})


class Said:
    """Keeps the notes of a sweep."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        """Keep."""
        self.notes.append(text)

    def __getattr__(self, _name: str) -> Callable[..., None]:
        return lambda *_: None


@cache
def planned() -> Plan:
    """Return the plan: one trial."""
    return make_plan([*PLAN, f"measure.replicas={REPLICAS}", f"measure.max_replicas={REPLICAS}"])


def run(store: Store, seconds: float, identity: Identity = HERE) -> tuple[Sweep, int, list[str]]:
    """Run the plan in a store; return the sweep, the processes that were started, and the notes."""
    workers, said = Workers(seconds), Said()
    host = HostWatch(look=lambda *_: Contention(1, 1, 0, 0, 0, 2))
    sweep = Sweep(planned(), store, identity, said, lambda: workers, host=host)  # type: ignore[arg-type]
    sweep.run()
    return sweep, workers.calls, said.notes


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Return my store; locks of devices are the test's own."""
    (tmp_path / "locks").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "locks"))
    return open_store(tmp_path / "mine", Journal(tmp_path / "journal"))


@pytest.fixture
def stranger(tmp_path: Path) -> Store:
    """Return what somebody else measured under my machine's id, ten times as fast."""
    store = open_store(tmp_path / "stranger", Journal(tmp_path / "other"))
    run(store, 0.1)
    return store


def _edited(change: Callable[[dict[str, Any]], None]) -> Callable[[Store], None]:
    """Change every record, and put each where it then belongs."""

    def plant(store: Store) -> None:
        for path in list(store.record_paths("s")):
            told = json.loads(path.read_text())
            change(told)
            name = f"r{told['replica']:02d}-a{told['attempt']:02d}"
            target = path.parents[2] / told["trial_id"] / name
            path.parent.rename(target)
            (target / "record.json").write_text(json.dumps(told))

    return plant


def _plan(text: str) -> Callable[[Store], None]:
    def plant(store: Store) -> None:
        shutil.rmtree(store.sweep_dir("s") / HERE.machine_id)
        (store.sweep_dir("s") / "plan.json").write_text(text)

    return plant


FORGED: dict[str, Callable[[Store], None]] = {
    "good replicas": lambda _store: None,
    "a later attempt": _edited(lambda r: r.update(attempt=7)),
    "attempt 9999": _edited(lambda r: r.update(attempt=9999)),
    "failed replicas": _edited(lambda r: r.update(status="crashed", phase="build", reason="no", metrics=[])),
    "a refused trial": _edited(lambda r: r.update(status="refused", phase="plan", reason="no", metrics=[])),
    "newer code": _edited(lambda r: r.update(code_id="f" * 64, started_at="2026-11-30T00:00:00Z")),
    "the year 2099": _edited(lambda r: r.update(started_at="2099-01-01T00:00:00Z")),
    "my name changed": _edited(lambda r: r["config"]["run"].update(machine_name="Theirs")),
    "an empty plan": _plan("{}"),
    "a broken plan": _plan("["),
}


def _merge(stranger: Store, mine: Store, tmp_path: Path) -> None:
    write_bundle(stranger, ["s"], tmp_path / "s.tar")
    merge_bundles(mine, [tmp_path / "s.tar"])


@pytest.mark.parametrize("kind", FORGED)
@pytest.mark.parametrize("order", ["before", "after"])
def test_nothing_merged_counts_or_replaces(
    mine: Store, stranger: Store, tmp_path: Path, kind: str, order: str
) -> None:
    """Whether it was merged before my first run or after it, I measure all and my numbers stand."""
    if order == "after":
        run(mine, 1.0)
    FORGED[kind](stranger)
    _merge(stranger, mine, tmp_path)
    sweep, calls, notes = run(mine, 1.0)
    assert calls == (REPLICAS if order == "before" else 0)
    (trial,) = sweep.plan.trials
    assert [r.metric("iteration.mean").value for r in sweep.ledger.ok(trial.trial_id)] == [1.0] * REPLICAS
    assert sweep.ledger.state(trial.trial_id, None, REPLICAS) == "done"
    assert mine.read_plan("s")["machine_id"] == HERE.machine_id

    records, torn = mine.records("s")
    merged = [r for r in records if r.merged]
    assert (len(records) - len(merged), torn) == (REPLICAS, [])
    if order == "before" and "plan" not in kind:
        assert len(merged) == REPLICAS, "what was merged is still there"
    ours, said = current(trial_results(records))
    assert [r.estimates["iteration.mean"].value for r in ours] == [1.0]
    assert all("merged beside yours" in line for line in said)
    assert len(said) == bool(merged)
    same = [r for r in merged if r.code_id == HERE.code_id]
    assert any("joulemark adopt s" in note for note in notes) == bool(same)

    assert run(mine, 1.0)[1] == 0, "and again there is nothing left to do"
    assert len(mine.records("s")[0]) == len(records)


def test_my_chain_goes_on_from_my_own_records(mine: Store, stranger: Store, tmp_path: Path) -> None:
    """Taking the merged ones away again leaves a whole chain."""
    _merge(stranger, mine, tmp_path)
    run(mine, 1.0)
    records = [r for r in mine.records("s")[0] if not r.merged]
    first, second = sorted(records, key=lambda r: r.seal.number)
    assert (first.seal.previous, second.seal.previous) == (None, first.sha256)


def test_what_is_adopted_counts(mine: Store, stranger: Store, tmp_path: Path) -> None:
    """Results carried to a machine of the same id, or a wiped state folder: the digests are added."""
    _merge(stranger, mine, tmp_path)
    mine.journal.add("s", [r.sha256 for r in mine.records("s")[0]])
    assert run(mine, 1.0)[1] == 0
