"""Devices side by side: what differs between them is said."""

from harness.report.sections.systems import UNTESTED, _device_facts, device_section


def record(make_record, kind, **facts):
    """Return a record of a device."""
    evidence = {
        "device": {"kind": kind, "name": "a device", **facts},
        "clock": "device events" if kind == "cuda" else "host",
        "compiled": "compiled by XLA, 1 program" if kind == "xla" else None,
        "transformed": {"xla": {"matmul_precision": "highest"}} if kind == "xla" else {},
    }
    return make_record({"iteration.mean": 1.0}, evidence=evidence)


def test_xla_beside_cuda_says_clock_compiler_and_products(make_record):
    """Each difference stands in a column of its own."""
    assert _device_facts(record(make_record, "xla", platform="cpu")) == (
        "xla-cpu", "a device", "host, each step fenced", "XLA", "highest", "",
    )  # fmt: skip
    assert _device_facts(record(make_record, "cuda")) == (
        "cuda", "a device", "device events", "eager", "", "",
    )  # fmt: skip


def test_an_untested_device_says_so(make_record):
    """In every report that shows it."""
    assert _device_facts(record(make_record, "tpu", untested_on_hardware=True))[-1] == UNTESTED


def test_one_tested_device_needs_no_section():
    """Nothing differs."""
    assert not device_section([]).blocks
