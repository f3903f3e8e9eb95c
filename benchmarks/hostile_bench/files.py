"""Files that a user is handed: policies, limits, another tool's results, signers, groups of settings."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.hostile_bench.case import RESULTS, VALUES, Case, Command, honest, record

_BYTES: dict[str, bytes] = {
    "nothing": b"",
    "noughts": bytes(1000),
    "not UTF-8": b"\xff\xfe\xfa metrics: 1",
    "deep": b"[" * 100_000,
    "deep and closed": b"[" * 5000 + b"]" * 5000,
    "deep mappings": b"{" * 5000,
    "aliases": b"a: &a [x,x,x,x,x,x,x,x,x]\n"
    + b"".join(b"%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c]\n" % (c, c, *[c - 1] * 6) for c in range(98, 112)),
    "a tag that runs": b'!!python/object/apply:os.system ["touch ran"]',
    "a tag that makes": b"metrics: !!python/object/new:subprocess.Popen [[touch, ran]]",
    "a number of 100000 digits": b"1" * 100_000,
    "a number that is none": b'{"a": NaN, "b": Infinity}',
    "a long line": b"a: " + b"x" * 5_000_000,
    "many keys": b"".join(b"k%d: 1\n" % n for n in range(200_000)),
    "a key twice": b"delta: 1\ndelta: 2\nmetrics: []\n",
    "controls": b"a: \x1b]0;x\x07",
    "escapes": rb'{"a": "\u001b[2J\u202e\ud800"}',
    "a merge": b"<<: *a\n",
    "a list": b"- 1\n- 2\n",
    "a text": b"text",
    "an include": b"x: !include /etc/passwd\ny: ${oc.env:HOME}\n",
}
_LINKS: dict[str, Callable[[Path, Path], object]] = {
    "a pipe": lambda path, _outside: os.mkfifo(path),
    "an endless device": lambda path, _outside: path.symlink_to("/dev/zero"),
    "a folder": lambda path, _outside: path.mkdir(),
    "not there": lambda _path, _outside: None,
}
READERS: dict[str, tuple[Command, ...]] = {
    "policy": (("gate", "--history", "results", "--policy", "f", "--screen-only"),),
    "floors": (("gate", "--history", "results", "--policy", "good.yaml", "--floors", "f", "--screen-only"),),
    "limits": (
        ("recommend", "demo", "--for", "f", *RESULTS),
        ("report", "demo", "--for", "f", *RESULTS, "--format", "md", "-o", "out"),
    ),
    "signers": (("verify", "b.tar", "--trusted", "f"),),
    "bundle": (("verify", "f"), ("merge", "f", "--results", "mine")),
    "group": (("plan", "workload=noop", "--config-dir", "groups", "price=f"),),
    **{
        f"file of {tool}": (("import", "f", "--from", tool, *RESULTS),)
        for tool in ("pytest-benchmark", "optimum-benchmark", "superbench", "mlperf")
    },
}
_POLICY_FIELDS = (
    "nights",
    "delta",
    "floor",
    "accept",
    "plan",
    "metrics",
    "metrics.0.metric",
    "metrics.0.trials",
    "metrics.0.direction",
    "metrics.0.delta",
    "metrics.0.required",
    "unknown",
)
_OVERRIDES = (
    "workload.data=/etc/passwd",
    "workload.data=~root",
    "workload.name=../../x",
    "run.name=../x",
    "run.name=index",
    "run.results=/proc/1/x",
    "seed=range(10**9)",
    "seed=glob(*)",
    "+hydra.run.dir=/x",
    "hydra.searchpath=[/etc]",
    "hydra.searchpath=[pkg://os]",
    "hydra/launcher=joblib",
    "--multirun",
    "-cd=/etc",
    "workload.factory=os:system",
    "workload=user",
    "workload.program=/etc/passwd",
    "workload.folder=/",
    "power.devices=[command:touch]",
    "device.kind=cuda:0;x",
    "workload.data=${oc.env:HOME}",
    "workload.data=${hydra:runtime.cwd}",
    "workload=${x}",
    "~workload",
    "~run.name",
    "seed=1e400",
    "seed=nan",
    "seed=" + "9" * 5000,
    "workload.shape.layers=-1",
    "workload.shape.__class__=1",
    "report.title=\x1b[2J",
    "report.title=" + "x" * 9000,
    "measure.seconds=inf",
    "measure.replicas=1000000000",
    "parallel.ranks=100000",
    "run.machine_name=<b>",
    "price.name=/etc/passwd",
    "a" * 9000,
    "=",
    "==",
    "[",
    "{",
    "'",
    '"',
    "\\",
    "a=b=c",
    "seed=[[[[",
    "workload=[gpt,gpt]",
    "seed=shuffle(x)",
)


def _planted(write: Callable[[Path, Path], object]) -> Callable[[Path], None]:
    """Return what puts a file `f` beside an honest history, policy, bundle and group."""

    def plant(folder: Path) -> None:
        inside = folder / "in"
        store = honest(folder)
        for night in range(3):
            name = f"nightly-{night}"
            store.write(
                record(0, sweep=name, code_id=f"{night:064x}", started_at=f"2026-01-0{night + 1}T00:00:00Z")
            )
        (inside / "good.yaml").write_text("metrics:\n  - {metric: iteration.mean}\n")
        (inside / "b.tar").write_bytes(b"")
        (inside / "groups" / "price").mkdir(parents=True)
        write(inside / "f", folder / "outside")
        if (inside / "f").is_file() and not (inside / "f").is_symlink():
            (inside / "groups" / "price" / "f.yaml").write_bytes((inside / "f").read_bytes())

    return plant


def _not_run(folder: Path) -> Iterator[str]:
    if (folder / "in" / "ran").exists():
        yield "it ran"


def _bytes(data: bytes) -> Callable[[Path, Path], object]:
    return lambda path, _outside: path.write_bytes(data)


def cases() -> Iterator[Case]:
    """Yield every case."""
    contents = {name: _bytes(data) for name, data in _BYTES.items()} | _LINKS
    for (reader, commands), (name, write) in itertools.product(READERS.items(), contents.items()):
        yield Case(f"{reader}: {name}", _planted(write), commands, check=_not_run)
    for field, (name, value) in itertools.product(_POLICY_FIELDS, VALUES.items()):
        yield Case(f"policy {field} {name}", _planted(_policy(field, value)), READERS["policy"])
    for words in _OVERRIDES:
        yield Case(
            f"override {words[:40]!r}",
            _planted(_bytes(b"x")),
            (("plan", "workload=noop", "device=cpu", words),),
        )
    for (name, data), tool in itertools.product(
        _foreign(), ("pytest-benchmark", "optimum-benchmark", "mlperf")
    ):
        commands = (*READERS[f"file of {tool}"], ("report", "demo", *RESULTS, "--format", "md", "-o", "out"))
        yield Case(f"{tool} {name}", _planted(_bytes(json.dumps(data).encode())), commands)


def _policy(field: str, value: Any) -> Callable[[Path, Path], object]:
    def write(path: Path, _outside: Path) -> None:
        told: dict[str, Any] = {"metrics": [{"metric": "iteration.mean"}]}
        *parents, last = field.split(".")
        place: Any = told
        for part in parents:
            place = place[int(part)] if isinstance(place, list) else place[part]
        place[last] = value
        path.write_text(json.dumps(told))

    return write


def _foreign() -> Iterator[tuple[str, Any]]:
    """Yield results of other tools with a wrong value in each of their places."""
    good = {"machine_info": {"node": "n"}, "benchmarks": [{"name": "b", "stats": {"mean": 1.0, "rounds": 3}}]}
    for where, (name, value) in itertools.product(
        ("machine_info", "benchmarks", "name", "stats", "mean"), VALUES.items()
    ):
        told = json.loads(json.dumps(good))
        if where in told:
            told[where] = value
        elif where in told["benchmarks"][0]:
            told["benchmarks"][0][where] = value
        else:
            told["benchmarks"][0]["stats"][where] = value
        yield f"{where} {name}", told
