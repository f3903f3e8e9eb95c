"""How busy an NVIDIA GPU's parts were between two moments, by its performance counters (GPM, Hopper on).

Facts: NVIDIA's NVML reference, "GPM functions": two samples are taken, and metrics are computed between them.
Nothing is switched on for it; a driver that keeps the counters from this user says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from harness.energy.sensors.base import Activity

METRICS = {
    "graphics": "NVML_GPM_METRIC_GRAPHICS_UTIL",
    "sm": "NVML_GPM_METRIC_SM_UTIL",
    "occupancy": "NVML_GPM_METRIC_SM_OCCUPANCY",
    "tensor": "NVML_GPM_METRIC_ANY_TENSOR_UTIL",
    "dram": "NVML_GPM_METRIC_DRAM_BW_UTIL",
    "fp64": "NVML_GPM_METRIC_FP64_UTIL",
    "fp32": "NVML_GPM_METRIC_FP32_UTIL",
    "fp16": "NVML_GPM_METRIC_FP16_UTIL",
}
"""All in per cent: of time, of the warps that fit, of the memory's bandwidth."""


def begin(nvml: Any, handle: Any) -> Callable[[], Activity]:
    """Take the first sample, and return what takes the second one and computes the metrics between them."""
    samples: list[Any] = []
    try:
        if not nvml.nvmlGpmQueryDeviceSupport(handle).isSupportedDevice:
            return _telling("this GPU has no GPM")
        samples += [nvml.nvmlGpmSampleAlloc(), nvml.nvmlGpmSampleAlloc()]
        nvml.nvmlGpmSampleGet(handle, samples[0])
    except nvml.NVMLError as error:
        _free(nvml, samples)
        return _telling(str(error))

    def end() -> Activity:
        try:
            nvml.nvmlGpmSampleGet(handle, samples[1])
            return _metrics(nvml, *samples)
        except nvml.NVMLError as error:
            return _none(str(error))
        finally:
            _free(nvml, samples)

    return end


def _telling(reason: str) -> Callable[[], Activity]:
    return lambda: _none(reason)


def _none(reason: str) -> Activity:
    return Activity({}, {"gpm": reason})


def _free(nvml: Any, samples: list[Any]) -> None:
    while samples:
        nvml.nvmlGpmSampleFree(samples.pop())


def _metrics(nvml: Any, first: Any, last: Any) -> Activity:
    asked = nvml.c_nvmlGpmMetricsGet_t()
    asked.version, asked.numMetrics = nvml.NVML_GPM_METRICS_GET_VERSION, len(METRICS)
    asked.sample1, asked.sample2 = first, last
    for place, name in enumerate(METRICS.values()):
        asked.metrics[place].metricId = getattr(nvml, name)
    nvml.nvmlGpmMetricsGet(asked)
    percent: dict[str, float] = {}
    missing: dict[str, str] = {}
    for name, metric in zip(METRICS, asked.metrics, strict=False):
        if metric.nvmlReturn != nvml.NVML_SUCCESS:
            missing[name] = str(nvml.NVMLError(metric.nvmlReturn))
        elif not math.isfinite(metric.value):
            missing[name] = "the device gave no number"
        else:
            percent[name] = float(metric.value)
    return Activity(percent, missing)
