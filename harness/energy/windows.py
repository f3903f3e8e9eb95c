"""The energy of a block of code: `with harness.energy.window() as w: ...`, then `w.result`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Self

from harness.energy.estimation.estimate import Span
from harness.energy.estimation.result import EnergyResult, Evidence, device_energy, total
from harness.energy.guards import AlignedGuards
from harness.energy.probing.probe import LoadOf
from harness.energy.sampling.ticks import Host
from harness.energy.sampling.trace import Samples
from harness.energy.sensors.base import PowerMeter, Reading, Scope, SensorError, SensorInfo
from harness.energy.sensors.none import NullMeter
from harness.energy.sensors.registry import resolve
from harness.energy.sparse_guards import SparseGuards

_OVERSLEEP_S = 1e-3
"""A sleep may last so much longer; what is left of a pause is spent awake."""
_PAUSE_TRIES, _PAUSE_LATE = 10, 0.005
"""How many periods a pause may last longer until it ends on time, and what part of one is still on time."""


class Window:
    """Meters a block of code. Nothing of it runs in Python between the block's first and last line."""

    def __init__(
        self,
        meters: Sequence[PowerMeter],
        sample_hz: float | None,
        guard_s: float | None,
        host: Host | None = None,
        load_of: LoadOf | None = None,
    ) -> None:
        """Take meters that are open; they are closed with the window. `host` has the meters' own clock."""
        self._load_of = load_of
        self._meters = tuple(meters)
        self._real = [meter for meter in meters if not isinstance(meter, NullMeter)]
        self._sample_hz = sample_hz
        self._guard_s = guard_s
        self._host = host or Host()
        self._result: EnergyResult | None = None
        self._stop_sampler: Callable[[], tuple[Samples, ...]] | None = None
        self._sampler_problem: str | None = None
        self._facts: dict[PowerMeter, SensorInfo] = {}
        self._guards: AlignedGuards | SparseGuards | None = None
        self._pauses: list[Span] = []
        self._strays_s: list[float] = []

    @property
    def result(self) -> EnergyResult:
        """The energy, once the block has ended.

        Raises:
            RuntimeError: it has not.
        """
        if self._result is None:
            raise RuntimeError("the energy of a window is known after its block has ended")
        return self._result

    @property
    def slowest(self) -> SensorInfo | None:
        """The metered counter that is renewed least often, once the block has begun; None is unknown."""
        known = [info for info in self._facts.values() if info.update_period_s is not None]
        return max(known, key=lambda info: info.update_period_s or 0.0, default=None)

    @property
    def guarded(self) -> bool:
        """Whether idle power is measured around the block, once it has begun."""
        return self._guards is not None

    @property
    def strays_s(self) -> tuple[float, ...]:
        """How far the end of each pause strayed from where it was meant to be."""
        return tuple(self._strays_s)

    def pause(self, share: float) -> None:
        """Stay idle within the block, until that share of the counter's update period after a tick of it.

        The idle energy of the pause is taken off. Without guards there is nothing to wait for.
        """
        if self._guards is None or self.slowest is None or self.slowest.update_period_s is None:
            return
        begin_ns = self._host.now_ns()
        anchor = self._guards.anchor()
        due_ns = anchor.at_ns + share * anchor.period_ns
        for _ in range(_PAUSE_TRIES):  # a process that is held up here comes too late, and waits once more
            while due_ns < self._host.now_ns():
                due_ns += anchor.period_ns
            self._host.sleep(max(0.0, (due_ns - self._host.now_ns()) * 1e-9 - _OVERSLEEP_S))
            while self._host.now_ns() < due_ns:
                self._host.sleep(0)
            late_ns = self._host.now_ns() - due_ns
            if late_ns < _PAUSE_LATE * anchor.period_ns:
                break
        self._strays_s.append(math.hypot(late_ns * 1e-9, anchor.u_s))
        self._pauses.append((begin_ns, self._host.now_ns()))

    def __enter__(self) -> Self:
        try:
            self._begin()
        except BaseException:  # an interrupt in the guard must not leave a sampler behind
            self._end()
            raise
        self._counting = {meter: meter.count_activity() for meter in self._real}
        self._start_ns = self._host.now_ns()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        span = (self._start_ns, self._host.now_ns())
        activity = {meter: end() for meter, end in self._counting.items() if end is not None}
        if error is not None:
            self._end()
            return
        if self._guards is not None:
            self._guards.leave(span[1])
        last = {meter: _edge(meter) for meter in self._real}
        events = {meter: meter.event_times() for meter in self._real}
        trace = self._end()
        devices, inputs = [], []
        for meter in self._meters:
            evidence = Evidence(meter)
            if meter in last:
                before, after = self._events[meter], events[meter]
                evidence = replace(
                    self._evidence(meter, last[meter], trace, span),
                    events=after.since(before) if before is not None and after is not None else None,
                    activity=activity.get(meter),
                )
            inputs.append(evidence)
            devices.append(device_energy(evidence, span, in_total=self._counts(meter)))
        work_s = sum(b - a for a, b in _without(span, self._pauses)) * 1e-9
        self._result = replace(total(tuple(devices), trace, span, work_s), inputs=tuple(inputs))

    def _begin(self) -> None:
        counters = [meter for meter in self._real if meter.sensors[0].kind == "counter"]
        guarded = self._guard_s is None or self._guard_s > 0
        self._facts = {meter: self._known(meter, probe=guarded) for meter in counters}
        if guarded and counters and all(f.update_period_s is not None for f in self._facts.values()):
            self._guards = self._make_guards()
        self._start_sampler()
        self._events = {meter: meter.event_times() for meter in self._real}
        self._first = {meter: _edge(meter) for meter in self._real}
        if self._guards is not None and (misfits := self._guards.enter()):
            for place in misfits:  # the sensor is not what it was: another driver's, or another's
                meter = counters[place]
                self._facts[meter] = self._known(meter, probe=True, anew=True)
            self._guards = AlignedGuards(*self._readers(), self._guard_s or 0.0, self._host)
            self._guards.enter()

    def _make_guards(self) -> AlignedGuards | SparseGuards:
        least_s = self._guard_s or 0.0
        if any(info.poll_disturbs for info in self._facts.values()):
            return SparseGuards(*self._readers(), least_s, self._host)
        return AlignedGuards(*self._readers(), least_s, self._host)

    def _readers(self) -> tuple[list[Callable[[], Reading]], list[SensorInfo]]:
        return [partial(meter.read, meter.sensors[0]) for meter in self._facts], list(self._facts.values())

    def _known(self, meter: PowerMeter, *, probe: bool, anew: bool = False) -> SensorInfo:
        """Return the facts of a meter's counter with what was probed of it, now or before."""
        from harness.energy.probing.cache import cached, fitted  # needed only where there is a counter

        sensor = meter.sensors[0]
        if probe:
            return fitted(meter, sensor, host=self._host, load_of=self._load_of, anew=anew)
        before = cached(meter, sensor)
        return sensor if before is None else before.applied(sensor)

    def _start_sampler(self) -> None:
        if not self._real or self._sample_hz is None:
            return
        from harness.energy.sampling.sampler import Sampler  # needed only where there is a sensor

        silent = [meter.sensors[0] for meter, info in self._facts.items() if info.poll_disturbs]
        if all(sensor in silent for meter in self._real for sensor in (*meter.sensors, *meter.states)):
            return
        try:
            self._stop_sampler = Sampler(self._real, self._sample_hz, silent).stop
        except SensorError as error:
            self._sampler_problem = error.reason

    def _evidence(
        self, meter: PowerMeter, last: tuple[Reading | None, str | None], trace: Sequence[Samples], span: Span
    ) -> Evidence:
        first, problem = self._first[meter]
        evidence = Evidence(
            meter,
            self._facts.get(meter, meter.sensors[0]),
            first,
            last[0],
            tuple(s for s in trace if s.sensor in meter.sensors),
            self._sampler_problem,
            problem or last[1],
            spans=_without(span, self._pauses),
        )
        if self._guards is None or meter not in self._facts:
            return evidence
        place = list(self._facts).index(meter)
        if isinstance(self._guards, AlignedGuards):
            before, after = self._guards.before[place], self._guards.after[place]
            return replace(evidence, before=tuple(before), after=tuple(after))
        before, after = self._guards.ticks(place)
        return replace(
            evidence,
            before=tuple(before[1:]),
            after=tuple(after[1:]),
            nearest=after[0] if after else None,
            blurs_s=self._guards.blurs_s(place),
            rests=self._guards.ends(place),
        )

    def _end(self) -> tuple[Samples, ...]:
        trace = self._stop_sampler() if self._stop_sampler is not None else ()
        for meter in self._meters:
            meter.close()
        return trace

    def _counts(self, meter: PowerMeter) -> bool:
        """Say whether a meter is in the total: scopes of one kind are added, and none inside another."""
        if isinstance(meter, NullMeter):
            return meter.scope is None or meter.scope == self._total_scope()
        own = meter.sensors[0]
        devices = {m.device for m in self._meters if m.sensors}
        return own.scope == self._total_scope() and own.within not in devices

    def _total_scope(self) -> Scope | None:
        """Return the scope of the first device, metered or missing: the total adds what is of its kind."""
        return next((scope for scope in map(_scope, self._meters) if scope is not None), None)


