"""Records before the commands that decide by them, questions and contracts, and every other export."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.hostile_bench.case import RESULTS, VALUES, Case, Command, honest, put, record, rotated
from benchmarks.hostile_bench.records import outputs

_FIELDS = (
    "label", "reason", "log_tail", "code.git_commit", "code.packages", "code.packages.torch", "machine.cpu",
    "machine.cpu.model", "machine.accelerators", "machine.accelerators.0", "machine.accelerators.0.name",
    "machine.memory_bytes", "config.workload", "config.workload.name", "config.workload.batch",
    "config.device", "config.device.kind", "config.parallel", "config.parallel.ranks", "config.compress",
    "config.compress.name", "config.precision", "config.serve", "config.serve.balance", "config.serve.load",
    "config.loadgen", "config.loadgen.scenario", "config.price", "config.price.name",
    "config.report.question", "config.measure.seconds", "config.run.name", "metrics.0.id", "metrics.0.value",
    "metrics.0.unit", "metrics.0.reason", "metrics.0.estimator", "evidence.timing_flags", "evidence.energy",
    "evidence.energy.devices", "evidence.profile", "evidence.profile.groups", "evidence.served",
    "evidence.balance", "evidence.loadgen", "evidence.tuned", "evidence.allocation",
    "evidence.allocation.block", "evidence.allocation.node", "evidence.jax", "evidence.compiled",
    "evidence.ranks", "evidence.hosts", "evidence.output_reason", "series.iteration_s", "worker.signal",
)  # fmt: skip
_KINDS = (
    *("null", "of 400 digits", "controls", "long", "markup", "formula", "list", "mapping", "negative"),
    *("path", "command"),
)
_MORE = {"command": "::error file=a::b\n::add-mask::c"}
"""Of kinds that only CI reads: a line of a log that GitHub's runner obeys."""
_QUESTION = {"work": {"workload": "gpt"}, "objective": "throughput", "limits": {"iteration.mean": 1.0}}
_CONTRACT = {
    "title": "t",
    "terms": [{"work": {"workload": "gpt"}, "metric": "throughput.tokens", "threshold": 1.0}],
    "nonce": "a nonce of the buyer",
    "ranges": {"seed": [0, 9]},
}
_PRICE = {"name": "f", "currency": "EUR"}
PAGE = ("report", "demo", *RESULTS, "--format", "html", "-o", "out/html")
_COMMANDS: tuple[Command, ...] = (
    ("recommend", "demo", "--for", "question.yaml", "--predict", *RESULTS),
    ("explain", "demo", "other", *RESULTS),
    ("explain", "demo", "other", *RESULTS, "--json"),
    ("accept", "contract.yaml", "demo", *RESULTS),
    *(("export", "demo", *RESULTS, "--to", to, "-o", f"out/a.{to}")
      for to in ("prometheus", "openmetrics", "bencher", "github-action-benchmark", "mlperf-system")),
    (*PAGE, "--for", "question.yaml"),
)  # fmt: skip
_SAMPLE = re.compile(r'[a-zA-Z_:][a-zA-Z0-9_:]*(\{([a-zA-Z_]+="([^"\\\n]|\\[\\n"])*",?)*\})? \S+( \S+)?')
_FILES: dict[str, tuple[dict[str, Any], tuple[str, ...], tuple[Command, ...]]] = {
    "question": (
        _QUESTION,
        (
            "question", "work", "work.workload", "load", "load.tokens_per_second", "objective", "limits",
            "limits.iteration.mean", "fleet", "fleet.power", "fleet.budget", "head_room", "price", "rent",
            "more",
        ),
        (
            ("recommend", "demo", "--for", "f", *RESULTS),
            ("report", "demo", "--for", "f", *RESULTS, "--format", "md", "-o", "out/report"),
        ),
    ),
    "contract": (
        _CONTRACT,
        (
            "title", "terms", "terms.0", "terms.0.work", "terms.0.label", "terms.0.metric",
            "terms.0.threshold", "terms.0.margin", "buyer_risk", "seller_risk", "pilot", "nonce", "ranges",
            "ranges.seed", "ranges.seed.0", "more",
        ),
        (("accept", "f"), ("accept", "f", "demo", *RESULTS)),
    ),
    "prices": (
        _PRICE,
        ("name", "currency", "devices", "devices.cpu", "electricity", "regions", "rates", "more"),
        (
            ("recommend", "demo", "--for", "question.yaml", "--price", "f.yaml", *RESULTS),
            ("report", "demo", "--price", "f.yaml", *RESULTS, "--format", "md", "-o", "out/report"),
        ),
    ),
}  # fmt: skip
_AMOUNTS = {
    "many e": "e" * 900_000 + "!",
    "many digits": "9" * 900_000,
    "an unknown unit": "1 parsec",
    "no number": "e kW",
    "infinite": "1e999",
    "of full width": "\uff11\uff10 kW",
}


def cases() -> Iterator[Case]:
    """Yield every case."""
    for field, kind in rotated(_FIELDS, _KINDS, 4):
        plant = _recorded(field, (VALUES | _MORE)[kind])
        yield Case(f"record {field} {kind}", plant, _COMMANDS, check=_exported)
    for what, (good, fields, commands) in _FILES.items():
        for field, kind in rotated(fields, list(VALUES), 5):
            yield Case(f"{what} {field} {kind}", _asked(good, field, VALUES[kind]), commands, check=outputs)
    for kind, amount in _AMOUNTS.items():
        for what, field in (("contract", "terms.0.threshold"), ("question", "fleet.power")):
            good, _, commands = _FILES[what]
            yield Case(f"{what} {field} {kind}", _asked(good, field, amount), commands)


def _honest(folder: Path) -> Path:
    store = honest(folder)
    for replica in range(2):
        store.write(record(replica, sweep="other", trial_id="f" * 16))
    inside = folder / "in"
    (inside / "question.yaml").write_text(json.dumps(_QUESTION))
    (inside / "contract.yaml").write_text(json.dumps({k: _CONTRACT[k] for k in ("title", "terms")}))
    return inside


def _recorded(field: str, value: Any) -> Callable[[Path], None]:
    def plant(folder: Path) -> None:
        inside = _honest(folder)
        for path in inside.glob("results/demo/*/*/*/record.json"):
            told = json.loads(path.read_text())
            put(told, field, value)
            path.write_text(json.dumps(told))

    return plant


def _asked(good: dict[str, Any], field: str, value: Any) -> Callable[[Path], None]:
    def plant(folder: Path) -> None:
        inside = _honest(folder)
        told = json.loads(json.dumps(good))
        if field == "limits.iteration.mean":
            told["limits"] = {"iteration.mean": value}
        else:
            put(told, field, value)
        for name in ("f", "f.yaml"):
            (inside / name).write_text(json.dumps(told))

    return plant


def _exported(folder: Path) -> Iterator[str]:
    """Say what is wrong with the exports that other programs parse."""
    out = folder / "in" / "out"
    for name in ("a.prometheus", "a.openmetrics"):
        if (path := out / name).exists():
            for line in path.read_text().split("\n")[:-1]:
                if not line.startswith("#") and not _SAMPLE.fullmatch(line):
                    yield f"{name} has a line that is no sample: {line[:100]!r}"
    for name in ("a.bencher", "a.mlperf-system"):
        if (path := out / name).exists():
            json.loads(path.read_text(), parse_constant=_no_number)
    if (page := out / "html" / "report.html").exists():
        text = page.read_text()
        if "<script>alert" in text or any(c in text for c in "\x1b\x07\u202e\u2066"):
            yield "the page holds markup or controls of a record"


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")
