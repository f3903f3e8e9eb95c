"""The power samples that NVIDIA's driver keeps in a buffer of its own, with its own times.

Facts: NVIDIA's NVML reference, `nvmlDeviceGetSamples`: milliwatts with CPU times in microseconds; of which
clock is not said, nor how long each sample averages.
"""

from __future__ import annotations

import time
from itertools import pairwise
from statistics import median
from typing import Any

from harness.energy.sensors.base import Reading, SensorError

_CLOCKS = (time.CLOCK_REALTIME, time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME)
_RECENT_S = 60.0
"""The newest sample is at most so old on the clock that the driver stamps by."""
_MILLI = 1e-3


class PowerBuffer:
    """One GPU's buffer. `clock` is what its samples are stamped by, `period_s` their usual distance."""

    def __init__(self, nvml: Any, handle: Any) -> None:
        """Look into it.

        Raises:
            SensorError: there is no buffer, it is empty, or its times are of no clock of this machine.
        """
        self._nvml, self._handle = nvml, handle
        samples = self._samples(0)
        newest_ns = int(samples[-1].timeStamp) * 1000
        fitting = [c for c in _CLOCKS if abs(time.clock_gettime_ns(c) - newest_ns) < _RECENT_S * 1e9]
        if not fitting:
            raise SensorError("the buffered power samples have times of no clock of this machine")
        self.clock = fitting[0]
        steps = [int(b.timeStamp) - int(a.timeStamp) for a, b in pairwise(samples)]
        self.period_s = median(steps) * 1e-6 if steps else None

    def newest(self) -> Reading:
        """Return the newest sample, at its own time on `time.perf_counter_ns`.

        Raises:
            SensorError: the driver reports no samples.
        """
        ahead_ns = time.clock_gettime_ns(self.clock) - time.perf_counter_ns()
        sample = self._samples(0)[-1]
        at_ns = int(sample.timeStamp) * 1000 - ahead_ns
        member = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")[self._type]
        return Reading(at_ns, at_ns, power_w=float(getattr(sample.sampleValue, member)) * _MILLI)

    def _samples(self, since_us: int) -> list[Any]:
        try:
            self._type, samples = self._nvml.nvmlDeviceGetSamples(
                self._handle, self._nvml.NVML_TOTAL_POWER_SAMPLES, since_us
            )
        except self._nvml.NVMLError as error:
            raise SensorError(f"no buffered power samples: {error}") from error
        if not samples:
            raise SensorError("the driver's buffer of power samples is empty")
        return list(samples)