def window(
    sensor: str = "auto",
    devices: Sequence[str | int] = (),
    device_kind: str | None = None,
    *,
    sample_hz: float | None = 100.0,
    guard_s: float | None = None,
    load_of: LoadOf | None = None,
) -> Window:
    """Meter the energy of a block of code.

    Args:
        sensor: `auto` is the device's own sensor; a name meters beside any device; `none` meters nothing.
        devices: indices, UUIDs or domains; none named is every device of the sensor.
        device_kind: what the code runs on, `cpu` or `cuda`; None tries what is there.
        sample_hz: rate of the power trace; None takes no trace.
        guard_s: least seconds of idleness before and after the block, in which idle power is measured and the
            counter's ticks are found. None is as long as the counter needs, which a probe reports: a few
            seconds, once per device and driver. 0 keeps none: the block's edges are then known as well as
            the counter's update period allows.
        load_of: makes ready a load on a meter's device, by which the probe learns the counter's lag and if
            it samples only part of each update period, e.g. `harness.devices.load.load_of`. None loads
            nothing.

    Returns:
        A context manager; after the block `result` is an `EnergyResult`. Without a sensor its `joules` is
        None and its `reason` says why.

    Raises:
        UnknownSensor: no sensor has this name.
    """
    return Window(resolve(sensor, device_kind, devices), sample_hz, guard_s, load_of=load_of)


def _edge(meter: PowerMeter) -> tuple[Reading | None, str | None]:
    """Read a meter's counter at an edge of the window; a gauge's edges come from its samples."""
    if meter.sensors[0].kind != "counter":
        return None, None
    try:
        return meter.read(meter.sensors[0]), None
    except SensorError as error:
        return None, error.reason


def _scope(meter: PowerMeter) -> Scope | None:
    if isinstance(meter, NullMeter):
        return meter.scope
    return meter.sensors[0].scope if meter.sensors else None


def _without(span: Span, pauses: Sequence[Span]) -> tuple[Span, ...]:
    """Return the parts of a span between its pauses."""
    edges = [span[0], *(edge for pause in pauses for edge in pause), span[1]]
    return tuple((a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b > a)
