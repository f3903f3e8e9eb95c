"""What a trial learns of the certificate that holds for its device, and what it makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from harness.devices.base import Peak
from harness.records.certificates import ABSENT
from harness.records.schema import Facts
from harness.stats.roofline import Placement, place
from workloads.base import Units


def ceiling(certificate: Mapping[str, Any], precision: str) -> Peak:
    """Return the measured arithmetic ceiling at a precision, or why there is none."""
    if certificate.get("id") is None:
        return Peak(None, reason=certificate.get("reason", ABSENT))
    rate = certificate["flop_s"].get(precision)
    if rate is None:
        return Peak(None, reason=f"the certificate has no {precision} ceiling")
    return Peak(rate, source=f"certificate {certificate['id']}")


def placement(
    units: Units, seconds: float, certificate: Mapping[str, Any], precision: str
) -> Placement | str:
    """Place work under the certificate's ceilings, or return why it has no place."""
    peak = ceiling(certificate, precision)
    if peak.flop_s is None:
        return peak.reason or ABSENT
    bandwidth = certificate["bandwidth_b_s"]
    if bandwidth is None:
        return "the certificate has no bandwidth ceiling"
    if not units.flops or not units.least_bytes:
        return "the workload counts no model FLOPs or no bytes"
    return place(
        flops=units.flops,
        least_bytes=units.least_bytes,
        seconds=seconds,
        flop_s=peak.flop_s,
        bandwidth_b_s=bandwidth,
    )


def roofline_evidence(found: Placement | str, certificate: Mapping[str, Any], precision: str) -> Facts:
    """Return what a record keeps of the placement: the place and the ceilings, or the reason."""
    if isinstance(found, str):
        return {"reason": found}
    return asdict(found) | {
        "certificate": certificate["id"],
        "flop_s": certificate["flop_s"][precision],
        "bandwidth_b_s": certificate["bandwidth_b_s"],
    }
