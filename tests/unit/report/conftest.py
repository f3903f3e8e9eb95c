"""Made-up trials of every kind: machines, modes, precisions, failures, refusals, missing energy, flags."""

from __future__ import annotations

import hashlib
import math
import random
import statistics
from collections.abc import Callable
from typing import Any

import pytest
from scipy.stats import t

from harness.records.metrics import METRICS, make
from harness.records.results import Estimate, TrialResult
from harness.records.schema import Record, WorkerFacts

NO_SENSOR = "no sensor: this virtual machine shows neither RAPL nor NVML"
MACHINE = {
    "host": {"os": "Linux 6.8", "hostname_hash": "a" * 16},
    "cpu": {"model": "Example 9 CPU @ 2.60GHz", "physical_cores": 2, "clock_mhz": 2600.0},
    "memory": {"total_bytes": 16 * 2**30},
    "accelerators": [],
}
CODE = {
    "harness": "0.1.0",
    "torch": "2.13.0",
    "python": "3.11.9",
    "git": {"commit": "f" * 40, "dirty": False},
}


def digest(*parts: object) -> str:
    """A stable made-up identity."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def estimate(
    metric_id: str,
    value: float | None,
    half: float | None = 0.02,
    *,
    n: int = 3,
    validity: str = "valid",
    reasons: tuple[str, ...] = (),
    low: float | None = None,
    high: float | None = None,
) -> Estimate:
    """An estimate with a relative half-width, or with given bounds."""
    d = METRICS[metric_id]
    if value is not None and half is not None and low is None:
        low, high = value * math.exp(-half), value * math.exp(half)
    return Estimate(
        d.id, d.title, d.unit, d.direction, d.estimator, d.provenance, value, low, high,
        0.95 if low is not None else None, n, validity, reasons,
    )  # fmt: skip


def replica_value(e: Estimate, replica: int, replicas: int) -> float | None:
    """One replica's value, such that all of them have the estimate's mean of logs and its t-interval."""
    if e.value is None or e.low is None or e.high is None or replicas < 2 or e.metric_id not in METRICS:
        return e.value if e.metric_id in METRICS else None
    places = [i - (replicas - 1) / 2 for i in range(replicas)]
    sd = statistics.stdev(places)
    half = math.log(e.high / e.low) / 2
    scale = half * math.sqrt(replicas) / float(t.ppf(0.975, replicas - 1))
    return e.value * math.exp(scale * places[replica] / sd)


def trial(
    workload: str = "gpt",
    mode: str = "train",
    precision: str = "fp32",
    *estimates: Estimate,
    size: str = "tiny",
    status: str = "ok",
    phase: str = "done",
    reason: str | None = None,
    signal: str | None = None,
    exit_code: int | None = None,
    log_tail: str = "",
    label: str | None = None,
    sweep: str = "demo",
    machine: dict[str, Any] | None = None,
    code: dict[str, Any] | None = None,
    within_run_only: bool = False,
    replicas: int = 3,
    lost: int = 0,
    config: dict[str, Any] | None = None,
    identity: object = "",
) -> TrialResult:
    """One trial with its records; the estimates stand as given."""
    machine, code = machine or MACHINE, code or CODE
    measure = {
        "preset": "quick" if within_run_only else "demo", "replicas": replicas, "max_replicas": replicas,
        "seconds": 2.0, "warmup_s": 0.5, "within_run_only": within_run_only, "soak": False,
    }  # fmt: skip
    settings: dict[str, Any] = config or {
        "seed": 0,
        "workload": {"name": workload, "mode": mode, "size": size, "batch": None, "shape": {}},
        "precision": {"name": precision},
        "device": {"kind": "cpu", "index": 0, "threads": 2},
        "measure": measure,
        "power": {"sensor": "auto"},
        "run": {"name": sweep, "results": "/somewhere/else", "worker": "warm", "timeout_s": 120.0},
        "price": {"name": "none"},
        "overrides": [
            "+experiment=demo",
            f"workload={workload}",
            f"workload.mode={mode}",
            f"precision={precision}",
        ],
    }
    label = label if label is not None else f"{workload} {size} {mode} {precision}"
    work_id = digest(workload, mode, precision, size, identity)
    ids = {
        "work_id": work_id, "trial_id": digest(work_id, measure),
        "machine_id": digest(machine), "code_id": digest(code),
    }  # fmt: skip

    def record(replica: int, attempt: int, state: str) -> Record:
        bad = state != "ok"
        return Record(
            sweep=sweep, label=label, **ids, replica=replica, attempt=attempt, status=state,
            phase=(phase if status != "ok" else "measure") if bad else "done",
            reason=(reason or "lost to an unlucky signal") if bad else None,
            started_at="2025-03-04T05:06:07Z", config=settings, machine=machine, code=code,
            evidence={"tick_ns": 41},
            metrics=() if bad else tuple(
                make(e.metric_id, value) for e in estimates
                if (value := replica_value(e, replica, replicas)) is not None
            ),
            worker=WorkerFacts(
                kind="none" if state == "refused" else "warm",
                signal=signal if bad else None, exit_code=exit_code if bad else 0,
            ),
            log_tail=log_tail if bad else "",
        )  # fmt: skip

    if status == "ok":
        records = [
            *(record(r, lost, "ok") for r in range(replicas)),
            *(record(0, a, "crashed") for a in range(lost)),
        ]
    else:
        records = [record(0, 0, status)]
    return TrialResult(
        sweep=sweep, label=label, **ids, config=settings, status=status, phase=phase, reason=reason,
        replicas_ok=replicas if status == "ok" else 0, records=tuple(records),
        estimates={e.metric_id: e for e in estimates} if status == "ok" else {},
    )  # fmt: skip


def measured(
    workload: str, mode: str, precision: str, rate: float, half: float = 0.02, **more: Any
) -> TrialResult:
    """A trial with every kind of metric around one throughput; a CPU without an energy sensor."""
    unit = "throughput.samples" if workload in {"resnet", "mlp"} else "throughput.tokens"
    energy = "energy.sample" if unit.endswith("samples") else "energy.token"
    step = 64 / rate
    validity, reasons = more.pop("validity", "valid"), more.pop("reasons", ())
    rng = random.Random(f"{workload}{mode}{precision}{rate}")
    found = [
        estimate(unit, rate, half, validity=validity, reasons=reasons),
        estimate("iteration.mean", step, half),
        estimate("latency.p50", step * 0.97, half),
        estimate("latency.p90", step * (1.05 + rng.random() / 5), half * 2),
        estimate(
            "latency.p99",
            None,
            validity="unavailable",
            reasons=("too few effective samples: 368 are needed",),
        ),
        estimate("time.first_iteration", step * 9, 0.1),
        estimate("time.build", 0.2 + rng.random(), 0.2),
        estimate("flops.rate", rate * 3.1e6, half),
        estimate("flops.step", 64 * 3.1e6, None),
        estimate("memory.peak_rss", (300 + 500 * rng.random()) * 2**20, None),
        estimate("memory.weights", 12.3e6, None),
        estimate("model.parameters", 3.1e6, None),
        estimate(energy, None, validity="unavailable", reasons=(NO_SENSOR,)),
    ]
    if mode == "train":
        found += [estimate("loss.first", 5.54, 0.001), estimate("loss.last", 4.21, 0.01)]
    if mode == "generate":
        found += [estimate("latency.ttft", step * 4, half), estimate("latency.tpot", step / 2, half)]
    return trial(workload, mode, precision, *found, **more)


def _sweep() -> list[TrialResult]:
    results = [
        measured("resnet", "train", "fp32", 212.4, 0.012),
        measured("resnet", "train", "bf16", 148.0, 0.03),
        measured("resnet", "infer", "fp32", 688.0, 0.02),
        measured("resnet", "infer", "bf16", 702.0, 0.05),
        measured("mlp", "train", "fp32", 48_321.0, 0.004),
        measured("mlp", "infer", "fp32", 201_000.0, 0.01),
        measured("lstm", "train", "fp32", 9_120.0, 0.03, lost=1, signal="SIGKILL", log_tail="step 3\nstep 4"),
        measured("lstm", "generate", "fp32", 2_210.0, 0.02, validity="flagged", reasons=("drift",)),
        measured("bert", "train", "fp32", 3_020.0, 0.02),
        measured("bert", "finetune", "fp32", 4_300.0, 0.04),
        measured("bert", "infer", "fp32", 12_800.0, 0.02),
        measured("bert", "infer", "bf16", 8_400.0, 0.02, validity="flagged", reasons=("drift", "cpu_steal")),
    ]
    for mode, rate in (("train", 5_400.0), ("prefill", 31_000.0), ("decode", 910.0), ("generate", 840.0)):
        results.append(measured("gpt", mode, "fp32", rate, 0.015))
        results.append(measured("gpt", mode, "bf16", rate * (0.62 if mode == "train" else 1.01), 0.025))
    results += [
        measured("gpt", "infer", "fp32", 777.0, validity="invalid", reasons=("output_wrong",)),
        trial("bert", "train", "bf16", status="oom", phase="measure", signal="SIGKILL",
              reason="killed by the memory limit of 1 GiB", log_tail="allocating 4 GiB\nallocating 8 GiB\n"),
        trial("mlp", "train", "bf16", status="crashed", phase="build", exit_code=1,
              reason="ValueError: no such layer",
              log_tail="Traceback (most recent call last):\n  File 'mlp.py'\nValueError: no such layer\n"),
        trial("lstm", "train", "bf16", status="hung", phase="warmup", signal="SIGKILL",
              reason="no end after 120 s"),
        trial("resnet", "train", "tf32", status="refused", phase="plan", reason="tf32 needs a CUDA device"),
    ]  # fmt: skip
    return results


@pytest.fixture
def make_trial() -> Callable[..., TrialResult]:
    """The factory of bare trials."""
    return trial


@pytest.fixture
def make_measured() -> Callable[..., TrialResult]:
    """The factory of trials with every kind of metric."""
    return measured


@pytest.fixture
def make_estimate() -> Callable[..., Estimate]:
    """The factory of estimates."""
    return estimate


@pytest.fixture
def sweep() -> list[TrialResult]:
    """A whole sweep on a CPU: 21 ok, 3 failed, 1 refused."""
    return _sweep()
