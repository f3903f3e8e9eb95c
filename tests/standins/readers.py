"""Every reader of a file that may come from anywhere, each as a function of bytes, for fuzzing and replaying.

A reader may refuse what it reads by a `ValueError` or an `OSError`; anything else that it raises is a fault.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from harness.advice.contract import load_contract
from harness.advice.requirements import load_requirements
from harness.bundles.archive import bundle_signature, sound_files
from harness.bundles.consistency import audit
from harness.bundles.signature import read_trusted
from harness.config.bounds import check_overrides
from harness.config.grammar import parse_overrides
from harness.config.price_files import load_prices
from harness.exporters.importers import BUILT_IN, read_file
from harness.gate.policy import read_policy
from harness.records.codec import parse, serialise
from harness.records.journal import Journal
from harness.records.loop import read_loops, write_loop
from harness.records.plan import read_plan_bytes

GOLDEN = Path(__file__).parents[1] / "golden"
_FOLDER = tempfile.TemporaryDirectory(prefix="joulemark-readers-")


def _file(read: Callable[[Path], object], name: str) -> Callable[[bytes], None]:
    path = Path(_FOLDER.name, name)

    def target(data: bytes) -> None:
        path.write_bytes(data)
        read(path)

    return target


def _record(data: bytes) -> None:
    serialise(parse(data))


def _audited(data: bytes) -> None:
    """Audit bytes as a record in its place, beside nothing."""
    place = f"demo/{'a' * 16}/{'b' * 16}/r00-a00/record.json"
    audit([(place, data)]).lines()


def _bundle(path: Path) -> None:
    bundle_signature(path)
    audit(sound_files(path)).lines()


def _overrides(data: bytes) -> None:
    words = data.decode(errors="replace").split("\n")
    check_overrides(words)
    parse_overrides(words)


def _journal(data: bytes) -> None:
    folder = Path(_FOLDER.name, "journal")
    (folder / "demo").mkdir(parents=True, exist_ok=True)
    (folder / "demo" / "x.sha256").write_bytes(data)
    Journal(folder).digests("demo")


READERS: dict[str, Callable[[bytes], None]] = {
    "record": _record,
    "audit": _audited,
    "plan": lambda data: void(read_plan_bytes(data)),
    "loop": lambda data: void(list(read_loops([("x", data)]))),
    "bundle": _file(_bundle, "demo.tar"),
    "trusted": _file(read_trusted, "allowed_signers"),
    "policy": _file(read_policy, "policy.yaml"),
    "prices": _file(lambda path: load_prices(str(path), path.parent), "prices.yaml"),
    "contract": _file(load_contract, "contract.yaml"),
    "requirements": _file(load_requirements, "requirements.yaml"),
    "overrides": _overrides,
    "journal": _journal,
    **{
        f"import-{source}": _file(lambda path, source=source: read_file(path, source), f"{source}.json")
        for source in BUILT_IN
    },
}


def void(_found: object) -> None:
    """Take what was read: that it could be read is all that is asked."""


def refuses(read: Callable[[bytes], None], data: bytes) -> bool:
    """Read, and tell whether the reader refused by the errors that it may raise."""
    try:
        read(data)
    except (ValueError, OSError):
        return True
    return False


def seeds() -> dict[str, list[bytes]]:
    """Return for each reader what it takes, to begin from."""
    folder = Path(_FOLDER.name)
    records = [path.read_bytes() for path in sorted((GOLDEN / "records").glob("*-ok.json"))]
    loop = write_loop({"duration_ns": np.arange(9), "loss": np.array([0.5, np.nan])}, folder).read_bytes()
    plan = b'{"sweep": "demo", "machine_id": "%b", "code_id": "%b", "trials": []}' % (b"a" * 16, b"b" * 16)
    empty = b'{"benchmarks": [], "machine_info": {}, "version": "5.3.1"}'
    return {
        "record": records,
        "audit": records,
        "plan": [plan],
        "loop": [loop],
        "bundle": [(GOLDEN / "bundles" / "unsealed.tar").read_bytes()],
        "trusted": [b"me ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + b"A" * 43 + b"\n"],
        "policy": [b"metrics: [{metric: iteration.mean, delta: 0.02}]\nplan: [+experiment=demo]\n"],
        "prices": [
            path.read_bytes() for path in sorted((GOLDEN.parents[1] / "conf" / "price").glob("*.yaml"))
        ],
        "contract": [
            b"title: x\nterms: [{metric: throughput.samples, threshold: 1, work: {workload: mlp}}]\n"
        ],
        "requirements": [
            b"work: {workload: gpt}\nload: as much as possible\nlimits: {latency.p99: 200 ms}\n"
        ],
        "overrides": [b"workload=gpt,bert\nseed=range(5)\n+experiment=demo\nworkload.shape={layers: 2}"],
        "journal": [b"\n" + b"a" * 64 + b"\n"],
        **{f"import-{source}": [empty, b"[]"] for source in BUILT_IN},
    }
