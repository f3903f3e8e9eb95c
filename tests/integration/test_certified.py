"""A trial under a certificate: its id, place, measured MFU and profile stand in the record."""

import json
from pathlib import Path

from harness.identity.machine import identify
from harness.records import certificates, open_store
from harness.records.schema import Certificate, MeasuredCeiling

SHORT = ("measure=quick", "measure.seconds=0.05", "measure.warmup_s=0", "measure.warmup_cap_s=0.1")


def metric(record, metric_id):
    """One metric of a record."""
    return next(m for m in record["metrics"] if m["id"] == metric_id)


def test_the_record_names_the_certificate_that_held_and_what_follows_from_it(joulemark):
    """Measured MFU is FLOP/s over the certificate's ceiling; only the first replica has passes apart."""
    identity = identify()
    made = Certificate(
        machine_id=identity.machine_id, code_id=identity.code_id,
        device_kind="cpu", device_name=None, driver=None,
        made_at="2026-01-31T12:00:00Z", wall_s=1.0, quick=False, checks=(),
        ceilings=(
            MeasuredCeiling(id="bandwidth.triad", value=1e10, unit="B/s", method="made up"),
            MeasuredCeiling(id="flops.fma.fp32", value=1e12, unit="FLOP/s", method="made up"),
        ),
    )  # fmt: skip
    certificates.write(open_store(joulemark.folder / "results"), made)
    done = joulemark(
        "run", "workload=mlp", "workload.mode=infer", "device=cpu", "power=none", *SHORT, "run.name=held",
        "measure.replicas=2", "measure.max_replicas=2", "measure.profile=true", "measure.trace=true",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second = joulemark.records("held")
    identity = certificates.certificate_id(made)
    assert first["evidence"]["certificate"]["id"] == identity
    assert first["evidence"]["roofline"]["certificate"] == identity
    rate = metric(first, "flops.rate")["value"]
    assert abs(metric(first, "mfu.measured")["value"] / (rate / 1e12) - 1) < 1e-9
    profile = first["evidence"]["profile"]
    assert any(module == "bag" for module, _share in profile["modules"])
    assert set(first["evidence"]["bottleneck"]["shares"]) >= {"compute", "memory", "launch"}
    (trace,) = Path(joulemark.folder).glob("results/held/*/*/r00-a00/profile-trace.json")
    assert json.loads(trace.read_text())["traceEvents"]
    assert "profile" not in second["evidence"]
    for record in (first, second):
        assert metric(record, "iteration.gated")["reason"] == "there is no gated pass on cpu"
    assert second["evidence"]["roofline"]["certificate"] == identity


def test_without_a_certificate_the_measured_mfu_says_why_it_is_missing(joulemark):
    """No certificate: no number, the reason, and the command that fixes it."""
    done = joulemark(
        "run", "workload=mlp", "workload.mode=infer", "device=cpu", "power=none", *SHORT, "run.name=bare"
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (record,) = joulemark.records("bare")
    missing = metric(record, "mfu.measured")
    assert missing["value"] is None
    assert "joulemark qualify" in missing["reason"]
    assert record["evidence"]["certificate"]["id"] is None
    assert "profile" not in record["evidence"]
