"""The audit: honest sweeps are clean, and every kind of tampering is named, with and without a new chain."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from standins import honest

from harness.bundles import batch_audit
from harness.bundles.archive import write_bundle
from harness.bundles.consistency import audit_store
from harness.cli import main
from harness.records.loop import LOOP, read_loops, write_loop
from harness.records.schema import Record
from harness.records.store import Store, open_store

Records = list[Record]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Records]:
    """Write an honest sweep once."""
    root = tmp_path_factory.mktemp("honest") / "results"
    return root, honest.write_sweep(open_store(root), honest.plan())


@pytest.fixture
def sweep(made: tuple[Path, Records], tmp_path: Path) -> tuple[Store, Records]:
    """Return a copy of it to tamper with."""
    shutil.copytree(made[0], tmp_path / "results")
    return open_store(tmp_path / "results"), made[1]


def _change(index: int, change: Callable[[dict[str, Any]], None]) -> Callable[[Store, Records], None]:
    def tamper(store: Store, records: Records) -> None:
        honest.edit(honest.path_of(store, records[index]), change)

    return tamper


def _metric(metric_id: str, **values: Any) -> Callable[[dict[str, Any]], None]:
    def change(record: dict[str, Any]) -> None:
        for metric in record["metrics"]:
            if metric["id"] == metric_id:
                metric |= {k: v(metric["value"]) if callable(v) else v for k, v in values.items()}

    return change


def _evidence(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda record: record["evidence"].update(values)


def _raw_times(store: Store, records: Records) -> None:
    folder = honest.path_of(store, records[0]).parent
    ((_, series),) = read_loops([("x", (folder / LOOP).read_bytes())])
    write_loop(series | {"duration_ns": series["duration_ns"] // 2}, folder)


def _drifting(store: Store, records: Records) -> None:
    """Let the durations drift, and tell nothing of it; their sum, and so every mean, stays."""
    folder = honest.path_of(store, records[0]).parent
    ((_, series),) = read_loops([("x", (folder / LOOP).read_bytes())])
    ramp = series["duration_ns"].copy()
    ramp[: len(ramp) // 2] -= 2_000_000
    ramp[len(ramp) // 2 :] += 2_000_000
    write_loop(series | {"duration_ns": ramp}, folder)


def _remove(index: int) -> Callable[[Store, Records], None]:
    return lambda store, records: shutil.rmtree(honest.path_of(store, records[index]).parent)


def _remove_trial(store: Store, records: Records) -> None:
    shutil.rmtree(honest.path_of(store, records[1]).parents[1])


def _swap(store: Store, records: Records) -> None:
    a, b = (honest.path_of(store, records[i]) for i in (0, 1))
    one, two = json.loads(a.read_text()), json.loads(b.read_text())
    one["metrics"], two["metrics"] = two["metrics"], one["metrics"]
    a.write_text(json.dumps(one))
    b.write_text(json.dumps(two))


def _no_record(store: Store, records: Records) -> None:
    honest.path_of(store, records[0]).write_text("{}")


def _add(store: Store, records: Records) -> None:
    source = honest.path_of(store, records[-1]).parent
    target = source.with_name("r03-a00")
    shutil.copytree(source, target)
    honest.edit(target / "record.json", lambda r: r.update(replica=3))


def _short_plan(store: Store, _records: Records) -> None:
    honest.edit(store.sweep_dir("demo") / "plan.json", lambda plan: plan["trials"].pop())


def _swap_folders(store: Store, records: Records) -> None:
    """Let two attempts of two trials change places as they are."""
    a, b = (honest.path_of(store, records[i]).parent for i in (0, 1))
    aside = a.with_name("aside")
    a.rename(aside)
    b.rename(a)
    aside.rename(b)


def _swap_trials(store: Store, records: Records) -> None:
    """Swap them, and say in each that it belongs where it lies now."""
    _swap_folders(store, records)
    for here in records[:2]:
        names = {"trial_id": here.trial_id, "work_id": here.work_id, "label": here.label}
        honest.edit(honest.path_of(store, here), lambda r, names=names: r.update(names))


def _twice(name: str, value: str) -> Callable[[Store, Records], None]:
    """Name a member of a record first with another value, which other readers may take."""

    def tamper(store: Store, records: Records) -> None:
        path = honest.path_of(store, records[0])
        path.write_text(path.read_text().replace(f'"{name}":', f'"{name}": {value}, "{name}":', 1))

    return tamper


def _plan_twice(store: Store, _records: Records) -> None:
    path = store.sweep_dir("demo") / "plan.json"
    path.write_text(path.read_text().replace('"trials":', '"trials": [], "trials":', 1))


def _linked(name: str) -> Callable[[Store, Records], None]:
    """Put a file elsewhere, with a link in its place."""

    def tamper(store: Store, records: Records) -> None:
        path = honest.path_of(store, records[0]).with_name(name)
        path.rename(store.root / "elsewhere")
        path.symlink_to(store.root / "elsewhere")

    return tamper


def _linked_folder(store: Store, records: Records) -> None:
    folder = honest.path_of(store, records[0]).parent
    folder.rename(store.root / "elsewhere")
    folder.symlink_to(store.root / "elsewhere")


def _linked_plan(store: Store, _records: Records) -> None:
    path = store.sweep_dir("demo") / "plan.json"
    path.rename(store.root / "elsewhere")
    path.symlink_to(store.root / "elsewhere")


def _pipe(store: Store, records: Records) -> None:
    os.mkfifo(honest.path_of(store, records[0]).with_name("extra"))


def _look_alike(name: str, other: str) -> Callable[[Store, Records], None]:
    """Give a file beside a record a name that looks the same."""

    def tamper(store: Store, records: Records) -> None:
        path = honest.path_of(store, records[0]).with_name(name)
        path.rename(path.with_name(other))

    return tamper


def _beside(store: Store, records: Records) -> None:
    """Lay a second record beside the first, by a name that looks the same."""
    path = honest.path_of(store, records[0])
    path.with_name("rec\u043erd.json").write_bytes(path.read_bytes())


def _too_high(store: Store, records: Records) -> None:
    path = honest.path_of(store, records[0])
    (path.parents[1] / path.name).write_bytes(path.read_bytes())


TAMPERED: dict[str, tuple[Callable[[Store, Records], None], str]] = {
    "one metric times ten": (_change(0, _metric("throughput.samples", value=lambda v: v * 10)), "metric"),
    "all of one kind times ten": (_change(0, _metric("iteration.mean", value=lambda v: v / 10)), "metric"),
    "a percentile": (_change(0, _metric("latency.p50", value=lambda v: v * 0.9)), "metric"),
    "raw times": (_raw_times, "raw times"),
    "an interval": (_change(0, _metric("throughput.samples", ci_low=1.0, ci_high=2.0)), "interval"),
    "every flag cleared": (_drifting, "flag"),
    "flags taken away": (_change(0, lambda r: r["evidence"].pop("timing_flags")), "flag"),
    "the sensor's flags": (_change(0, _evidence(sensor_flags=[])), "flag"),
    "a trial left out": (_remove_trial, "planned and not there"),
    "a slow replica left out": (_remove(2), "replica left out"),
    "the last replica left out": (_remove(-1), "planned and not there"),
    "two trials' metrics swapped": (_swap, "metric"),
    "the machine's facts": (_change(0, lambda r: r["machine"].update(hypervisor="none")), "machine_id"),
    "the code's facts": (_change(0, lambda r: r["code"].update(torch="9.9")), "code_id"),
    "the configuration": (_change(0, lambda r: r["config"]["precision"].update(name="fp16")), "work_id"),
    "how it was measured": (_change(0, lambda r: r["config"]["measure"].update(seconds=99.0)), "trial_id"),
    "a record from the future": (_change(0, lambda r: r.update(started_at="2099-01-01T00:00:00Z")), "time"),
    "a file that is no record": (_no_record, "no record"),
    "the energy": (_change(0, _metric("energy.iteration", value=lambda v: v / 2)), "metric"),
    "the window's energy": (_change(0, lambda r: r["evidence"]["energy"].update(joules=1.0)), "energy"),
    "the FLOPs": (_change(0, _metric("flops.step", value=lambda v: v * 2)), "metric"),
    "the work of a step": (
        _change(0, lambda r: r["evidence"]["audit"]["ranks"][0]["cycle"][0].update(samples=300)),
        "units",
    ),
    "a unit": (_change(0, _metric("throughput.samples", unit="kilosamples/s")), "unit"),
    "a loss": (_change(0, _metric("loss.last", value=0.1)), "metric"),
    "a metric taken away": (_change(0, lambda r: r["metrics"].pop(0)), "metric missing"),
    "the span": (_change(0, _evidence(span_ns=1)), "metric"),
    "a replica added": (_add, "chain"),
    "the seal taken off": (_change(0, lambda r: r.update(seal=None)), "seal"),
    "the loop taken away": (
        lambda store, records: (honest.path_of(store, records[0]).with_name(LOOP)).unlink(),
        "file missing",
    ),
    "the plan shortened": (_short_plan, "plan changed"),
    "two trials' attempts swapped": (_swap_folders, "misplaced"),
    "two trials' attempts swapped and renamed": (_swap_trials, "work_id"),
    "metrics twice": (_twice("metrics", "[]"), "name twice"),
    "a metric's value twice": (_twice("value", "1e9"), "name twice"),
    "a plan's trials twice": (_plan_twice, "no plan"),
    "a record that is a link": (_linked("record.json"), "unreadable"),
    "a loop that is a link": (_linked("loop.parquet"), "unreadable"),
    "an attempt that is a link": (_linked_folder, "unreadable"),
    "a plan that is a link": (_linked_plan, "unreadable"),
    "a pipe beside a record": (_pipe, "unreadable"),
    "a record by a look-alike name": (_look_alike("record.json", "re\u0441ord.json"), "replica left out"),
    "a loop by a look-alike name": (_look_alike("loop.parquet", "l\u043eop.parquet"), "file added"),
    "a second record by a look-alike name": (_beside, "file added"),
    "a record above its attempt": (_too_high, "misplaced"),
}  # fmt: skip


def test_an_honest_sweep_is_consistent(sweep: tuple[Store, Records]) -> None:
    """Nothing is named; without its log, which may be private, neither."""
    store, records = sweep
    found = audit_store(store, ["demo"])
    assert (found.label, found.lines(), found.records, found.sealed) == ("consistent", [], 6, 6)
    honest.path_of(store, records[0]).with_name("log.txt").unlink()
    assert audit_store(store, ["demo"]).label == "consistent"


def test_two_users_of_one_machine_are_two_chains(tmp_path: Path) -> None:
    """Each begins his own, as does one whose journal is gone: nothing was added by a stranger."""
    store, planned = open_store(tmp_path), honest.plan()
    honest.write_sweep(store, planned, 2)
    honest.write_sweep(store, planned, 3, begin=2)
    found = audit_store(store, ["demo"])
    assert (found.label, found.lines()) == ("consistent", [])


@pytest.mark.parametrize("kind", TAMPERED)
def test_tampering_is_named(sweep: tuple[Store, Records], kind: str) -> None:
    """One file changed: its own contradiction is named, and the chain shows it too."""
    tamper, named = TAMPERED[kind]
    tamper(*sweep)
    found = audit_store(sweep[0], ["demo"])
    assert named in {finding.kind for finding in (*found.findings, *found.missing)}, found.lines()


_BY_THE_CHAIN = {"a replica added", "the seal taken off", "the loop taken away", "a slow replica left out"}
_UNDONE = {
    "a file that is no record",
    "metrics twice",
    "a metric's value twice",
    "a loop by a look-alike name",
}
"""What is not there any more once all is written anew."""


@pytest.mark.parametrize("kind", sorted(TAMPERED.keys() - _BY_THE_CHAIN - _UNDONE))
def test_tampering_is_named_where_all_was_sealed_again(sweep: tuple[Store, Records], kind: str) -> None:
    """Whoever makes every digest anew still has to make the numbers follow from the durations."""
    tamper, named = TAMPERED[kind]
    tamper(*sweep)
    honest.reseal(*sweep)
    found = audit_store(sweep[0], ["demo"])
    assert named in {finding.kind for finding in (*found.findings, *found.missing)}, found.lines()


def test_many_records_are_audited_in_two_processes_with_the_same_outcome(
    sweep: tuple[Store, Records], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In batches of two attempts: every finding in its order, where DuckDB was used before the fork too."""
    for kind in ("one metric times ten", "two trials' metrics swapped", "a record above its attempt"):
        TAMPERED[kind][0](*sweep)
    honest.path_of(sweep[0], sweep[1][3]).write_text("{}")
    alone = audit_store(sweep[0], ["demo"])
    monkeypatch.setattr(batch_audit, "_BATCH_ATTEMPTS", 2)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1})
    assert audit_store(sweep[0], ["demo"]) == alone
    assert len(alone.findings) > 3


