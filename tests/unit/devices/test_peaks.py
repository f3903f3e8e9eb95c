"""Vendor peaks: dense, sourced, and none where none is known."""

from __future__ import annotations

import pytest

from harness.devices.peaks import _SHEETS, dense_peak


@pytest.mark.parametrize(
    ("name", "precision", "tflop_s"),
    [
        ("NVIDIA A100-SXM4-80GB", "bf16", 312),
        ("NVIDIA A100-SXM4-80GB", "fp32", 19.5),
        ("NVIDIA H100 80GB HBM3", "tf32", 494.5),
        ("NVIDIA H100 PCIe", "bf16", 756.5),
        ("NVIDIA H200", "fp8", 1979),
        ("Tesla T4", "fp16", 65),
    ],
)
def test_known_peaks(name, precision, tflop_s):
    """Dense figures of public datasheets, with the datasheet named."""
    peak = dense_peak(name, precision)
    assert peak.flop_s == tflop_s * 1e12
    assert "NVIDIA" in peak.source
    assert peak.reason is None


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", "bf16"),
        ("Some GPU", "fp32"),
        ("Tesla T4", "bf16"),
        ("NVIDIA A10", "fp8"),
    ],
)
def test_unknown_peaks_have_a_reason(name, precision):
    """A slice of a device, an unknown device and a format it lacks give None with a reason."""
    peak = dense_peak(name, precision)
    assert peak.flop_s is None
    assert peak.source is None
    assert peak.reason


@pytest.mark.parametrize("sheet", _SHEETS, ids=lambda sheet: sheet.names[0])
def test_no_sheet_mixes_dense_and_sparse(sheet):
    """Half the bits double a tensor core's dense rate; a sparse figure would show twice that."""
    figures = sheet.tflop_s
    for wide, narrow in (("tf32", "bf16"), ("bf16", "fp8")):
        if wide in figures and narrow in figures:
            assert figures[narrow] / figures[wide] == pytest.approx(2, rel=0.03)
    if "bf16" in figures and "fp16" in figures:  # a TPU has no fp16
        assert figures["bf16"] == figures["fp16"]
