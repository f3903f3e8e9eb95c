"""What a sensor is: its facts, its readings, and the one class that every power source implements.

`docs/method.md`, section 4. A fact that is not known is None, never 0.
"""

from __future__ import annotations

import platform
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Self

from harness.energy.sensors.plausible import energy_fault, power_fault
from harness.system.errors import JoulemarkError

__all__ = [
    "DEFAULT_GAIN_UNCERTAINTY",
    "POWERS",
    "UNITS",
    "Activity",
    "EventTimes",
    "ImplausibleReading",
    "Kind",
    "NativeRead",
    "PowerMeter",
    "Reading",
    "Scope",
    "SensorError",
    "SensorInfo",
    "SensorUnavailable",
    "Unreadable",
]

Kind = Literal["counter", "instant", "average", "buffered", "temperature", "clock", "events", "utilisation"]
"""An energy counter, a power gauge without averaging, one that averages, the driver's own samples of power;
or what state a device is in."""
POWERS = frozenset({"counter", "instant", "average", "buffered"})
"""Kinds that report power or energy; the others report states."""
UNITS: dict[str, str] = {
    "counter": "J",
    "instant": "W",
    "average": "W",
    "buffered": "W",
    "temperature": "degC",
    "clock": "MHz",
    "events": "bits",
    "utilisation": "%",
}
Scope = Literal["gpu", "module", "memory", "package", "node"]

DEFAULT_GAIN_UNCERTAINTY = 0.05
"""Relative standard uncertainty of an uncalibrated sensor's gain (docs/method.md, section 4)."""


