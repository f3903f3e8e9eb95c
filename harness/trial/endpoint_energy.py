"""The energy of an endpoint's span, where a sensor covers the machine that the server runs on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from harness import energy
from harness.config.models import Config
from harness.devices import registry as devices
from harness.records.evidence import declared
from harness.records.metrics import make
from harness.records.schema import Facts, Metric
from harness.serving.endpoint.address import Address
from harness.serving.metrics import UNTOLD, tokens_within
from harness.serving.requests import ServedRequest
from harness.trial import span_energy

_NETWORK_SENSORS = ("redfish", "ipmi", "meter")
"""Sensors that may meter another machine than this one."""


@dataclass(frozen=True, slots=True)
class Energy:
    """What was metered around the span, or why nothing was."""

    joules: float | None = None
    mean_w: float | None = None
    peak_w: float | None = None
    begin_ns: int | None = None
    """Of the sensor's own window, on the clock of the stamps."""
    end_ns: int | None = None
    reason: str | None = None


def energy_metrics(
    requests: Sequence[ServedRequest], span_ns: tuple[int, int], used: Energy
) -> Iterator[Metric]:
    """Yield energy and power of the span, each with its value or the reason why there is none."""
    if used.begin_ns is not None and used.end_ns is not None:
        span_ns = (used.begin_ns, used.end_ns)
    begin_ns, end_ns = span_ns
    done = sum(request.answered and begin_ns < request.end_ns <= end_ns for request in requests)
    unmetered = used.reason or "the sensor does not tell it"
    for metric_id, count, without in (
        ("energy.token", tokens_within(requests, span_ns), UNTOLD),
        ("energy.request", float(done), "no request ended within the span"),
    ):
        if used.joules is None or not count:
            yield make(metric_id, None, reason=unmetered if used.joules is None else without)
        else:
            yield make(metric_id, used.joules / count, n=done)
    for metric_id, watts in (("power.mean", used.mean_w), ("power.peak", used.peak_w)):
        yield make(metric_id, watts, reason=unmetered if watts is None else None)


class Metered(AbstractAsyncContextManager["Metered"]):
    """Meters from its entry to its exit, beside the event loop."""

    def __init__(self, config: Config, addresses: Sequence[Address]) -> None:
        """Take whose sensor it is, and where the servers run."""
        self._config = config
        self._reason: str | None = None
        self._result: energy.EnergyResult | None = None
        sensor = config.power.sensor.partition(":")[0]
        elsewhere = not all(address.on_this_machine for address in addresses)
        if elsewhere and sensor not in _NETWORK_SENSORS:
            self._reason = "the server runs on another machine, and power.sensor names no sensor of that one"

    async def __aenter__(self) -> Self:
        """Begin to meter."""
        if self._reason is None:
            kind = devices.get(self._config.device.kind).on(self._config.device.platform)
            device = kind(self._config.device.index, threads=1)
            # A server under load is never idle: there is nothing to guard the span with.
            power = self._config.power.model_copy(update={"guard": False})
            self._window = span_energy.window(self._config.model_copy(update={"power": power}), device)
            await asyncio.to_thread(self._window.__enter__)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End, and keep what was metered."""
        if self._reason is None:
            await asyncio.to_thread(self._window.__exit__, kind, error, traceback)
            self._result = None if error is not None else self._window.result

    def energy(self) -> Energy:
        """Return what was metered, or why nothing was."""
        found = self._result
        if found is None:
            return Energy(reason=self._reason)
        return Energy(found.joules, found.mean_w, found.peak_w, *found.span_ns, reason=found.reason)

    def evidence(self) -> Facts:
        """Return what a record keeps of it."""
        found = self._result
        if found is None:
            return {}
        facts = {
            "sensor_method": found.method,
            "sensor_flags": list(found.flags),
            "u_absolute_joules": found.u_absolute_joules,
            "energy": found.evidence(),
        }
        return declared(__name__, facts)
