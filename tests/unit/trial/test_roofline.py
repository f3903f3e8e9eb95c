"""What a trial makes of its device's certificate: a place, a ceiling, or the reason why there is none."""

import pytest

from harness.identity.machine import Identity
from harness.records import certificates, open_store
from harness.records.schema import Certificate, Check, MeasuredCeiling
from harness.trial import roofline
from workloads.base import Units

ME = Identity({}, {"accelerator_driver": "570"}, "a" * 64, "b" * 64)
HELD = {"id": "0123456789abcdef", "bandwidth_b_s": 10.0, "flop_s": {"fp32": 100.0}}
WORK = Units(1, flops=100.0, least_bytes=1.0)


def ceiling(ceiling_id, value):
    """One measured limit."""
    return MeasuredCeiling(id=ceiling_id, value=value, unit="x", method="known")


def test_a_trial_is_told_the_ceilings_and_the_failed_checks(tmp_path):
    """The certificate of this machine and device holds; another device has none, with the reason."""
    store = open_store(tmp_path)
    made = Certificate(
        machine_id=ME.machine_id, code_id=ME.code_id, device_kind="cpu", device_name=None, driver=None,
        made_at="2026-01-31T12:00:00Z", wall_s=1.0, quick=True,
        checks=(Check(id="tick", what="The tick.", status="fail"),),
        ceilings=(ceiling("bandwidth.read", 10.0), ceiling("flops.fma.fp32", 5.0),
                  ceiling("flops.x.bf16", None)),
    )  # fmt: skip
    certificates.write(store, made)
    found = certificates.certificate_facts(store, ME.machine_id, "cpu", 0, None)
    assert found == {
        "id": certificates.certificate_id(made), "made_at": made.made_at, "quick": True, "failed": ["tick"],
        "passed": 0, "not_available": 0,
        "bandwidth_b_s": 10.0, "flop_s": {"fp32": 5.0},
    }  # fmt: skip
    assert certificates.certificate_facts(store, ME.machine_id, "cuda", 0, None) == {
        "id": None,
        "reason": certificates.ABSENT,
    }


def test_work_is_placed_under_the_certificates_ceilings():
    """100 FLOPs in 2 s under 100 FLOP/s: half; the record names certificate and ceilings."""
    placed = roofline.placement(WORK, 2.0, HELD, "fp32")
    kept = roofline.roofline_evidence(placed, HELD, "fp32")
    assert (kept["share"], kept["under"]) == (0.5, "compute")
    assert (kept["certificate"], kept["flop_s"], kept["bandwidth_b_s"]) == (HELD["id"], 100.0, 10.0)
    assert roofline.ceiling(HELD, "fp32").flop_s == 100.0


@pytest.mark.parametrize(
    ("certificate", "precision", "units", "reason"),
    [
        ({}, "fp32", WORK, certificates.ABSENT),
        ({"id": None, "reason": "why"}, "fp32", WORK, "why"),
        (HELD, "bf16", WORK, "no bf16 ceiling"),
        (HELD | {"bandwidth_b_s": None}, "fp32", WORK, "no bandwidth"),
        (HELD, "fp32", Units(1), "no model FLOPs"),
    ],
)
def test_what_cannot_be_placed_says_why(certificate, precision, units, reason):
    """No certificate, no ceiling or no count: the reason stands where the place would."""
    placed = roofline.placement(units, 2.0, certificate, precision)
    assert reason in placed
    assert roofline.roofline_evidence(placed, certificate, precision) == {"reason": placed}
