"""`joulemark qualify`: calibrate and test the instrument on this machine, and keep the certificate."""

from __future__ import annotations

import argparse
import sys

from harness.cli.output import print_json, print_table
from harness.execution.host_watch import HostWatch
from harness.identity.machine import identify
from harness.qualify.certify import certify, target
from harness.records import certificates, open_store
from harness.records.numbers import quantity
from harness.records.schema import Certificate, Check


def main(options: argparse.Namespace) -> int:
    """Qualify, write the certificate, print it; 1 when a check failed."""
    device = target(options.device)
    store = open_store(options.results)
    store.check_writable()
    quiet = options.json
    HostWatch(_note, how_to_wait="--quiet-wait ").before(options.quiet_wait)
    made = certify(
        device,
        identify(),
        quick=options.quick,
        on_check=(lambda _check: None) if quiet else _tell,
        on_stage=(lambda _stage: None) if quiet else _Stages(),
    )
    path = certificates.write(store, made)
    identity = certificates.certificate_id(made)
    if options.json:
        print_json({"certificate": identity, "path": str(path), **made.model_dump(mode="json")})
    else:
        _show(made)
        print(f"\ncertificate {identity}: {_verdict(made)}, {made.wall_s:.0f} s\n{path}")
    return 1 if made.failed else 0


def _note(text: str) -> None:
    print(f"joulemark: {text}", file=sys.stderr, flush=True)


class _Stages:
    """Says each stage once, however often it comes."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, stage: str) -> None:
        if stage != self._last:
            print(f"  {stage} …", file=sys.stderr, flush=True)
        self._last = stage


def _tell(check: Check) -> None:
    mark = {"pass": "ok", "fail": "FAILED", "not available": "-"}[check.status]
    measured = "" if check.measured is None else quantity(check.measured, check.unit).text
    detail = "; ".join(part for part in (measured, check.expected, check.reason) if part)
    print(f"{mark:6} {check.id:18} {check.what} {detail}", flush=True)


def _show(made: Certificate) -> None:
    print()
    print_table(
        ["ceiling", "value", "per CPU-second", "threads", "how"],
        [
            [
                c.id,
                "-" if c.value is None else quantity(c.value, c.unit).text,
                None if c.per_cpu_s is None else quantity(c.per_cpu_s, c.unit).text,
                c.threads,
                c.reason or c.method,
            ]
            for c in made.ceilings
        ],
        title=f"ceilings of {made.device_name or made.device_kind}",
    )


def _verdict(made: Certificate) -> str:
    counts = {s: sum(c.status == s for c in made.checks) for s in ("pass", "fail", "not available")}
    return f"{counts['pass']} passed, {counts['fail']} failed, {counts['not available']} not available"