def test_records_of_the_release_before_are_not_sealed_and_clean(sweep: tuple[Store, Records]) -> None:
    """Schema 1 kept no loop and no seal: what can be checked is, and the label says the rest."""
    store, records = sweep
    for record in records:
        path = honest.path_of(store, record)
        path.with_name(LOOP).unlink()
        honest.edit(path, lambda r: (r.update(schema_version=1, seal=None), r["evidence"].pop("audit")))
    found = audit_store(store, ["demo"])
    assert (found.label, found.lines()) == ("not sealed", [])


def test_a_bundle_of_the_release_before_is_sound_and_not_sealed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the last commit before the seal made it (4cb1b64~1): verified and merged without a finding."""
    bundle = Path(__file__).parents[2] / "golden" / "bundles" / "unsealed.tar"
    assert main(["verify", str(bundle)]) == 0
    told = capsys.readouterr()
    assert told.out.endswith("sound, 5 files; unsigned; not sealed\n")
    assert told.err == ""
    assert main(["merge", str(bundle), "--results", str(tmp_path)]) == 0
    assert len(open_store(tmp_path).records("old")[0]) == 2


def test_a_sweep_is_verified_where_it_lies(
    sweep: tuple[Store, Records], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a bundle of it; a folder without records, and one that ought to be signed, are refused."""
    folder = sweep[0].sweep_dir("demo")
    assert main(["verify", str(folder)]) == 0
    assert capsys.readouterr().out.endswith("files; unsigned; consistent\n")
    _linked("loop.parquet")(*sweep)
    assert main(["verify", str(folder)]) == 1
    told = capsys.readouterr()
    assert "loop.parquet: unreadable: a link" in told.err
    assert "inconsistent" in told.out
    (tmp_path / "empty").mkdir()
    assert main(["verify", str(tmp_path / "empty")]) == 2
    (tmp_path / "signers").write_text("")
    assert main(["verify", str(folder), "--trusted", str(tmp_path / "signers")]) == 2


def test_a_merge_refuses_what_contradicts_itself_or_marks_it(
    sweep: tuple[Store, Records], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`verify` names it; `merge` writes nothing unless told, and then the mark stays."""
    store, _ = sweep
    TAMPERED["one metric times ten"][0](*sweep)
    bundle, other = tmp_path / "demo.tar", tmp_path / "other"
    write_bundle(store, ["demo"], bundle)
    assert main(["verify", str(bundle)]) == 1
    told = capsys.readouterr()
    assert "throughput.samples is" in told.err
    assert "unsigned; inconsistent" in told.out
    assert main(["merge", str(bundle), "--results", str(other)]) == 2
    assert not other.exists()
    assert main(["merge", str(bundle), "--results", str(other), "--accept-inconsistent"]) == 0
    (mark,) = (other / "merged").glob("*.json")
    assert json.loads(mark.read_text())["label"] == "inconsistent"
    assert open_store(other).sweeps() == ["demo"]
