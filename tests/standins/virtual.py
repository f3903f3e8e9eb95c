"""A power sensor in virtual time: any waveform, its exact integral, and a counter and gauge that look at it.

Time passes by sleeping and by reading alone, so thousands of windows take seconds, and truth is exact.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections.abc import Sequence

from harness.energy.sampling.ticks import Host
from harness.energy.sensors.base import NativeRead, PowerMeter, Reading, SensorInfo

S = 10**9


class Waveform:
    """Power over time as straight pieces; before the first and after the last one it stays as it is."""

    def __init__(self, watts: float) -> None:
        self._start, self._joules, self._w0, self._w1 = [0.0], [0.0], [watts], [watts]

    def to(self, seconds: float, w0: float, w1: float | None = None) -> None:
        """Draw `w0` (falling or rising to `w1`) from the time `seconds` on; what was drawn later goes."""
        if seconds <= self._start[0]:
            self.__init__(w0)
            return
        while self._start[-1] >= seconds:
            for column in (self._start, self._joules, self._w0, self._w1):
                column.pop()
        self._start.append(seconds)
        self._joules.append(self.joules(math.nextafter(seconds, 0.0)))
        self._w0.append(w0)
        self._w1.append(w0 if w1 is None else w1)

    def joules(self, t: float) -> float:
        """Return the integral from 0 to `t`; a ramp reaches its end where the next piece begins."""
        i = max(0, bisect_right(self._start, t) - 1)
        x = t - self._start[i]
        end = self._start[i + 1] if i + 1 < len(self._start) else math.inf
        slope = 0.0 if math.isinf(end) else (self._w1[i] - self._w0[i]) / (end - self._start[i])
        return self._joules[i] + x * self._w0[i] + slope * x * x / 2


class VirtualMeter(PowerMeter):
    """A counter that ticks: with lag, quantum, duty cycle, slow reads, and a price for each read."""

    source = "virtual"

    def __init__(
        self,
        wave: Waveform,
        *,
        period: float = 0.1,
        lag: float = 0.0,
        quantum: float = 0.001,
        window: float | None = None,
        phase: float = 0.0,
        gain: float = 1.0,
        read_s: float = 20e-6,
        late_s: float = 0.0,
        disturb_j: float = 0.0,
        wrap_j: float | None = None,
        seed: int = 0,
    ) -> None:
        self.wave, self.now = wave, 0.0
        self._period, self._lag, self._quantum, self._window = period, lag, quantum, window
        self._phase, self._gain, self._read_s, self._late_s = phase, gain, read_s, late_s
        self._disturb_j, self._read_count, self._wrap_j = disturb_j, 0, wrap_j
        self._random = random.Random(seed)
        self.device = "0"
        self.sensors = (
            SensorInfo(
                "virtual",
                "0",
                "Virtual",
                "counter",
                "gpu",
                quantum=0.001,
                wrap_j=wrap_j,
                gain_uncertainty=0.0,
                rated_w=None if wrap_j is None else 300.0,
            ),
        )
        self._tick, self._disturbed_j = 0, 0.0
        self._looked, self._looked_j = None, 0.0
        self.lag_known = False
        """For a test that says what was probed."""
        self.host = Host(self.now_ns, self.sleep)

    @classmethod
    def discover(cls) -> tuple[SensorInfo, ...]:
        """There is no telling without a waveform."""
        raise NotImplementedError

    @classmethod
    def open(cls, device: str) -> VirtualMeter:
        """There is no opening without a waveform."""
        raise NotImplementedError

    def native(self, sensor: SensorInfo) -> NativeRead | None:
        """There is nothing to read natively."""
        return None

    def now_ns(self) -> int:
        """Return the virtual time."""
        return round(self.now * S)

    def sleep(self, seconds: float) -> None:
        """Let time pass, a little longer than asked for, as sleeps do."""
        self.now += seconds + self._random.expovariate(1 / 60e-6) + self._random.uniform(0, self._late_s)

    def read(self, sensor: SensorInfo) -> Reading:
        """Read the counter; the value is taken somewhere within the read."""
        t0 = self.now
        self.now += self._read_s
        self._read_count += 1
        taken = t0 + self._read_s * self._random.random()
        joules = (1000.0 + self._counted(taken)) * self._gain
        tick = math.floor((taken - self._lag - self._phase) / self._period)
        if tick != self._tick:  # what reading costs shows at the next tick, like all else
            self._tick, self._disturbed_j = tick, self._disturb_j * self._read_count
        joules += self._disturbed_j
        joules = math.floor(joules / self._quantum + 1e-9) * self._quantum
        if self._wrap_j is not None:
            joules %= self._wrap_j
        return Reading(round(t0 * S), self.now_ns(), energy_j=joules)

    def _counted(self, t: float) -> float:
        tick = math.floor((t - self._lag - self._phase) / self._period)
        if self._window is None:
            return self.wave.joules(tick * self._period + self._phase)
        if self._looked is None:
            self._looked = tick
        for n in range(self._looked + 1, tick + 1):
            end = n * self._period + self._phase
            seen = self.wave.joules(end) - self.wave.joules(end - self._window)
            self._looked_j += seen / self._window * self._period
        self._looked = max(self._looked, tick)
        return self._looked_j

    def truth(self, spans: Sequence[tuple[int, int]]) -> float:
        """Return the exact energy of spans in ns."""
        return sum(self.wave.joules(b / S) - self.wave.joules(a / S) for a, b in spans)
