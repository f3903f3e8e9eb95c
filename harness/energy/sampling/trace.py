"""What a sampler leaves: for each sensor, the times and values of every read, errors included."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct

from harness.energy.sensors.base import Reading, SensorInfo

ROW = Struct("=qqdii")
"""One read as `sampler.c` writes it: t0_ns, t1_ns, value (J or W), channel, status (0 is ok)."""
IMPLAUSIBLE = -1001
"""Status of a read that was answered with what cannot be true: a gap. No errno and no NVML error is it."""


@dataclass(frozen=True, slots=True)
class Samples:
    """The reads of one sensor in order of time; the four columns are equally long."""

    sensor: SensorInfo
    t0_ns: array[int]
    t1_ns: array[int]
    value: array[float]
    """In the sensor's unit; 0.0 where `status` is not 0, and then without meaning."""
    status: array[int]
    """0, the source's own error number, or `IMPLAUSIBLE`."""
    lost: int = 0
    """Oldest reads of this window that the ring overwrote."""

    def readings(self) -> Iterator[Reading]:
        """Yield the reads that succeeded."""
        counter = self.sensor.kind == "counter"
        for t0, t1, value, status in zip(self.t0_ns, self.t1_ns, self.value, self.status, strict=True):
            if status == 0:
                yield Reading(t0, t1, value, None) if counter else Reading(t0, t1, None, value)

    def values(self) -> list[float]:
        """Return the values that were read without an error."""
        if not any(self.status):
            return self.value.tolist()
        return [v for v, status in zip(self.value, self.status, strict=True) if status == 0]

    @property
    def failed(self) -> bool:
        """Whether a read failed; one that was answered with what cannot be true is a gap instead."""
        return not {0, IMPLAUSIBLE}.issuperset(self.status)

    @property
    def doubted(self) -> bool:
        """Whether a read was answered with what cannot be true."""
        return IMPLAUSIBLE in self.status

    def between(self, start_ns: int, end_ns: int) -> Samples:
        """Return the reads that began and ended in the closed interval."""
        pairs = enumerate(zip(self.t0_ns, self.t1_ns, strict=True))
        keep = [i for i, (begin, end) in pairs if begin >= start_ns and end <= end_ns]
        pick = slice(keep[0], keep[-1] + 1) if keep else slice(0, 0)
        return Samples(
            self.sensor, self.t0_ns[pick], self.t1_ns[pick], self.value[pick], self.status[pick], self.lost
        )


def unpack(rows: bytes, sensors: tuple[SensorInfo, ...], lost: int = 0) -> tuple[Samples, ...]:
    """Sort a sampler's rows into one `Samples` a sensor, by channel number, and mark what cannot be true."""
    columns = [(array("q"), array("q"), array("d"), array("i")) for _ in sensors]
    for t0, t1, value, channel, status in ROW.iter_unpack(rows):
        for column, item in zip(columns[channel], (t0, t1, value, status), strict=True):
            column.append(item)
    for sensor, (_, _, values, statuses) in zip(sensors, columns, strict=True):
        faults = {value: sensor.fault(value) for value in set(values)}  # gauges repeat themselves
        for i, value in enumerate(values):
            if statuses[i] == 0 and faults[value] is not None:
                statuses[i], values[i] = IMPLAUSIBLE, 0.0
    return tuple(Samples(s, *c, lost=lost) for s, c in zip(sensors, columns, strict=True))
