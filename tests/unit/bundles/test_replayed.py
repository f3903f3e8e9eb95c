"""Tampering that leaves every digest right: planted at the producer and denied, or edited all through."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from standins import honest

from harness.bundles import work_audit
from harness.bundles.consistency import audit_store
from harness.identity.fingerprint import workloads_digest
from harness.records.loop import LOOP, read_loops, write_loop
from harness.records.schema import Record
from harness.records.store import Store, open_store
from harness.records.trace import COLUMNS, TRACE, write_trace
from harness.trial import work_count
from harness.trial.audit import config_of

Records = list[Record]
Tamper = Callable[[Store, Records], None]


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


def _kinds(store: Store) -> set[str]:
    found = audit_store(store, ["demo"])
    return {finding.kind for finding in (*found.findings, *found.missing)}


def _record(change: Callable[[dict[str, Any]], Any]) -> Tamper:
    return lambda store, records: honest.edit(honest.path_of(store, records[0]), change)


def _evidence(**values: Any) -> Tamper:
    return _record(lambda record: record["evidence"].update(values))


def _audit(change: Callable[[dict[str, Any]], Any]) -> Tamper:
    return _record(lambda record: change(record["evidence"]["audit"]))


def _loop(**values: Callable[[Any], Any]) -> Tamper:
    """Change series of a loop; `a__b` is the series `a.b`."""

    def tamper(store: Store, records: Records) -> None:
        folder = honest.path_of(store, records[0]).parent
        ((_, series),) = read_loops([("x", (folder / LOOP).read_bytes())])
        assert series is not None
        named = {name.replace("__", "."): change for name, change in values.items()}
        write_loop(series | {name: change(series[name]) for name, change in named.items()}, folder)

    return tamper


def _trace(rows: str) -> Tamper:
    """Make the trace of what a query finds in it."""

    def tamper(store: Store, records: Records) -> None:
        path = honest.path_of(store, records[0]).with_name(TRACE)
        found = duckdb.sql(rows.format(path=path)).fetchnumpy()
        write_trace({name: found[name] for name in COLUMNS}, path.parent)

    return tamper


def _half_the_energy(record: dict[str, Any]) -> None:
    """Halve it everywhere but in the trace."""
    for metric in record["metrics"]:
        if metric["id"].startswith(("energy.", "power.")) and metric["value"] is not None:
            metric["value"] /= 2
        if metric["id"].startswith("efficiency."):
            metric["value"] *= 2
    evidence = record["evidence"]
    for facts in (
        evidence["audit"]["energy"],
        evidence["energy"],
        evidence["energy"]["devices"][0],
        evidence,
    ):
        for key in ("joules", "u_joules", "u_absolute_joules", "mean_w", "peak_w"):
            if facts.get(key) is not None:
                facts[key] /= 2


def _metric(change: Callable[[list[dict[str, Any]]], Any]) -> Tamper:
    return _record(lambda record: change(record["metrics"]))


def _copied(store: Store, records: Records) -> None:
    """Let a fast replica stand for a slow one."""
    fast, slow = (honest.path_of(store, records[i]) for i in (0, 2))
    shutil.rmtree(slow.parent)
    shutil.copytree(fast.parent, slow.parent)
    honest.edit(slow, lambda record: record.update(replica=1, started_at=records[2].started_at))


def _fewer(store: Store, records: Records) -> None:
    """Leave the last replicas out, and have planned no more."""
    for record in records[-2:]:
        shutil.rmtree(honest.path_of(store, record).parent)
    path = store.sweep_dir("demo") / "plan.json"
    honest.edit(path, lambda plan: [trial.update(replicas=2) for trial in plan["trials"]])


def _without_trace(store: Store, records: Records) -> None:
    honest.path_of(store, records[0]).with_name(TRACE).unlink()
    _record(lambda r: r["seal"]["files"].pop(TRACE))(store, records)


def _later(series: Any) -> Any:
    moved = series.copy()
    moved[-1] += 1_000_000
    return moved


TAMPERED: dict[str, tuple[Tamper, str]] = {
    "the trace halved": (_trace("SELECT * REPLACE (value / 2 AS value) FROM '{path}'"), "energy"),
    "a part of the trace": (_trace("SELECT * FROM '{path}' WHERE t0_ns < 1200000000"), "energy"),
    "the trace moved": (_trace("SELECT * REPLACE (t0_ns + 7 AS t0_ns) FROM '{path}'"), "energy"),
    "no trace": (_without_trace, "energy"),
    "the energy halved all through": (_record(_half_the_energy), "energy"),
    "the window shortened": (
        _record(lambda r: r["evidence"]["energy"].update(span_ns=[10**9, 10**9 + 10**8])), "energy"
    ),
    "what was read taken away": (_audit(lambda audit: audit.pop("window")), "energy"),
    "a sensor's facts": (
        _record(lambda r: r["evidence"]["energy"]["devices"][0]["sensors"][0].update(gain_uncertainty=0.0)),
        "energy",
    ),
    "the power's series": (
        _record(lambda r: r["series"].update({k: [1.0] for k in r["series"] if "scripted" in k})), "series"
    ),
    "batch means that scatter less": (
        _record(lambda r: r["series"].update(iteration_s=[0.01] * len(r["series"]["iteration_s"]))), "series"
    ),
    "a warm-up that had not settled": (_loop(warmup__before_ns=lambda ns: ns * 2), "flag"),
    "how much was undisturbed": (_evidence(clean_share=0.5), "flag"),
    "the check of outputs taken away": (_record(lambda r: r["evidence"].pop("output_ok")), "flag"),
    "losses that were not finite": (_loop(loss=lambda loss: loss * float("inf")), "flag"),
    "a clock at an edge": (_loop(edge__wall_ns=_later), "raw times"),
    "iterations between edges": (_loop(edge__iterations=lambda ran: ran // 2), "raw times"),
    "a clock that went back": (_loop(edge__cpu_ns=lambda ns: ns[::-1].copy()), "raw times"),
    "the warm-up's iterations": (_evidence(warmup_iterations=9), "raw times"),
    "a metric of nothing": (_metric(lambda m: m.append(m[0] | {"id": "latency.ttft"})), "metric"),
    "one metric twice": (_metric(lambda m: m.append(m[0] | {"value": 9e9})), "metric"),
    "where a metric comes from": (_metric(lambda m: m[0].update(provenance="declared")), "provenance"),
    "a number as text": (_metric(lambda m: m[0].update(value=str(m[0]["value"]))), "no record"),
    "a number as a truth": (_metric(lambda m: m[0].update(value=True)), "no record"),
    "evidence of another kind": (_evidence(throttled="no"), "evidence"),
    "tokens of no mode": (_audit(lambda audit: audit.update(output_tokens=9)), "units"),
    "no time at all": (_record(lambda r: r.update(wall_s=0.0)), "time"),
    "a build that takes longer": (
        _audit(lambda audit: audit["rank_metrics"].update({"time.build": 99.0})), "metric"
    ),
    "a fast replica for a slow one": (_copied, "replica copied"),
    "another batch than the others": (_evidence(first_batch_sha256="cd" * 32), "units"),
    "fewer replicas planned and there": (_fewer, "plan changed"),
    "begun before the one before had ended": (
        _record(lambda r: r.update(wall_s=9999.0)), "time"
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", TAMPERED)
def test_tampering_is_named_where_all_was_sealed_again(sweep: tuple[Store, Records], kind: str) -> None:
    """Each is in one file, with every digest of the chain made anew."""
    tamper, named = TAMPERED[kind]
    tamper(*sweep)
    honest.reseal(*sweep)
    assert named in _kinds(sweep[0])


def _stopped(durations_ns: Any) -> Any:
    durations_ns[5] += 2 * 10**9
    return durations_ns


def _slower(durations_ns: Any) -> Any:
    durations_ns[len(durations_ns) // 2 :] *= 2
    return durations_ns


@pytest.mark.parametrize(
    ("planted", "denied"),
    [
        ({"shape": _stopped}, {"timing_flags": []}),
        ({"shape": _slower}, {"timing_flags": [], "drift": False}),
        ({"iterations": 8}, {"timing_flags": ["buffer_full"]}),
        ({"iterations": 20}, {"timing_flags": []}),
        ({"watts": lambda watts: watts * 0}, {"all_zero": []}),
    ],
)
def test_what_was_planted_at_its_producer_cannot_be_denied(
    tmp_path: Path, planted: dict[str, Any], denied: dict[str, Any]
) -> None:
    """A stop, a drift, too few iterations, an early end, a dead gauge: clean when told, else named."""
    store = open_store(tmp_path)
    records = honest.write_sweep(store, honest.plan(), 1, **planted)
    assert _kinds(store) <= {"planned and not there"}
    _evidence(**denied)(store, records)
    honest.reseal(store, records)
    assert "flag" in _kinds(store)


def test_a_coarse_clock_cannot_be_called_a_fine_one(tmp_path: Path) -> None:
    """Durations that are multiples of 1 us are of no clock that ticks each ns; told, they are clean."""
    store = open_store(tmp_path)
    records = honest.write_sweep(store, honest.plan(), 1, 80, shape=lambda ns: ns // 1000 * 1000)
    assert "raw times" in _kinds(store)
    for record in records:
        honest.edit(honest.path_of(store, record), lambda r: r["evidence"].update(tick_ns=1000))
    honest.reseal(store, records)
    assert _kinds(store) == {"planned and not there"}


def test_what_a_pass_apart_measured_is_named_as_not_recomputed(sweep: tuple[Store, Records]) -> None:
    """No record keeps its raw numbers: it is no contradiction, and the note has its name."""
    store, records = sweep
    _metric(lambda m: m.append(m[0] | {"id": "iteration.gated", "unit": "s", "direction": "lower"}))(*sweep)
    honest.reseal(store, records)
    found = audit_store(store, ["demo"])
    assert (found.label, found.lines()) == ("consistent", [])
    why = "iteration.gated of a pass apart from the span or of an engine's own"
    assert f"not recomputed in 1 records: {why}" in found.notes()


def test_rules_of_another_version_are_not_ours_and_do_not_pass_for_checked(
    sweep: tuple[Store, Records],
) -> None:
    """Whoever says that other rules held is believed, but the bundle is not called consistent."""
    for record in sweep[1]:
        honest.edit(honest.path_of(sweep[0], record), lambda r: r["evidence"]["audit"].update(version=999))
    honest.reseal(*sweep)
    found = audit_store(sweep[0], ["demo"])
    assert (found.label, found.lines()) == ("not sealed", [])
    assert found.notes() == ["not recomputed in 6 records: it was kept by the rules of another version"]


def test_units_are_counted_again_from_the_workload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of this very code: the stand-in's units are none that an MLP has, and the workload's own are clean."""
    monkeypatch.setattr(
        work_audit,
        "count",
        lambda works: [{"cycles": work_count.cycles(config_of(w.config), w.size, w.ranks)} for w in works],
    )
    store = open_store(tmp_path)
    code = honest.CODE | {"workloads_sha256": workloads_digest()}
    records = honest.write_sweep(store, honest.plan(), code=code)
    found = audit_store(store, ["demo"])
    assert {finding.kind for finding in found.findings} == {"units"}
    assert "processes something else: rank[0]" in found.lines()[0]
    for record in records:
        config = config_of(record.config)
        assert record.seal is not None
        own = work_count.cycles(config, dict(record.seal.size or {}), 1)
        honest.edit(
            honest.path_of(store, record),
            lambda r, own=own: r["evidence"]["audit"]["ranks"][0].update(
                cycle=[units | {"least_bytes": 0.0} for units in own[0]]
            ),
        )
    honest.reseal(store, records)
    assert _kinds(store) == {"metric"}  # its rates are still of the other units


