"""Files that a user is handed: policies, limits, another tool's results, signers, groups of settings."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.hostile_bench.case import RESULTS, VALUES, Case, Command, honest, put, record, rotated
from harness.exporters.importers import BUILT_IN

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
    "a number to the base 60": b"a: " + b"1:" * 400_000 + b"1",
    "a number to the base 16": b"delta: 0x" + b"f" * 900_000,
    "a date of no calendar": b"a: 9999-99-99",
    "a mapping merged into itself": b"a: &a\n  <<: *a\n",
    "a list in itself": b"metrics: &a [*a]\n",
    "a key that is a list": b"? [a]\n: 1\n",
    "most values": b"metrics: [" + b"0," * 90_000 + b"0]",
    "a key twice in JSON": b'{"metrics": [], "metrics": [{"metric": "iteration.mean"}]}',
    "empty lists": b'{"a": [' + b"[]," * 300_000 + b"[]]}",
    "an include": b"x: !include /etc/passwd\ny: ${oc.env:HOME}\n",
}
_LINKS: dict[str, Callable[[Path, Path], object]] = {
    "a pipe": lambda path, _outside: os.mkfifo(path),
    "an endless device": lambda path, _outside: path.symlink_to("/dev/zero"),
    "a folder": lambda path, _outside: path.mkdir(),
    "not there": lambda _path, _outside: None,
}
_REPORT = ("report", "demo", *RESULTS, "--format", "md", "-o", "out")
_TRACE = ("device=cpu", "serve.lengths=trace", "serve.trace=f")
READERS: dict[str, tuple[Command, ...]] = {
    "policy": (("gate", "--history", "results", "--policy", "f", "--screen-only"),),
    "floors": (("gate", "--history", "results", "--policy", "good.yaml", "--floors", "f", "--screen-only"),),
    "limits": (
        ("recommend", "demo", "--for", "f", *RESULTS),
        (*_REPORT, "--for", "f"),
    ),
    "contract": (("accept", "f"), ("accept", "f", "demo", *RESULTS)),
    "prices": (("recommend", "demo", "--for", "question.yaml", "--price", "f.yaml", *RESULTS),),
    "trace": (("plan", "workload=gpt", "workload.mode=serve", *_TRACE),),
    "data": (("plan", "workload=gpt", "device=cpu", "workload.data=f"),),
    "signers": (("verify", "b.tar", "--trusted", "f"),),
    "bundle": (("verify", "f"), ("merge", "f", "--results", "mine")),
    "group": (("plan", "workload=noop", "--config-dir", "groups", "price=f"),),
    **{f"file of {tool}": (("import", "f", "--from", tool, *RESULTS),) for tool in BUILT_IN},
}
_FOREIGN_FILES = Path(__file__).parents[2] / "tests" / "unit" / "exporters" / "foreign_files"
_SERVED = {
    "aiperf": "aiperf-0.13.0-plain.json",
    "genai-perf": "genai-perf-0.0.16-plain.json",
    "guidellm": "guidellm-0.8.1-plain.json",
    "inference-perf": "inference-perf-0.7.0-plain.json",
    "vllm-bench": "vllm-0.33.0-chat.json",
}
"""By tool, a result that it wrote."""
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
    "hydra.searchpath=[pkg://]",
    "hydra.searchpath=[pkg://..x]",
    "hydra.searchpath=[file:///etc]",
    "report.title=${oc.env:HOME,x}",
    "report.title=${oc.create:{a:1}}",
    "report.title=${oc.decode:'${oc.env:HOME}'}",
    "report.title=${env:HOME}",
    "report.title=${now:%Y}",
    "report.title=${report.title}",
    "seed=${seed}",
    "run.name=${oc.env:USER}",
    "workload.shape=${workload}",
    "workload.url=http://example.org",
    "workload.key_file=/etc/passwd",
    "serve.trace=/dev/zero",
    "run.on=slurm",
    "run.slurm.partition=--wrap=touch ran",
    "run.slurm.time=$(touch ran)",
    "run.on=ray",
    "run.ray.address=example.org:6379",
    "parallel.nodes=1000000",
    "serve.balance=x",
    "serve.loadgen=x",
    "serve.rate_per_s=1e308",
    "run.name=\uff44\uff45\uff4d\uff4f",
    "run.name=e\u0301",
    "run.name=a\u202eb",
    "run.name=" + "x" * 81,
    "report.title=\u202ea",
    "workload.name=\uff47\uff50\uff54",
    "seed=\uff11",
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
        (inside / "question.yaml").write_text("work: {workload: gpt}\n")
        (inside / "groups" / "price").mkdir(parents=True)
        write(inside / "f", folder / "outside")
        if (inside / "f").is_file() and not (inside / "f").is_symlink():
            for copy in (inside / "groups" / "price" / "f.yaml", inside / "f.yaml"):
                copy.write_bytes((inside / "f").read_bytes())

    return plant


def _not_run(folder: Path) -> Iterator[str]:
    if (folder / "in" / "ran").exists():
        yield "it ran"


def _bytes(data: bytes) -> Callable[[Path, Path], object]:
    return lambda path, _outside: path.write_bytes(data)


def cases() -> Iterator[Case]:
    """Yield every case."""
    contents = {name: _bytes(data) for name, data in _BYTES.items()} | _LINKS
    tools = [reader for reader in READERS if reader.startswith("file of ")]
    ours = itertools.product([reader for reader in READERS if reader not in tools], contents)
    # All tools' files pass one parser: each content goes to some of them.
    theirs = [(tool, name) for name, tool in rotated(list(contents), tools, 4)]
    for reader, name in (*ours, *theirs):
        yield Case(f"{reader}: {name}", _planted(contents[name]), READERS[reader], check=_not_run)
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
        commands = (*READERS[f"file of {tool}"], _REPORT)
        yield Case(f"{tool} {name}", _planted(_bytes(json.dumps(data).encode())), commands)

    for source, file in _SERVED.items():
        good = json.loads((_FOREIGN_FILES / file).read_text())
        for where, kind in rotated(_places(good), list(VALUES), 3):
            told = json.loads(json.dumps(good))
            put(told, where, VALUES[kind])
            commands = (
                *READERS[f"file of {source}"],
                _REPORT,
            )
            yield Case(f"{source} {where} {kind}", _planted(_bytes(json.dumps(told).encode())), commands)


def _places(good: Any, most: int = 10) -> list[str]:
    """Return the paths of some values, from everywhere in a document."""

    def paths(value: Any, where: str) -> Iterator[str]:
        listed = enumerate(value) if isinstance(value, list) else ()
        for key, held in value.items() if isinstance(value, dict) else listed:
            if "." not in str(key):
                yield f"{where}{key}"
                yield from paths(held, f"{where}{key}.")

    found = list(paths(good, ""))
    return found[:: max(1, len(found) // most)][:most]


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
