"""The session soak: warm each accelerator once before a sweep, and say in every record how that went."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.config import placement
from harness.execution.attempt import judge
from harness.isolation.protocol import ReplicaSpec
from harness.isolation.workers import Workers
from harness.planning.plan import PlannedTrial
from harness.records.evidence import declared
from harness.records.schema import Facts
from harness.system.locks import device_locks


@dataclass
class Session:
    """What is known of the session, by accelerator; every record gets its device's part as evidence."""

    soaks: dict[str, Facts] = field(default_factory=dict)

    def evidence(self, trial: PlannedTrial) -> Facts:
        """Return the evidence `soak` for a trial: what its device's soak found, or why there was none."""
        reason = _needless(trial)
        if reason is not None:
            return declared(__name__, {"soak": {"done": False, "reason": reason}})
        found = self.soaks.get(_device(trial), {"done": False, "reason": "no soak was run"})
        return declared(__name__, {"soak": found})

    def run(
        self,
        trials: Sequence[PlannedTrial],
        workers: Workers,
        note: Callable[[str], None],
        on_wait: Callable[[], None] = lambda: None,
    ) -> None:
        """Soak each accelerator that these trials use, in a worker, with the first of its trials.

        A soak that fails is no failure of the sweep: the evidence says that there was none, and why.
        """
        first = {_device(trial): trial for trial in reversed(trials) if _needless(trial) is None}
        for device, trial in first.items():
            note(f"warming {device} with {trial.label} until its speed is steady")
            self.soaks[device] = found = _soaked(trial, workers, note, on_wait)
            note(f"{device}: {_sentence(found)}")


def _needless(trial: PlannedTrial) -> str | None:
    if trial.config.device.hardware == "cpu":
        return "a CPU is not soaked"
    return None if trial.config.measure.soak else "measure.soak is off"


def _device(trial: PlannedTrial) -> str:
    return f"{trial.config.device.hardware}-{trial.config.device.index}"


def _soaked(
    trial: PlannedTrial, workers: Workers, note: Callable[[str], None], on_wait: Callable[[], None]
) -> Facts:
    run, cap_s = trial.config.run, trial.config.measure.soak_cap_s
    spec = ReplicaSpec(trial.payload, trial.size, task="soak")
    timeout_s = run.timeout_s + cap_s
    devices = placement.device_names(trial.config)
    with tempfile.TemporaryDirectory() as folder, device_locks(devices, on_wait, note):
        outcome = workers.run(spec, Path(folder), worker=run.worker, timeout_s=timeout_s, on_wait=on_wait)
    status, reason = judge(outcome, timeout_s)
    if status == "ok" and outcome.result is not None:
        found: Facts = outcome.result["soak"]
        return found
    return {"done": False, "reason": f"it {status}: {reason}"}


def _sentence(found: Facts) -> str:
    if not found["done"]:
        return f"no soak, {found['reason']}"
    state = "steady" if found["steady"] else "not steady"
    return f"{state} after {found['seconds']:.0f} s"
