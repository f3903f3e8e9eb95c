"""A against A: the same small work in many processes, forked warm and started anew."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from harness.isolation.protocol import ReplicaSpec, WorkerKind
from harness.isolation.workers import Workers
from harness.planning.plan import PlannedTrial, make_plan
from harness.qualify import judging
from harness.records.schema import Check
from harness.system.errors import UsageError

WARM, EXEC, QUICK_WARM = 8, 6, 4
SECONDS, QUICK_SECONDS = 0.5, 0.25
_TIMEOUT_S = 60.0
_WHAT = {
    "workers.same": "The same work in two interleaved halves of warm workers: the ratio of their means.",
    "workers.kinds": "Warm workers against new interpreters: the ratio of their means.",
    "workers.spread": "Warm workers against new interpreters: the ratio of their spreads.",
}


def checks(device_kind: str, index: int, *, quick: bool) -> Iterator[Check]:
    """Run the processes, warm and new in turn, and compare."""
    trial = _trial(device_kind, index, QUICK_SECONDS if quick else SECONDS)
    order: list[WorkerKind] = ["warm"] * QUICK_WARM if quick else _in_turn()
    means: dict[str, list[float]] = {"warm": [], "exec": []}
    with Workers() as workers, tempfile.TemporaryDirectory() as folder:
        for worker in order:
            mean, reason = _mean_s(workers, trial, Path(folder), worker)
            if mean is None:
                yield from (judging.holds(i, what, good=False, reason=reason) for i, what in _WHAT.items())
                return
            means[worker].append(mean)
    warm = means["warm"]
    yield judging.same_mean("workers.same", _WHAT["workers.same"], warm[::2], warm[1::2])
    if quick:
        for check_id in ("workers.kinds", "workers.spread"):
            yield judging.not_available(check_id, _WHAT[check_id], "left out by --quick")
        return
    yield judging.same_mean("workers.kinds", _WHAT["workers.kinds"], means["exec"], warm)
    yield judging.no_wider("workers.spread", _WHAT["workers.spread"], warm, means["exec"])


def _in_turn() -> list[WorkerKind]:
    """Mix both kinds evenly, so that neither has the machine's better minutes."""
    order: list[WorkerKind] = []
    for i in range(max(WARM, EXEC)):
        if i < WARM:
            order.append("warm")
        if i < EXEC:
            order.append("exec")
    return order


def _trial(device_kind: str, index: int, seconds: float) -> PlannedTrial:
    overrides = [
        "workload=mlp",
        "workload.mode=infer",
        f"device={device_kind}",
        f"device.index={index}",
        "device.threads=1",
        "measure=quick",
        f"measure.seconds={seconds}",
        "measure.warmup_s=0.1",
        "measure.warmup_cap_s=1",
        "measure.steady_window_s=0.05",
        "power=none",
        "run.name=qualify",
    ]
    (trial,) = make_plan(overrides).trials
    if trial.refusal is not None:
        raise UsageError(trial.refusal)
    return trial


def _mean_s(
    workers: Workers, trial: PlannedTrial, folder: Path, worker: WorkerKind
) -> tuple[float | None, str]:
    """Return the iteration time of one process, undisturbed where that is known; or why there is none."""
    spec = ReplicaSpec(trial.payload, trial.size, folder=str(folder))
    outcome = workers.run(spec, folder, worker=worker, timeout_s=_TIMEOUT_S)
    result = outcome.result or {}
    if result.get("status") != "ok":
        return None, f"a {worker} worker failed: {result.get('reason') or outcome.problem or outcome.phase}"
    values = {m["id"]: m["value"] for m in result["metrics"]}
    mean = values.get("iteration.mean.clean") or values["iteration.mean"]
    return float(mean), ""
