"""Certificates: immutable files that vouch for their contents, and the one that holds for a device."""

import pytest

from harness.records import certificates, open_store
from harness.records.schema import Certificate, Check, MeasuredCeiling
from harness.records.store import AttemptTakenError

MACHINE = "a" * 64


def certificate(**changes) -> Certificate:
    """A certificate of one passed and one failed check."""
    fields = {
        "machine_id": MACHINE,
        "code_id": "b" * 64,
        "device_kind": "cpu",
        "device_name": "A processor",
        "driver": None,
        "made_at": "2026-01-31T12:00:00Z",
        "wall_s": 3.0,
        "quick": False,
        "checks": (
            Check(id="tick", what="The clock's step.", status="pass", measured=41, unit="ns"),
            Check(id="lag", what="The sensor's lag.", status="fail", measured=2.0, unit="s", reason="slow"),
        ),
        "ceilings": (
            MeasuredCeiling(id="bandwidth.triad", value=10.0, unit="B/s", method="triad"),
            MeasuredCeiling(id="bandwidth.read", value=12.0, unit="B/s", method="sum"),
            MeasuredCeiling(id="flops.fma.fp32", value=5.0, unit="FLOP/s", method="fma"),
            MeasuredCeiling(id="flops.fma.fp64", value=None, unit="FLOP/s", method="none", reason="no unit"),
        ),
    }
    return Certificate(**(fields | changes))


def holding(found, **changes):
    """Ask which of some certificates holds for the CPU of the machine."""
    asked = {"machine_id": MACHINE, "device_kind": "cpu", "device_index": 0, "driver": None}
    return certificates.valid_for(found, **(asked | changes))


def test_a_certificate_comes_back_as_it_was_written_and_is_never_overwritten(tmp_path):
    """Written once, read back equal; the same one again is refused."""
    store = open_store(tmp_path)
    path = certificates.write(store, certificate())
    assert path.parent == tmp_path / "certificates" / MACHINE
    assert certificates.read(store, MACHINE) == ([certificate()], [])
    with pytest.raises(AttemptTakenError):
        certificates.write(store, certificate())


def test_a_changed_certificate_is_left_out_with_the_reason(tmp_path):
    """A figure edited by hand, a torn file and a link are reported and not used."""
    store = open_store(tmp_path)
    edited = certificates.write(store, certificate())
    edited.write_text(edited.read_text().replace("10.0", "99.0"))
    (edited.parent / "20260101T000000Z-0123456789abcdef.json").write_text("{")
    (edited.parent / "z.json").symlink_to(edited)
    found, torn = certificates.read(store)
    assert found == []
    assert len(torn) == 3
    assert any("not those it was written with" in t.reason for t in torn)


def test_certificates_are_no_sweep(tmp_path):
    """The folder beside the sweeps is not listed among them, nor can a sweep take its name."""
    store = open_store(tmp_path)
    certificates.write(store, certificate())
    assert store.sweeps() == []
    with pytest.raises(ValueError, match="not a sweep's name"):
        store.read_plan("certificates")


def test_the_newest_full_certificate_of_the_same_device_and_driver_holds():
    """Another machine, device or driver does not count; a full one goes before a later quick one."""
    old = certificate()
    new = certificate(made_at="2026-02-01T12:00:00Z")
    quick = certificate(made_at="2026-03-01T12:00:00Z", quick=True)
    cuda = certificate(made_at="2026-04-01T12:00:00Z", device_kind="cuda", driver="570")
    found = [old, new, quick, cuda]
    assert holding(found) == new
    assert holding([quick]) == quick
    assert holding(found, machine_id="c" * 64) is None
    assert holding(found, device_index=1) is None
    assert holding(found, device_kind="cuda", driver="570") == cuda
    assert holding(found, device_kind="cuda", driver="580") is None


def test_the_best_ceiling_of_a_kind_counts_and_a_missing_one_is_none():
    """Bandwidth is the better of two; a precision without a value has none."""
    assert certificate().bandwidth_b_s == 12.0
    assert certificate().flop_s("fp32") == 5.0
    assert certificate().flop_s("fp64") is None
    assert [check.id for check in certificate().failed] == ["lag"]


def test_equal_contents_have_one_identity():
    """The identity follows the contents alone."""
    assert certificates.certificate_id(certificate()) == certificates.certificate_id(certificate())
    assert certificates.certificate_id(certificate()) != certificates.certificate_id(certificate(wall_s=4.0))
