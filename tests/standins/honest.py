"""Honest sweeps made without a worker: metrics by the trial's own rules, a seal on every record."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.config.models import Config
from harness.devices.base import Peak
from harness.energy import EnergyResult, IterationEnergy, SensorInfo
from harness.energy.estimation.result import Evidence, KeptMeter, device_energy, total
from harness.energy.sampling.trace import Samples
from harness.energy.sensors.none import NullMeter
from harness.execution.sweep import plan_payload
from harness.identity.fingerprint import code_id, machine_id
from harness.identity.machine import Identity
from harness.planning.plan import Plan, PlannedTrial, make_plan
from harness.records.chain import Chain, plan_digest
from harness.records.schema import Record
from harness.records.store import Store
from harness.timing import Measurement
from harness.timing.loop import Stretches
from harness.timing.steady import drifted, stalled
from harness.trial import span_energy
from harness.trial.audit import evidence, keep_series, short_series
from harness.trial.evidence import all_zero, thin, timing_evidence
from harness.trial.metrics import RankRun, summarise
from workloads.base import Units

MACHINE = {"host_processor_model_name": "a CPU", "host_memory_capacity": "16 GiB"}
CODE = {"torch": "2.13.0", "python": "CPython 3.11"}
GAUGE = SensorInfo("scripted", "0", "Scripted", "instant", "package", update_period_s=0.01)
WORDS = (
    *("workload=mlp", "precision=fp32,bf16", "device=cpu", "measure=demo", "measure.seconds=0.3"),
    *("measure.replicas=3", "measure.max_replicas=3"),
)
"""What every such sweep is planned by."""
CYCLE = (Units(3, 50, flops=1e9), Units(2, 40, flops=0.8e9))
Array = Any
"""Of numpy."""
START_NS = 10**9
"""When every span begins."""


def plan(sweep: str = "demo") -> Plan:
    """Return a plan of two trials."""
    return make_plan([*WORDS, f"run.name={sweep}"])


def write_sweep(
    store: Store,
    planned: Plan,
    replicas: int = 3,
    iterations: int = 40,
    begin: int = 0,
    shape: Callable[[Array], Array] = lambda durations_ns: durations_ns,
    watts: Callable[[Array], Array] | None = lambda watts: watts,
    code: Mapping[str, Any] = CODE,
    cycle: Sequence[Units] = CYCLE,
) -> list[Record]:
    """Write a sweep's replicas from `begin` on as one chain, and return its records in their order.

    Args:
        store: where.
        planned: of `plan`.
        replicas: of each trial, with those before `begin`.
        iterations: of each span, about 10 ms each.
        begin: the first replica to write.
        shape: changes the durations, before anything is made of them.
        watts: changes what the gauge says; None is no gauge.
        code: facts of the code.
        cycle: what steps process in turn.
    """
    payload = plan_payload(planned, Identity(MACHINE, code, machine_id(MACHINE), code_id(code)))
    store.write_plan(planned.sweep, payload)
    chain = Chain(plan_digest(payload))
    records = []
    for replica in range(begin, replicas):
        for order, trial in enumerate(planned.trials):
            made = _Made(replica, order, iterations, shape, watts, code, cycle)
            records.append(_write(store, planned.sweep, chain, trial, made))
    return records


@dataclass(frozen=True)
class _Made:
    replica: int
    order: int
    iterations: int
    shape: Callable[[Array], Array]
    watts: Callable[[Array], Array] | None
    code: Mapping[str, Any]
    cycle: Sequence[Units]


def _write(
    store: Store,
    sweep: str,
    chain: Chain,
    trial: PlannedTrial,
    made: _Made,
) -> Record:
    replica, order = made.replica, made.order
    folder = store.attempt_dir(sweep, machine_id(MACHINE), trial.trial_id, replica, 0)
    folder.mkdir(parents=True)
    random = np.random.default_rng([replica, order])
    durations_ns = made.shape(
        random.integers(*(np.array([9_900_000, 10_100_000]) * (order + 1)), made.iterations)
    )
    run = _run(durations_ns.astype(np.int64), replica, trial.config, made.cycle)
    m, losses = run.measurement, [2.0, 1.5, 1.0]
    window = _window(m, made.watts, random)
    spent = span_energy.span_energy(window, m, _never)
    known: dict[str, Any] = {
        "peak": Peak(1e12, "a sheet"),
        "ceiling": Peak(None, reason="no ceiling was measured"),
        "energy": spent.use(),
        "single_threaded": trial.config.device.threads == 1,
        "output_tokens": None,
        "rank_metrics": {"model.parameters": 1000.0, "time.build": 0.1},
    }
    metrics = summarise([run], losses=losses, **known)
    keep_series([run], losses, str(folder))
    span_energy.keep_trace(window, m, str(folder))
    (folder / "log.txt").write_text("")
    began = f"2026-01-01T{replica // 60:02d}:{replica % 60:02d}:{30 * order:02d}.000Z"
    record = Record(
        sweep=sweep, label=trial.label, work_id=trial.work_id, trial_id=trial.trial_id,
        machine_id=machine_id(MACHINE), code_id=code_id(made.code), replica=replica, attempt=0,
        round_order=order, status="ok", phase="done", started_at=began, wall_s=m.span_ns / 1e9 + 2,
        config=trial.recorded, machine=MACHINE, code=dict(made.code), metrics=tuple(metrics),
        evidence={
            **timing_evidence(m),
            **all_zero(m, losses, span_energy.zero_metrics(window)),
            "output_ok": True, "output_reason": None, "loss_finite": True, "first_batch_sha256": "ab" * 32,
            **spent.evidence(),
            **evidence([run], window=window, **known),
        },
        series=short_series(m, losses, serves=False) | span_energy.series(window, thin),  # type: ignore[arg-type]
        worker={"kind": "warm"},  # type: ignore[arg-type]
        seal=chain.seal(folder, dict(trial.size), trial.data_digest),
    )  # fmt: skip
    store.write(record)
    chain.written(record.sha256)
    return record


def _run(durations_ns: Array, replica: int, config: Config, cycle: Sequence[Units]) -> RankRun:
    total = int(durations_ns.sum())
    ends_ns = np.concatenate([[0], np.cumsum(durations_ns)])
    counts = np.arange(len(ends_ns), dtype=np.int64)
    stretches = Stretches(counts, START_NS + ends_ns, ends_ns, np.zeros_like(ends_ns))
    drift = drifted(durations_ns, config.measure.target(config.device.hardware))
    flags = {
        "drift": drift,
        "drift_unknown": drift is None,
        "stalled": stalled(durations_ns),
        "buffer_full": total < config.measure.seconds * 1e9,
    }
    raised = tuple(name for name, flagged in flags.items() if flagged)
    measurement = Measurement(
        warmup_iterations=3, warmup_ns=7 + replica, first_index=4, iterations=len(durations_ns),
        span_ns=total + 1000, host_ns=total, durations_ns=durations_ns, group=1, stretches=stretches,
        cpu_ns=total, steal_ratio=None, involuntary_switches=0, tick_ns=1, clock="host", steady=True,
        drift=bool(drift), marks={}, flags=raised, warmup_windows=((10.0, 11.0, 12.0), (10.0, 11.0, 12.5)),
    )  # fmt: skip
    return RankRun(measurement, cycle, {"peak_allocated": 5, "peak_reserved": None, "peak_rss": 9})


def _window(m: Measurement, watts: Callable[[Array], Array] | None, random: Any) -> EnergyResult:
    """Return what a gauge says that was sampled at 100 Hz around a span."""
    span = (START_NS - 500, START_NS - 500 + m.span_ns)
    if watts is None:
        without = Evidence(NullMeter("0", "no sensor", scope="package"))
        return replace(total((device_energy(without, span, in_total=True),), (), span), inputs=(without,))
    at_ns = np.arange(span[0] - 10_000_000, span[1], 10_000_000)
    columns = (array("q", at_ns), array("q", at_ns), array("d", watts(30 + random.random(len(at_ns)))))
    samples = Samples(GAUGE, *columns, array("i", [0] * len(at_ns)))
    read = Evidence(KeptMeter("scripted", "0", (GAUGE,), {}), GAUGE, samples=(samples,), spans=(span,))
    device = device_energy(read, span, in_total=True)
    return replace(total((device,), (samples,), span), inputs=(read,))


def _never() -> IterationEnergy:
    raise AssertionError("a gauge is not aliased")


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
