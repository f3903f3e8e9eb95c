"""Run the real command in a process of its own, in a folder of its own."""

import json
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from standins.forks import Forks

# A shell that runs the tests in its background ignores Ctrl-C, and every process beneath would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


class Command:
    """The `joulemark` command, marked so that every process it starts can be found."""

    TINY = (
        *("device=cpu", "power=none", "measure=quick", "measure.seconds=0.05", "measure.warmup_s=0"),
        *("measure.warmup_cap_s=0.05", "measure.steady_window_s=0.01", "run.remeasure=0"),
    )
    """Overrides for the shortest trial on the CPU."""

    def __init__(self, folder: Path, forks: Forks) -> None:
        self.folder, self.forks = folder, forks
        self.mark = f"JOULEMARK_TEST={uuid.uuid4().hex}"
        name, _, value = self.mark.partition("=")
        # A folder for locks of its own: a test waits for no sweep but its own.
        self.environment = {**os.environ, name: value, "COLUMNS": "200", "TMPDIR": str(folder)}

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start it in a new interpreter and return at once."""
        return subprocess.Popen(
            [sys.executable, "-m", "harness.cli", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run it to its end, with what it imports already there; its workers start as always."""
        if self.environment.get("LD_LIBRARY_PATH") == os.environ.get("LD_LIBRARY_PATH"):
            return self.forks.run(
                "harness.cli", arguments, folder=self.folder, environment=self.environment, timeout_s=200
            )
        process = self.start(*arguments)  # the loader looks at it when an interpreter starts
        out, err = process.communicate(timeout=200)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def processes(self) -> list[int]:
        """Return the processes that it started, directly or not, and that still live."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    environment = (entry / "environ").read_bytes()
                    state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                except OSError:
                    continue
                if self.mark.encode() in environment and state != "Z":
                    found.append(int(entry.name))
        return found

    def records(self, sweep: str) -> list[dict]:
        """Return the sweep's records as they stand on disk."""
        return [
            json.loads(p.read_text())
            for p in sorted((self.folder / "results" / sweep).glob("*/*/*/record.json"))
        ]


@pytest.fixture(autouse=True)
def no_workers(monkeypatch):
    """Keep it from every process beneath that a worker of pytest-xdist may run this test."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)


@pytest.fixture
def joulemark(tmp_path, forks):
    """The command, in an empty folder."""
    return Command(tmp_path, forks)
