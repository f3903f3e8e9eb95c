"""A repository of one workload whose commits do a known amount of work."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SLOWER = 1.1
_SOURCE = '''"""A workload of its own package: `WORK` passes over a small vector."""

from dataclasses import replace

from workloads.catalogue.selftest import Spin

WORK = {work}


class Toy(Spin):
    spec = replace(Spin.spec, name="toy", sizes={{"tiny": {{"batch": 1, "width": 8192}}}})

    def n(self, key):
        return WORK if key == "work" else super().n(key)
'''
_CONF = """name: toy
mode: infer
size: tiny
batch: null
seq: null
new_tokens: null
accumulate: 1
optimizer: null
lr: null
temperature: 1.0
top_k: null
data: null
shape: {}
"""
# Where others take the processor the clean mean has no value; what they take is not in the CPU time.
_POLICY = """nights: nightly-*
delta: 0.05
metrics:
- metric: iteration.mean.clean
- metric: cpu.time
"""


@dataclass
class Toy:
    """The repository, and the `joulemark` command in it."""

    folder: Path
    commits: list[str]
    results: Path

    @classmethod
    def make(cls, where: Path, *, commits: int, planted: int | None, work: int = 500) -> Toy:
        """Make a repository of `commits`; from number `planted` on they do a tenth more."""
        folder = where / "toy"
        info = folder / "toy-1.dist-info"
        (folder / "conf" / "workload").mkdir(parents=True)
        info.mkdir()
        (folder / "conf" / "workload" / "toy.yaml").write_text(_CONF)
        (folder / "gate.yaml").write_text(_POLICY)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1\n")
        (info / "entry_points.txt").write_text("[joulemark.workloads]\ntoy = toy:Toy\n")
        made = cls(folder, [], where / "results")
        made.git("init", "-q", "-b", "main")
        for i in range(commits):
            slow = planted is not None and i >= planted
            (folder / "toy.py").write_text(_SOURCE.format(work=round(work * SLOWER) if slow else work))
            (folder / "notes.txt").write_text(f"commit {i}\n")
            made.git("add", "-A")
            made.git("commit", "-q", "-m", f"commit {i}")
            made.commits.append(made.git("rev-parse", "HEAD"))
        return made

    def git(self, *arguments: str) -> str:
        """Run git in the repository and return what it prints."""
        identity = ("-c", "user.name=Toy", "-c", "user.email=toy@example.org")
        done = subprocess.run(
            ["git", *identity, *arguments], cwd=self.folder, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    @property
    def overrides(self) -> tuple[str, ...]:
        """The configuration that is watched."""
        # On a machine whose neighbours come and go a process of 2 s is worth four of half a second.
        words = ("workload=toy", "device=cpu", "device.threads=1", "measure=demo", "power=none")
        return (*words, "measure.seconds=2")

    def joulemark(self, verb: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command in the repository, which the workers' Python finds first."""
        shared = ["--config-dir", str(self.folder / "conf")]
        if verb == "bisect":
            shared += ["--results", str(self.results)]
        path = os.pathsep.join(filter(None, [str(self.folder), os.environ.get("PYTHONPATH")]))
        return subprocess.run(
            [sys.executable, "-m", "harness.cli", verb, *arguments, *shared],
            cwd=self.folder,
            # The locks of devices stand in the temporary folder: this waits for no sweep but its own.
            env={**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1", "TMPDIR": str(self.folder.parent)},
            capture_output=True,
            text=True,
            check=False,
        )

    def night(self, name: str, commit: str) -> None:
        """Measure one night at a commit, into the results folder.

        Raises:
            RuntimeError: the run failed.
        """
        self.git("checkout", "-q", commit)
        done = self.joulemark("run", *self.overrides, f"run.name={name}", f"run.results={self.results}")
        self.git("checkout", "-q", "main")
        if done.returncode:
            raise RuntimeError(done.stderr.strip().splitlines()[-1])

    def history(self, nights: int) -> None:
        """Measure one good night, and write `nights` copies of it, a fifth faster, that scatter by 0.3 %.

        So the machine was quiet then and is not now: tonight is suspect whatever its code, and pairs decide.
        """
        self.night("model", self.commits[0])
        noise = random.Random(0)
        for i in range(nights):
            factor = 0.8 * (1 + noise.gauss(0, 0.003))
            for path in sorted((self.results / "model").glob("*/*/*/record.json")):
                record = json.loads(path.read_text())
                record["sweep"] = f"nightly-{i:03d}"
                record["started_at"] = f"2020-01-{i + 1:02d}T00:00:00.000Z"
                for metric in record["metrics"]:
                    if metric["value"] is not None:
                        metric["value"] *= factor
                target = self.results / record["sweep"] / path.relative_to(self.results / "model")
                target.parent.mkdir(parents=True)
                target.write_text(json.dumps(record))

    def bisect(self) -> subprocess.CompletedProcess[str]:
        """Search between the first commit and the last."""
        ends = (self.commits[0], self.commits[-1])
        return self.joulemark("bisect", *ends, *self.overrides, "--metric=cpu.time", "--json")

    def gate(self, *, base: str, head: str) -> subprocess.CompletedProcess[str]:
        """Judge the newest night, with pairs of two commits."""
        return self.joulemark(
            "gate",
            *("--history", str(self.results), "--policy", "gate.yaml"),
            *("--base-checkout", base, "--head-checkout", head, "--json"),
        )