def test_sizes_of_a_stranger_end_the_count_and_not_the_audit() -> None:
    """A batch of terabytes is not counted; the work behind it still is."""
    trial = honest.plan().trials[0]
    config = json.loads(json.dumps(trial.payload))
    works = [
        work_count.Work(config, dict(trial.size) | {"batch": 2**31 - 1}, 1),
        work_count.Work(config, dict(trial.size), 1),
    ]
    huge, right = work_count.count(works)
    assert "cannot be counted here" in huge["reason"]
    assert right["cycles"][0][0]["samples"] == trial.size["batch"]


@pytest.mark.parametrize("value", [None, "x", -1, 10**18, [], {}, [[1]], True])
def test_no_value_of_a_stranger_ends_an_audit(sweep: tuple[Store, Records], value: Any) -> None:
    """In each place of the evidence that an audit reads: whatever lies there, it ends with an answer."""
    store, records = sweep
    path = honest.path_of(store, records[0])
    honest_one = path.read_text()
    for where in (
        ("sensor_flags", 0), ("energy", "devices"), ("energy", "devices", 0, "flags"), ("audit", "energy"),
        ("energy", "span_ns"), ("audit", "ranks"), ("audit", "ranks", 0, "span_ns"), ("audit", "window"),
        ("audit", "ranks", 0, "cycle", 0), ("audit", "window", "devices", 0, "spans"), ("timing_flags",),
        ("contention",), ("energy", "devices", 0), ("audit", "rank_metrics"),
    ):  # fmt: skip
        told = json.loads(honest_one)
        place = told["evidence"]
        for key in where[:-1]:
            place = place[key]
        place[where[-1]] = value
        path.write_text(json.dumps(told))
        found = audit_store(store, ["demo"])
        assert found.records + len([f for f in found.findings if f.kind == "no record"]) == 6
