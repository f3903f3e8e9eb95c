"""Honest sweeps made without a worker: metrics by the trial's own rules, a seal on every record."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from harness.config.models import Config
from harness.devices.base import Peak
from harness.execution.sweep import plan_payload
from harness.identity.fingerprint import code_id, machine_id
from harness.identity.machine import Identity
from harness.planning.plan import Plan, PlannedTrial, make_plan
from harness.records.chain import Chain, plan_digest
from harness.records.schema import Record
from harness.records.store import Store
from harness.timing import Measurement
from harness.trial.audit import evidence, keep_series
from harness.trial.metrics import EnergyUse, RankRun, summarise
from workloads.base import Units

MACHINE = {"host_processor_model_name": "a CPU", "host_memory_capacity": "16 GiB"}
CODE = {"torch": "2.13.0", "python": "CPython 3.11"}


def plan(sweep: str = "demo") -> Plan:
    """Return a plan of two trials."""
    return make_plan(
        ["workload=mlp", "precision=fp32,bf16", "device=cpu", "measure=demo", f"run.name={sweep}"]
    )


def write_sweep(
    store: Store,
    planned: Plan,
    replicas: int = 3,
    iterations: int = 40,
    begin: int = 0,
    slower: float = 1.0,
) -> list[Record]:
    """Write a sweep's replicas from `begin` on as one chain, and return its records in their order."""
    payload = plan_payload(planned, Identity(MACHINE, CODE, machine_id(MACHINE), code_id(CODE)))
    store.write_plan(planned.sweep, payload)
    chain = Chain(plan_digest(payload))
    records = []
    for replica in range(begin, replicas):
        for order, trial in enumerate(planned.trials):
            records.append(_write(store, planned.sweep, chain, trial, replica, order, iterations, slower))
    return records


def _write(
    store: Store,
    sweep: str,
    chain: Chain,
    trial: PlannedTrial,
    replica: int,
    order: int,
    iterations: int,
    slower: float,
) -> Record:
    folder = store.attempt_dir(sweep, machine_id(MACHINE), trial.trial_id, replica, 0)
    folder.mkdir(parents=True)
    random = np.random.default_rng([replica, order])
    durations_ns = random.integers(9_900_000, 10_100_000, iterations) * (order + 1) * slower
    run = _run(durations_ns.astype(np.int64))
    known: dict[str, Any] = {
        "peak": Peak(1e12, "a sheet"),
        "ceiling": Peak(None, reason="no ceiling was measured"),
        "energy": EnergyUse(5.0 + replica, 0.1, 30.0, 4.0),
        "single_threaded": False,
        "output_tokens": None,
        "rank_metrics": {"model.parameters": 1000.0},
    }
    losses = [2.0, 1.5, 1.0]
    metrics = summarise([run], losses=losses, **known)
    keep_series([run], losses, str(folder))
    (folder / "log.txt").write_text("")
    joules = known["energy"].joules
    m = run.measurement
    began = f"2026-01-01T{replica // 60:02d}:{replica % 60:02d}:00.{order:03d}Z"
    record = Record(
        sweep=sweep, label=trial.label, work_id=trial.work_id, trial_id=trial.trial_id,
        machine_id=machine_id(MACHINE), code_id=code_id(CODE), replica=replica, attempt=0, round_order=order,
        status="ok", phase="done", started_at=began,
        wall_s=m.span_ns / 1e9 + 1, config=trial.payload, machine=MACHINE, code=CODE, metrics=tuple(metrics),
        evidence={
            "steady": True, "drift": False, "timing_flags": [], "iterations": m.iterations,
            "span_ns": m.span_ns, "host_ns": m.host_ns, "clock": "host", "output_ok": True,
            "sensor_flags": ["gain_uncalibrated"],
            "energy": {"joules": joules, "devices": [
                {"in_total": True, "joules": joules, "flags": ["gain_uncalibrated"]}
            ]},
            **evidence([run], Config.model_validate(trial.payload), **known),
        },
        worker={"kind": "warm"},  # type: ignore[arg-type]
        seal=chain.seal(folder, dict(trial.size), trial.data_digest),
    )  # fmt: skip
    store.write(record)
    chain.written(record.sha256)
    return record


def _run(durations_ns: Any) -> RankRun:
    total = int(durations_ns.sum())
    measurement = Measurement(
        warmup_iterations=3, warmup_ns=7, first_index=4, iterations=len(durations_ns), span_ns=total + 1000,
        host_ns=total, durations_ns=durations_ns, group=1, stretches=None, cpu_ns=total, steal_ratio=None,
        involuntary_switches=0, tick_ns=1, clock="host", steady=True, drift=False, marks={}, flags=(),
        warmup_windows=((10.0, 11.0, 12.0), (10.0, 11.0, 12.5)),
    )  # fmt: skip
    cycle = [Units(3, 50, flops=1e9), Units(2, 40, flops=0.8e9)]
    return RankRun(measurement, cycle, {"peak_allocated": 5, "peak_reserved": None, "peak_rss": 9})


def path_of(store: Store, record: Record) -> Path:
    """Return where a record lies."""
    place = (record.sweep, record.machine_id, record.trial_id, record.replica, record.attempt)
    return store.attempt_dir(*place) / "record.json"


def edit(path: Path, change: Any) -> None:
    """Change a JSON file in place."""
    told = json.loads(path.read_text())
    change(told)
    path.write_text(json.dumps(told))


def reseal(store: Store, records: list[Record]) -> None:
    """Chain the records anew, as one who tampers with all of them would."""
    previous = None
    for number, record in enumerate(records):
        path = path_of(store, record)
        if not path.exists():
            continue
        told = json.loads(path.read_text())
        told["seal"] |= {"previous": previous, "number": number}
        for name in told["seal"]["files"]:
            told["seal"]["files"][name] = sha256(path.with_name(name).read_bytes())
        data = json.dumps(told).encode()
        path.write_bytes(data)
        previous = sha256(data)


def sha256(data: bytes) -> str:
    """Return a digest in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
