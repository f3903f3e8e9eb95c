"""Dense peaks of NVIDIA devices and TPUs, by their driver's name, each with the document that states it.

Datasheets headline tensor-core figures with 2:4 sparsity; here they are without it. `fp32` is the plain FP32
pipeline, as torch uses it when TF32 is off. What is not in the table is unknown: no figure is derived from a
neighbour's.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.devices.base import Peak


@dataclass(frozen=True, slots=True)
class _Sheet:
    names: tuple[str, ...]
    source: str
    tflop_s: dict[str, float]


_SHEETS = (
    _Sheet(
        ("NVIDIA B200",),
        "NVIDIA HGX B200 specifications, an eighth of the board",
        {"fp32": 75, "tf32": 1125, "fp16": 2250, "bf16": 2250, "fp8": 4500},
    ),
    _Sheet(
        ("NVIDIA H200",),
        "NVIDIA H200 Tensor Core GPU datasheet (SXM)",
        {"fp32": 67, "tf32": 494.5, "fp16": 989.5, "bf16": 989.5, "fp8": 1979},
    ),
    _Sheet(
        ("NVIDIA H200 NVL",),
        "NVIDIA H200 Tensor Core GPU datasheet (NVL)",
        {"fp32": 60, "tf32": 417.5, "fp16": 835.5, "bf16": 835.5, "fp8": 1670.5},
    ),
    _Sheet(
        ("NVIDIA H100 80GB HBM3",),
        "NVIDIA H100 Tensor Core GPU datasheet (SXM)",
        {"fp32": 67, "tf32": 494.5, "fp16": 989.5, "bf16": 989.5, "fp8": 1979},
    ),
    _Sheet(
        ("NVIDIA H100 NVL",),
        "NVIDIA H100 Tensor Core GPU datasheet (NVL)",
        {"fp32": 60, "tf32": 417.5, "fp16": 835.5, "bf16": 835.5, "fp8": 1670.5},
    ),
    _Sheet(
        ("NVIDIA H100 PCIe",),
        "NVIDIA H100 Tensor Core GPU datasheet (PCIe)",
        {"fp32": 51, "tf32": 378, "fp16": 756.5, "bf16": 756.5, "fp8": 1513},
    ),
    _Sheet(
        (
            "NVIDIA A100-SXM4-40GB",
            "NVIDIA A100-SXM4-80GB",
            "NVIDIA A100-PCIE-40GB",
            "NVIDIA A100 80GB PCIe",
        ),
        "NVIDIA A100 Tensor Core GPU datasheet",
        {"fp32": 19.5, "tf32": 156, "fp16": 312, "bf16": 312},
    ),
    _Sheet(
        ("NVIDIA A10",),
        "NVIDIA A10 Tensor Core GPU datasheet",
        {"fp32": 31.2, "tf32": 62.5, "fp16": 125, "bf16": 125},
    ),
    _Sheet(
        ("NVIDIA A30",),
        "NVIDIA A30 Tensor Core GPU datasheet",
        {"fp32": 10.3, "tf32": 82, "fp16": 165, "bf16": 165},
    ),
    _Sheet(
        ("NVIDIA A40",),
        "NVIDIA A40 datasheet",
        {"fp32": 37.4, "tf32": 74.8, "fp16": 149.7, "bf16": 149.7},
    ),
    _Sheet(
        ("NVIDIA L4",),
        "NVIDIA L4 Tensor Core GPU datasheet",
        {"fp32": 30.3, "tf32": 60, "fp16": 121, "bf16": 121, "fp8": 242.5},
    ),
    _Sheet(
        ("NVIDIA L40S",),
        "NVIDIA L40S datasheet",
        {"fp32": 91.6, "tf32": 183, "fp16": 362.05, "bf16": 362.05, "fp8": 733},
    ),
    _Sheet(("Tesla T4",), "NVIDIA T4 datasheet", {"fp32": 8.1, "fp16": 65}),
    _Sheet(
        ("Tesla V100-SXM2-16GB", "Tesla V100-SXM2-32GB"),
        "NVIDIA V100 Tensor Core GPU datasheet (SXM2)",
        {"fp32": 15.7, "fp16": 125},
    ),
    _Sheet(
        ("Tesla V100-PCIE-16GB", "Tesla V100-PCIE-32GB"),
        "NVIDIA V100 Tensor Core GPU datasheet (PCIe)",
        {"fp32": 14, "fp16": 112},
    ),
    _Sheet(("TPU v4",), "Google Cloud TPU v4 system architecture", {"bf16": 275}),
    _Sheet(("TPU v5p", "TPU v5"), "Google Cloud TPU v5p system architecture", {"bf16": 459}),
    _Sheet(("TPU v5e", "TPU v5 lite"), "Google Cloud TPU v5e system architecture", {"bf16": 197}),
    _Sheet(("TPU v6e", "TPU v6 lite"), "Google Cloud TPU v6e system architecture", {"bf16": 918}),
    _Sheet(("TPU v7", "TPU7x"), "Google Cloud TPU7x system architecture, half of a chip", {"bf16": 1153.5}),
)
_BY_NAME = {name: sheet for sheet in _SHEETS for name in sheet.names}


def dense_peak(name: str, precision: str) -> Peak:
    """Return the dense peak in FLOP/s of the device `name` (exact: a MIG slice is not its whole device)."""
    sheet = _BY_NAME.get(name)
    if sheet is None:
        return Peak(None, reason=f"no published dense peak is known for {name!r}")
    if precision not in sheet.tflop_s:
        return Peak(None, reason=f"{sheet.source} states no {precision} peak")
    return Peak(sheet.tflop_s[precision] * 1e12, source=sheet.source)
