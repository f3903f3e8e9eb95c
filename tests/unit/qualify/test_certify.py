"""The qualification as a whole: what a certificate holds, and how it is refused."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from harness.identity.machine import Identity
from harness.qualify import certify, judging
from harness.records import certificates, open_store
from harness.records.certificates import certificate_id
from harness.shim.ceiling import Ceilings, rate
from harness.shim.errors import ShimError
from harness.system.contention import Contention

ME = Identity({}, {"accelerator_driver": "570"}, "a" * 64, "b" * 64)


@pytest.fixture
def parts(monkeypatch):
    """Replace what takes time by parts whose answers are known."""

    def one(check_id):
        return lambda *_, **__: iter([judging.holds(check_id, "what", good=True, reason="")])

    found = Ceilings("cpu", (rate("bandwidth.triad", "B/s", 10.0, [10**9], "known"),), {"cpu": "A processor"})
    parts = SimpleNamespace(ceilings=lambda *_, **__: found)
    monkeypatch.setattr(certify.workers, "checks", one("workers.same"))
    monkeypatch.setattr(certify.cpu, "checks", one("timer.tick"))
    monkeypatch.setattr(certify.sensors, "checks", one("energy.poll"))
    monkeypatch.setattr(certify.shim, "ceilings", lambda *_, **__: parts.ceilings())
    monkeypatch.setattr(certify, "device_lock", lambda *_: nullcontext())
    monkeypatch.setattr(certify, "read_steal", lambda: (None, None))
    parts.others = 0.0
    monkeypatch.setattr(
        certify, "between", lambda *_: Contention(10**9, 0, 0, 0, round(parts.others * 1e9), 2)
    )
    return parts


def test_a_certificate_holds_every_check_and_ceiling_in_order(parts):
    """All parts are in it, reported one by one, and the steal that nobody reports is said to be unknown."""
    reported = []
    made = certify.certify(certify.Target("cpu"), ME, on_check=reported.append)
    ids = ["workers.same", "timer.tick", "ceilings.results", "energy.poll", "machine.steal", "machine.quiet"]
    assert [c.id for c in made.checks] == ids == [c.id for c in reported]
    assert made.checks[-2].status == "not available"
    assert made.bandwidth_b_s == 10.0
    assert (made.machine_id, made.device_name, made.driver) == (ME.machine_id, "A processor", None)
    assert len(certificate_id(made)) == 16


def test_a_wrong_result_fails_its_check_and_gives_no_ceilings(parts):
    """A routine that computes something wrong leaves a failed check and no figures."""

    def wrong(*_, **__):
        raise ShimError("triad: the result is 3 and must be 7")

    parts.ceilings = wrong
    made = certify.certify(certify.Target("cpu"), ME)
    assert [c.id for c in made.failed] == ["ceilings.results"]
    assert made.failed[0].reason == "triad: the result is 3 and must be 7"
    assert made.ceilings == ()
    assert made.bandwidth_b_s is None


def test_a_certificate_made_on_a_busy_host_fails_by_name_and_gives_no_ceilings(parts, tmp_path):
    """Others used half a CPU of two: the check says so, and no MFU rests on it; a quiet one is preferred."""
    store, parts.others = open_store(tmp_path), 0.5
    made = certify.certify(certify.Target("cpu"), ME)
    (failed,) = made.failed
    assert (failed.id, failed.measured) == ("machine.quiet", 0.5)
    certificates.write(store, made)
    facts = certificates.certificate_facts(store, ME.machine_id, "cpu", 0, None)
    assert facts["id"] is None
    assert "busy host" in facts["reason"]

    parts.others = 0.05
    quiet = certify.certify(certify.Target("cpu"), ME, quick=True)
    certificates.write(store, quiet)
    assert certificates.certificate_facts(store, ME.machine_id, "cpu", 0, None)["id"] == certificate_id(quiet)


@pytest.mark.parametrize(("product", "status"), [(27e9, "fail"), (150e9, "pass")])
def test_ceilings_that_share_units_are_held_against_each_other(parts, product, status):
    """A matrix product at 27 GFLOP/s beside 236 of multiply-adds is no ceiling of an idle machine."""
    entries = (
        rate("flops.matmul.fp32", "FLOP/s", product, [10**9], "known"),
        rate("flops.fma.fp32", "FLOP/s", 236e9, [10**9], "known"),
    )
    parts.ceilings = lambda: Ceilings("cpu", entries, {})
    made = certify.certify(certify.Target("cpu"), ME)
    assert {c.id: c.status for c in made.checks}["ceilings.consistent"] == status


def test_a_cuda_device_is_opened_once_and_its_driver_is_in_the_certificate(parts, monkeypatch):
    """Checks on one opened shim, the sensor found by its UUID, the driver in the certificate."""
    opened, asked = [], []

    def shim_of(index):
        opened.append(index)
        return nullcontext(SimpleNamespace(arithmetic=lambda _kind: None))

    def sensor_checks(kind, hardware_id, _load, *, quick):
        asked.append((kind, hardware_id, quick))
        return iter([])

    device_checks = [judging.holds("launch.host", "what", good=True, reason="")]
    monkeypatch.setattr("harness.shim.cuda.CudaShim", shim_of)
    monkeypatch.setattr("harness.qualify.cuda.checks", lambda _shim, *, quick: iter(device_checks))
    monkeypatch.setattr(certify.sensors, "checks", sensor_checks)
    monkeypatch.setattr(certify, "_hardware_id", lambda device: f"GPU-{device.index}")
    made = certify.certify(certify.Target("cuda", 1), ME, quick=True)
    assert (opened, asked) == ([1], [("cuda", "GPU-1", True)])
    ids = ["workers.same", "launch.host", "ceilings.results", "machine.steal", "machine.quiet"]
    assert [c.id for c in made.checks] == ids
    assert (made.device_kind, made.device_index, made.driver) == ("cuda", 1, "570")


@pytest.mark.parametrize(
    ("name", "said"), [("cpu:1", "the CPU is one device"), ("cuda:x", "a number"), ("tpu", "tpu")]
)
def test_a_device_that_cannot_be_qualified_is_refused_in_one_line(name, said):
    """Bad names and missing devices are errors before anything runs."""
    with pytest.raises((ValueError, KeyError), match=said):
        certify.target(name)
