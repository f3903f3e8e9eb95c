"""The energy of a block of code: `with harness.energy.window() as w: ...`, then `w.result`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from harness.energy.base import PowerMeter, Reading, SensorError
from harness.energy.estimate import Span
from harness.energy.none import NullMeter
from harness.energy.registry import resolve
from harness.energy.result import EnergyResult, Evidence, device_energy, total
from harness.energy.trace import Samples


class Window:
    """Meters a block of code. Nothing of it runs in Python between the block's first and last line."""

    def __init__(
        self,
        meters: Sequence[PowerMeter],
        sample_hz: float | None,
        guard_s: float,
        clock_ns: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        """Take meters that are open; they are closed with the window. `clock_ns` is the meters' own clock."""
        self._meters = tuple(meters)
        self._sample_hz = sample_hz
        self._guard_s = guard_s
        self._clock_ns = clock_ns
        self._result: EnergyResult | None = None
        self._stop_sampler: Callable[[], tuple[Samples, ...]] | None = None
        self._sampler_problem: str | None = None
        self._guard: Span | None = None

    @property
    def result(self) -> EnergyResult:
        """The energy, once the block has ended.

        Raises:
            RuntimeError: it has not.
        """
        if self._result is None:
            raise RuntimeError("the energy of a window is known after its block has ended")
        return self._result

    def __enter__(self) -> Self:
        try:
            self._begin([meter for meter in self._meters if not isinstance(meter, NullMeter)])
        except BaseException:  # an interrupt in the guard must not leave a sampler behind
            self._end()
            raise
        self._start_ns = self._clock_ns()
        return self

    def _begin(self, real: list[PowerMeter]) -> None:
        if real and self._sample_hz is not None:
            from harness.energy.sampler import Sampler  # needed only where there is a sensor

            try:
                self._stop_sampler = Sampler(real, self._sample_hz).stop
            except SensorError as error:
                self._sampler_problem = error.reason
        self._first = [_edge(meter) for meter in self._meters]
        if real and self._guard_s > 0:
            start_ns = self._clock_ns()
            time.sleep(self._guard_s)
            self._guard = (start_ns, self._clock_ns())

    def _end(self) -> tuple[Samples, ...]:
        trace = self._stop_sampler() if self._stop_sampler is not None else ()
        for meter in self._meters:
            meter.close()
        return trace

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        span = (self._start_ns, self._clock_ns())
        if self._guard is not None and error is None:
            time.sleep(self._guard_s)
        last = [_edge(meter) for meter in self._meters]
        trace = self._end()
        devices = []
        for meter, (first, problem), (final, later) in zip(self._meters, self._first, last, strict=True):
            samples = tuple(s for s in trace if s.sensor in meter.sensors)
            evidence = Evidence(meter, first, final, samples, self._sampler_problem, problem or later)
            devices.append(device_energy(evidence, span, self._guard, in_total=self._counts(meter)))
        self._result = total(tuple(devices), trace, span)

    def _counts(self, meter: PowerMeter) -> bool:
        """Say whether a meter is in the total: scopes of one kind are added, and none inside another."""
        if isinstance(meter, NullMeter):
            return True
        sensors = [m.sensors[0] for m in self._meters if m.sensors]
        own = meter.sensors[0]
        return own.scope == sensors[0].scope and own.within not in {s.device for s in sensors}


def window(
    sensor: str = "auto",
    devices: Sequence[str | int] = (),
    device_kind: str | None = None,
    *,
    sample_hz: float | None = 100.0,
    guard_s: float = 0.0,
) -> Window:
    """Meter the energy of a block of code.

    Args:
        sensor: `auto` is the device's own sensor; a name meters beside any device; `none` meters nothing.
        devices: indices, UUIDs or domains; none named is every device of the sensor.
        device_kind: what the code runs on, `cpu` or `cuda`; None tries what is there.
        sample_hz: rate of the power trace; None takes no trace.
        guard_s: seconds of idleness kept before and after the block, in which idle power is measured; the
            block's edges are then known better. 0 keeps none.

    Returns:
        A context manager; after the block `result` is an `EnergyResult`. Without a sensor its `joules` is
        None and its `reason` says why.

    Raises:
        UnknownSensor: no sensor has this name.
    """
    return Window(resolve(sensor, device_kind, devices), sample_hz, guard_s)


def _edge(meter: PowerMeter) -> tuple[Reading | None, str | None]:
    """Read a meter's counter at an edge of the window; a gauge's edges come from its samples."""
    if not meter.sensors or meter.sensors[0].kind != "counter":
        return None, None
    try:
        return meter.read(meter.sensors[0]), None
    except SensorError as error:
        return None, error.reason
