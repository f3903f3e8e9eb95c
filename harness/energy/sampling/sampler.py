"""Sample meters beside the work: a native thread where every sensor can be read natively, else a process.

Never a Python thread: it would contend for the interpreter with the work it measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from harness.energy.sampling.process import ProcessSampler
from harness.energy.sampling.thread import NativeSampler, NoNativeSampler
from harness.energy.sampling.trace import Samples, unpack
from harness.energy.sensors.base import PowerMeter, SensorError, SensorInfo

CAPACITY_ROWS = 1 << 18
"""8 MiB of rows, touched only as they are written: 14 minutes of three sensors at 100 Hz."""
_FIRST_READ_LIMIT_S = 20.0


class Sampler:
    """A running sampler over all sensors of some meters."""

    def __init__(
        self, meters: Sequence[PowerMeter], sample_hz: float, silent: Sequence[SensorInfo] = ()
    ) -> None:
        """Start it and wait for the first reads, so that starting costs nothing inside the measured span.

        Args:
            meters: Whose sensors are read.
            sample_hz: Rounds of reads per second.
            silent: Sensors to leave alone, since reading them often changes what they say.

        Raises:
            SensorError: the sensors could not be opened again, or did not answer.
        """
        channels = [
            (meter, sensor)
            for meter in meters
            for sensor in (*meter.sensors, *meter.states)
            if sensor not in silent
        ]
        self.kind: Literal["native", "process"]
        period_ns = round(1e9 / sample_hz)
        reads = [meter.native(sensor) for meter, sensor in channels]
        native = [read for read in reads if read is not None]
        self.why_process: str | None = (
            None if len(native) == len(reads) else "a sensor that only Python can read"
        )
        self._running: NativeSampler | ProcessSampler | None = None
        if self.why_process is None:
            try:
                self._running = NativeSampler(native, period_ns, CAPACITY_ROWS)
            except NoNativeSampler as error:
                self.why_process = str(error)
        self.kind = "native" if self._running is not None else "process"
        if self._running is None:
            # A driver's own samples come many at once, which the native sampler alone can take.
            channels = [channel for channel in channels if channel[1].kind != "buffered"]
            self._running = ProcessSampler(channels, period_ns, CAPACITY_ROWS)
        self._sensors: tuple[SensorInfo, ...] = tuple(sensor for _, sensor in channels)
        if not self._running.wait_first(_FIRST_READ_LIMIT_S):
            self.stop()
            raise SensorError(f"the sensors did not answer within {_FIRST_READ_LIMIT_S:g} s")

    def stop(self) -> tuple[Samples, ...]:
        """Stop sampling and return the samples of each sensor; a second call returns none."""
        if self._running is None:
            return ()
        running, self._running = self._running, None
        rows, lost = running.stop()
        return unpack(rows, self._sensors, lost // len(self._sensors))
