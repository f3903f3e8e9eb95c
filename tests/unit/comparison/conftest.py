"""Records of scripted processes, workers that answer from a script, and a place without real locks."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import pytest

from harness.comparison.sides import Environment, Side
from harness.execution.host_watch import HostWatch
from harness.identity.machine import Identity
from harness.isolation.protocol import Outcome
from harness.planning.plan import make_plan
from harness.records import open_store
from harness.records.metrics import make
from harness.records.schema import Record, WorkerFacts

ME = Identity({"host_processor_model_name": "Scripted"}, {"torch": "2.13.0"}, "a" * 64, "b" * 64)


def metrics(seconds: float, *, clean: float | None, items: float = 1.0) -> list[Any]:
    """Return what a process that takes `seconds` an iteration has measured."""
    reason = None if clean is not None else "3% of iterations are undisturbed; 20% needed"
    return [
        make("throughput.samples", items / seconds),
        make("iteration.mean", seconds),
        make("iteration.mean.clean", clean, reason=reason),
        make("latency.p50", seconds),
        make("memory.peak_rss", 1e8),
        make("energy.sample", None, reason="no sensor: scripted"),
    ]


@pytest.fixture(autouse=True)
def quiet_host(monkeypatch):
    """No test of comparisons looks at the real host, which may be busy."""
    monkeypatch.setattr(HostWatch, "before", lambda *_: False)


@dataclass
class ScriptedWorkers:
    """Answers with `seconds(sweep, number of the call)`; a string is a failure, None an interrupt."""

    seconds: Callable[[str, int], Any]
    clean: Callable[[str, int], bool] = lambda _sweep, _call: True
    calls: int = 0
    closed: int = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Count the closings."""
        self.closed += 1

    def run(self, spec: dict[str, Any], folder: Path, **_: Any) -> Outcome:
        """Return the scripted outcome."""
        sweep, call = folder.parts[-4], self.calls
        self.calls += 1
        value = self.seconds(sweep, call)
        if value is None:
            raise KeyboardInterrupt
        if isinstance(value, str):
            return Outcome(phase="build", exit_code=0, result={"status": "crashed", "reason": value})
        clean = value if self.clean(sweep, call) else None
        found = [asdict(m) for m in metrics(value, clean=clean)]
        return Outcome(exit_code=0, result={"status": "ok", "metrics": found})


class ScriptedEnvironment(Environment):
    """An environment whose workers are scripted."""

    __slots__ = ("scripted",)

    def __init__(self, scripted: ScriptedWorkers) -> None:
        super().__init__()
        object.__setattr__(self, "scripted", scripted)

    def workers(self) -> Any:
        """Return the script."""
        return self.scripted


@pytest.fixture(autouse=True)
def locks(tmp_path, monkeypatch):
    """Keep the device's lock away from real measurements on this machine."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture(scope="session")
def trial():
    """A planned trial."""
    (planned,) = make_plan(["workload=noop", "device=cpu", "measure=quick"]).trials
    return planned


@pytest.fixture
def store(tmp_path):
    """An empty store."""
    return open_store(tmp_path / "results")


@pytest.fixture
def side(trial):
    """Make a side of scripted workers."""

    def make_it(name: str, scripted: ScriptedWorkers) -> Side:
        return Side(name, trial, ME, ScriptedEnvironment(scripted))

    return make_it


@pytest.fixture
def scripted():
    """Make scripted workers."""
    return ScriptedWorkers


@pytest.fixture
def record():
    """Make a good record of one process."""

    def make_it(seconds: float = 1.0, *, replica: int = 0, items: float = 1.0, **changes: Any) -> Record:
        given = {
            "sweep": "s",
            "label": "noop tiny",
            "work_id": "1" * 16,
            "trial_id": "2" * 16,
            "machine_id": "a" * 64,
            "code_id": "b" * 64,
            "replica": replica,
            "attempt": 0,
            "status": "ok",
            "phase": "done",
            "started_at": f"2026-01-01T00:00:{replica:02d}.000Z",
            "config": {"measure": {"seconds": 1.0}, "power": {"sensor": "none"}},
            "machine": {"host_processor_model_name": "One", "kernel": "6.1"},
            "code": {"torch": "2.13.0", "harness_sha256": "f" * 64},
            "metrics": tuple(metrics(seconds, clean=seconds, items=items)),
            "worker": WorkerFacts(kind="warm"),
        }
        return Record(**(given | changes))

    return make_it
