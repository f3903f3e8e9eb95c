"""What the harness needs of a device: open it, wait for it, read its memory, its facts and its peak."""

from __future__ import annotations

import abc
import resource
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, ClassVar

from harness.devices.timeline import Now, Timeline
from harness.system import host
from harness.system.errors import JoulemarkError
from harness.system.host_counters import HostCounters, read_counters

__all__ = [
    "Counters",
    "Device",
    "DeviceError",
    "Pass",
    "Peak",
    "Step",
    "Watch",
]

Step = Callable[[int, Callable[[str], None]], object]
"""One iteration, of its index and a function that marks moments in it."""


class DeviceError(JoulemarkError, RuntimeError):
    """A device that cannot be used. The message is one line for the user."""


@dataclass(frozen=True, slots=True)
class Counters:
    """What the operating system had counted at one moment; None is what it does not report."""

    cpu_ns: int
    """CPU time of this process, all threads."""
    involuntary_switches: int
    """Involuntary context switches of this process, all threads."""
    steal_jiffies: int | None
    """Time that the hypervisor took from this machine, all CPUs."""
    total_jiffies: int | None
    """Time of any kind, all CPUs; the unit of `steal_jiffies`."""
    host: HostCounters | None = None
    """What shows how busy the host was."""


@dataclass(frozen=True, slots=True)
class Peak:
    """A vendor's dense peak, or the reason why none is known."""

    flop_s: float | None
    source: str | None = None
    """The public document that states the figure."""
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Pass:
    """What a short pass apart from the span found: the device time of an iteration, or why there is none."""

    iteration_ns: float | None
    iterations: int = 0
    """Behind its mean."""
    reason: str | None = None
    evidence: dict[str, Any] = field(default_factory=dict)
    """How it was done and what proves it, as JSON values."""


class Watch(AbstractContextManager[None]):
    """What a device notes of itself around a measured span, `with watch:`; this one notes nothing."""

    def __enter__(self) -> None:
        """The span begins."""

    def __exit__(self, *_exception: object) -> None:
        """The span ended."""

    def evidence(self, soak_hz: float | None = None) -> dict[str, Any]:  # noqa: ARG002 - others hold against it
        """Return what a record says of it, given the clock of the session's soak. Once, after the span."""
        return {}


class Device(abc.ABC):
    """One device of one kind. Constructing it touches nothing; `open` does.

    Args:
        index: Which device of this kind, from 0.
        threads: CPU threads of torch; None is `host.usable_cores()`.
    """

    kind: ClassVar[str]
    remedy: ClassVar[str] = "install its driver and a torch build for it"
    """What makes such a device available."""
    platforms: ClassVar[tuple[str, ...]] = ()
    """Of a kind that runs on several, their names, the first one being what `on(None)` gives."""
    engine: ClassVar[str] = "torch"
    """What runs a workload's steps on it: `torch`, or `jax`."""
    forks: ClassVar[bool] = True
    """Whether a process forked from one that has imported torch can use it."""
    returns_outputs: ClassVar[bool] = False
    """Whether a step has to return its outputs, for the fence to hold and to be tested."""
    untested: ClassVar[bool] = False
    """True for what this project has never run on its hardware; lists, documents and records say so."""

    def __init__(self, index: int = 0, *, threads: int | None = None) -> None:
        self.index = index
        self.threads = threads

    @property
    @abc.abstractmethod
    def torch_device(self) -> str:
        """The name that torch knows it by, e.g. `cuda:0`."""

    @classmethod
    def on(cls, platform: str | None) -> type[Device]:
        """Return the class for one platform of this kind.

        Raises:
            ValueError: it has no such platform.
        """
        if platform is not None:
            raise ValueError(f"device {cls.kind} has no platforms, xla has (device.platform={platform})")
        return cls

    @property
    def metered_as(self) -> str:
        """The kind of device whose own power sensor meters it."""
        return self.kind

    @classmethod
    @abc.abstractmethod
    def unavailable_reason(cls, index: int = 0) -> str | None:
        """Return why device `index` cannot be used, or None. Cheap: imports no torch, opens no device."""

    @abc.abstractmethod
    def open(self) -> None:
        """Make it ready for work in this process, and set torch's threads.

        Raises:
            DeviceError: it cannot be opened.
        """

    @abc.abstractmethod
    def synchronize(self) -> None:
        """Wait until all work queued so far is done."""

    def fence_problem(self, step: Step) -> str | None:  # noqa: ARG002 - for devices whose fence must be shown
        """Run some steps, and return why `synchronize` cannot be trusted; None where it can.

        Args:
            step: One iteration, warm, that returns its outputs.
        """
        return None

    def held(self, step: Step) -> Step:
        """Return the step such that `synchronize` also waits for what it returns; here it waits anyway."""
        return step

    @abc.abstractmethod
    def reset_peak_memory(self) -> None:
        """Let the peaks of `memory` start from now, where the platform allows it."""

    @abc.abstractmethod
    def memory(self) -> dict[str, int | None]:
        """Return `peak_allocated`, `peak_reserved` and `peak_rss` in bytes; None is what it does not have."""

    @abc.abstractmethod
    def facts(self) -> dict[str, Any]:
        """Return name, threads, driver and the like, as JSON values. Call after `open`."""

    @abc.abstractmethod
    def timeline(self, capacity: int, now: Now) -> Timeline:
        """Return a recorder of up to `capacity` iterations, in this device's own time."""

    @abc.abstractmethod
    def tick_ns(self, now: Now) -> int | None:
        """Probe the step of `timeline`'s clock (docs/method.md, section 2); None if it stands still."""

    @abc.abstractmethod
    def dense_peak(self, precision: str) -> Peak:
        """Return the vendor's dense peak in FLOP/s at `fp32`, `tf32`, `bf16`, `fp16` or `fp8`."""

    def read_bandwidth_b_s(self) -> float:
        """Measure how fast this device's threads read memory that no cache holds, B/s.

        Raises:
            DeviceError: there is no routine for that here.
        """
        raise DeviceError(f"no read sweep of {self.kind} outside `joulemark qualify`")

    def hardware_id(self) -> str | None:
        """Return the identifier by which a power sensor finds the same device (NVIDIA: the UUID)."""
        return None

    def watch(self) -> Watch:
        """Return what watches this device's own clock around one span. Call before the warm-up."""
        return Watch()

    def gated(self, iterate: Callable[[], object], period_ns: float) -> Pass | None:  # noqa: ARG002
        """Time iterations that were enqueued whole before any of them ran; None where nothing can hold them.

        Args:
            iterate: Enqueues one more iteration of work that is warm.
            period_ns: What an iteration took within the span.
        """
        return None

    def cold(self, iterate: Callable[[], object], period_ns: float) -> Pass | None:  # noqa: ARG002
        """Time iterations as `gated` does, each right after a flush of the last cache; None without any.

        Args:
            iterate: Enqueues one more iteration of work that is warm.
            period_ns: What an iteration took within the span.
        """
        return None

    def counters(self) -> Counters:
        """Return what the operating system has counted so far for this process and this machine."""
        steal, total = host.read_steal()
        switches = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
        return Counters(time.process_time_ns(), switches, steal, total, read_counters())