class SensorError(JoulemarkError):
    """A sensor failed to answer: `reason` in one line, `remedy` where the user can do something about it."""

    def __init__(self, reason: str, remedy: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy


class SensorUnavailable(SensorError):  # noqa: N818 - a state of the machine, not a fault
    """There is no such sensor here, or this user may not read it."""


class ImplausibleReading(SensorError):  # noqa: N818 - a state of the sensor, not a fault of ours
    """The sensor answered with what cannot be true: a gap, not a number."""


@dataclass(frozen=True, slots=True)
class SensorInfo:
    """The facts of one sensor: one quantity of one device over one scope."""

    source: str
    """Name of the source that reads it, e.g. `nvml`."""
    device: str
    """What `PowerMeter.open` takes: a UUID, or a domain such as `intel-rapl:0`."""
    label: str
    """The device's name for people."""
    kind: Kind
    scope: Scope
    quantum: float | None = None
    """Smallest step: joules of a counter, watts of a gauge."""
    wrap_j: float | None = None
    """A counter's reading returns to 0 after this many joules; None is a counter that never wraps."""
    update_period_s: float | None = None
    averaging_window_s: float | None = None
    """Part of each update period that the sensor looks at."""
    lag_s: float | None = None
    lag_u_s: float | None = None
    """Standard uncertainty of the lag."""
    poll_disturbs: bool | None = None
    """Reading it often changes what it says; None is not probed."""
    aliases: bool | None = None
    """It looks at a part of each update period only; None is not probed."""
    read_cost_s: float | None = None
    gain_uncertainty: float | None = None
    """Relative standard uncertainty of the gain, once calibrated."""
    part: str = ""
    """Tells sensors of one kind and scope apart, e.g. `sm` of two clocks."""
    within: str | None = None
    """Device of the same source whose reading contains this one; the two are never summed."""
    rated_w: float | None = None
    """What the device can draw, by its own or its driver's word."""
    taken: str = ""
    """Where a source chooses among what a file or a service holds: column, unit, times and devices."""

    @property
    def id(self) -> str:
        """Return a name that is unique on one machine, e.g. `rapl:intel-rapl:0:package:counter`."""
        return ":".join(filter(None, (self.source, self.device, self.scope, self.kind, self.part)))

    @property
    def unit(self) -> str:
        """Return the unit of its values."""
        return UNITS[self.kind]

    def fault(self, value: float) -> str | None:
        """Return why a value, in the sensor's unit, cannot be true; states are taken as they are."""
        if self.kind == "counter":
            return energy_fault(value, self.wrap_j)
        return power_fault(value, self.scope, self.rated_w, self.quantum) if self.kind in POWERS else None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A device or domain that is there and cannot be read."""

    device: str
    label: str
    scope: Scope | None
    reason: str
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """One read, with `time.perf_counter_ns` before and after it; a counter gives energy, a gauge power."""

    t0_ns: int
    t1_ns: int
    energy_j: float | None = None
    power_w: float | None = None
    state: float | None = None
    """Of a sensor that reports a device's state, in its kind's unit."""

    @property
    def mid_ns(self) -> int:
        """Return the best guess of the moment the value was taken."""
        return (self.t0_ns + self.t1_ns) // 2


@dataclass(frozen=True, slots=True)
class NativeRead:
    """How the native sampler reads a sensor without Python; `sampler.c` says what each `op` does."""

    op: Literal[1, 2, 3, 4, 5, 6, 7]
    scale: float
    """Joules or watts of one unit of the raw value."""
    function: int = 0
    handle: int = 0
    field: int = 0
    field_scope: int = 0
    path: str = ""
    every_s: float = 0.0
    """Read about so often only, where every round of the sampler would be too much."""


@dataclass(frozen=True, slots=True)
class Activity:
    """How much of a device's parts was in use over some time, as the device counted it, in per cent."""

    percent: Mapping[str, float]
    missing: Mapping[str, str]
    """Why a part's use is not reported."""


@dataclass(frozen=True, slots=True)
class EventTimes:
    """For how long each reason has held a device's clocks down, counted by the device itself."""

    seconds: Mapping[str, float]
    missing: Mapping[str, str]
    """Why a reason's time is not reported."""

    def since(self, before: EventTimes) -> EventTimes:
        """Return the time since then; a counter that went back reports none."""
        missing = {**before.missing, **self.missing}
        seconds = {}
        for reason, now_s in self.seconds.items():
            if reason in before.seconds and now_s >= before.seconds[reason]:
                seconds[reason] = now_s - before.seconds[reason]
            elif reason not in missing:
                missing[reason] = "its counter went back"
        return EventTimes(seconds, missing)


class PowerMeter(ABC):
    """One opened device of one power source, with one or more sensors (a counter, gauges)."""

    source: ClassVar[str]
    pause_s: ClassVar[float] = 0.0
    """Least time between two reads of a sampler, for what answers slowly."""
    device: str
    sensors: tuple[SensorInfo, ...]
    """At least one; the first is the one that energy is taken from."""
    states: tuple[SensorInfo, ...] = ()
    """What else the device reports: temperature, clocks, why they are low."""
    missing: Mapping[str, str] = MappingProxyType({})
    """Why it does not have what others of its source have, by kind of sensor."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Put every source's reads behind the gate, other packages' too: none can forget it."""
        super().__init_subclass__(**options)
        if "read" in vars(cls):
            cls.read = _gated(cls.read)  # type: ignore[method-assign, assignment]

    @classmethod
    @abstractmethod
    def discover(cls) -> tuple[SensorInfo, ...]:
        """Return every sensor of every device that this source can read here, at least one.

        Raises:
            SensorUnavailable: there is none, with the reason.
        """

    @classmethod
    @abstractmethod
    def open(cls, device: str) -> Self:
        """Open one device by the name or index that people use for it.

        Raises:
            SensorUnavailable: it is not there, or may not be read.
        """

    @classmethod
    def unreadable(cls) -> tuple[Unreadable, ...]:
        """Return what `discover` leaves out although it is there; a total without it is incomplete."""
        return ()

    @classmethod
    def default_devices(cls, infos: tuple[SensorInfo, ...]) -> tuple[str, ...]:
        """Return the devices to meter when none is named: those that no other device contains."""
        return tuple(dict.fromkeys(info.device for info in infos if info.within is None))

    @abstractmethod
    def read(self, sensor: SensorInfo) -> Reading:
        """Read one of this meter's sensors or states now.

        What the gate of `plausible` refuses never leaves this method.

        Raises:
            SensorError: the sensor did not answer, or with what cannot be true (`ImplausibleReading`).
        """

    def native(self, sensor: SensorInfo) -> NativeRead | None:  # noqa: ARG002 - a hook with a default
        """Return how to read the sensor from native code; None leaves it to a sampler in its own process."""
        return None

    def locate(self) -> str:
        """Return the name by which a sampler in another process opens the same device."""
        return self.device

    def fingerprint(self) -> str:
        """Return what a probe's result depends on, e.g. the driver's version; the device is known already."""
        return platform.release()

    def event_times(self) -> EventTimes | None:
        """Return for how long each reason has held the device's clocks down; None where none are counted."""
        return None

    def count_activity(self) -> Callable[[], Activity] | None:
        """Begin to count how much of the device's parts is in use; the function that is returned ends it.

        None where nothing is counted.
        """
        return None

    def close(self) -> None:  # noqa: B027 - most meters hold nothing
        """Let go of the device."""


def _gated(read: Callable[[Any, SensorInfo], Reading]) -> Callable[[Any, SensorInfo], Reading]:
    @wraps(read)
    def checked(meter: Any, sensor: SensorInfo) -> Reading:
        reading = read(meter, sensor)
        value = reading.energy_j if sensor.kind == "counter" else reading.power_w
        problem = None if value is None else sensor.fault(value)
        if problem is not None:
            raise ImplausibleReading(f"{sensor.id}: {problem}")
        return reading

    return checked
