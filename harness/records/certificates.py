"""Certificates beside the records: `certificates/<machine_id>/<time>-<id>.json`, immutable like them."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from pydantic import ValidationError

from harness.records.errors import first_fault, one_line
from harness.records.schema import Certificate, Facts
from harness.records.store import Store, UnreadableRecord, read_bounded
from harness.system.errors import InputError

FOLDER = "certificates"
MAX_BYTES = 2**20
_FILE = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{16}\.json")


def certificate_id(certificate: Certificate) -> str:
    """Return its identity: the first 16 digits of the sha256 over its contents."""
    return hashlib.sha256(_serialise(certificate)).hexdigest()[:16]


def write(store: Store, certificate: Certificate) -> Path:
    """Write a certificate, whole or not at all, and return its path.

    Raises:
        AttemptTakenError: the very same certificate is there.
        StoreError: the folder cannot be written.
        ValueError: it holds what JSON cannot.
    """
    when = re.sub(r"[-:]|\.[0-9]+", "", certificate.made_at)
    folder = store.root / FOLDER / certificate.machine_id
    path = folder / f"{when}-{certificate_id(certificate)}.json"
    if not _FILE.fullmatch(path.name):
        raise ValueError(f"a certificate's time is UTC like 2026-01-31T12:00:00Z, not {certificate.made_at}")
    store.write_once(path, _serialise(certificate))
    return path


def read(store: Store, machine_id: str | None = None) -> tuple[list[Certificate], list[UnreadableRecord]]:
    """Read the certificates of a machine, or of all, oldest first; what cannot be used is reported."""
    certificates: list[Certificate] = []
    torn: list[UnreadableRecord] = []
    root = store.root / FOLDER
    folders = [root / machine_id] if machine_id is not None else sorted(root.glob("*"))
    for path in sorted((p for folder in folders for p in folder.glob("*.json")), key=lambda p: p.name):
        try:
            certificates.append(_parse(path))
        except (OSError, ValueError) as error:
            torn.append(UnreadableRecord(path, one_line(error)))
    return certificates, torn


def valid_for(
    certificates: list[Certificate],
    *,
    machine_id: str,
    device_kind: str,
    device_index: int,
    driver: str | None,
) -> Certificate | None:
    """Return the newest certificate that holds for a device: same machine, same device, same driver.

    One made on a quiet host is preferred to any other, then a full one to a later quick one.
    """
    fitting = [
        c
        for c in certificates
        if (c.machine_id, c.device_kind, c.device_index, c.driver)
        == (machine_id, device_kind, device_index, driver)
    ]
    return max(fitting, key=lambda c: (_is_quiet(c), not c.quick, c.made_at), default=None)


def _is_quiet(certificate: Certificate) -> bool:
    return all(check.id != HOST_QUIET for check in certificate.failed)


def _parse(path: Path) -> Certificate:
    try:
        certificate = Certificate.model_validate_json(read_bounded(path, MAX_BYTES))
    except ValidationError as error:
        raise InputError(f"not a certificate: {first_fault(error)}") from error
    if path.name.removesuffix(".json")[-16:] != certificate_id(certificate):
        raise InputError("its contents are not those it was written with")
    return certificate


def _serialise(certificate: Certificate) -> bytes:
    data = json.dumps(certificate.model_dump(mode="json"), allow_nan=False, ensure_ascii=False, indent=1)
    return data.encode() + b"\n"


PRECISIONS = ("fp32", "tf32", "bf16", "fp16", "fp8", "fp64")


ABSENT = "no certificate holds for this device: joulemark qualify makes one"
HOST_QUIET = "machine.quiet"
"""The check that nobody else used the host; a certificate that fails it gives no ceilings."""
_BUSY = "the certificate was made on a busy host: joulemark qualify makes a better one"


def certificate_facts(
    store: Store, machine_id: str, device_kind: str, device_index: int, driver: str | None
) -> Facts:
    """Return what a record keeps of the certificate that holds now: id and ceilings, or the reason."""
    found, _torn = read(store, machine_id)
    certificate = valid_for(
        found, machine_id=machine_id, device_kind=device_kind, device_index=device_index, driver=driver
    )
    if certificate is None:
        return {"id": None, "reason": ABSENT}
    if not _is_quiet(certificate):
        return {"id": None, "reason": _BUSY}
    rates = {precision: certificate.flop_s(precision) for precision in PRECISIONS}
    return {
        "id": certificate_id(certificate),
        "made_at": certificate.made_at,
        "quick": certificate.quick,
        "failed": [check.id for check in certificate.failed],
        "passed": sum(check.status == "pass" for check in certificate.checks),
        "not_available": sum(check.status == "not available" for check in certificate.checks),
        "bandwidth_b_s": certificate.bandwidth_b_s,
        "flop_s": {precision: rate for precision, rate in rates.items() if rate is not None},
    }
