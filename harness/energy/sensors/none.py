"""The meter of a device that nothing can measure: no sensors, and the reason why."""

from __future__ import annotations

from typing import NoReturn, Self

from harness.energy.sensors.base import PowerMeter, Scope, SensorInfo, SensorUnavailable


class NullMeter(PowerMeter):
    """Stands where a meter would; it has no reading, so nothing can be mistaken for 0 J."""

    source = "none"

    def __init__(
        self,
        device: str,
        reason: str,
        remedy: str | None = None,
        *,
        label: str | None = None,
        scope: Scope | None = None,
    ) -> None:
        """Stand for a device; `scope`, where it is known, says whether a total lacks it."""
        self.device = device
        self.label = label or device
        self.scope = scope
        self.sensors = ()
        self.reason = reason
        self.remedy = remedy

    @classmethod
    def discover(cls) -> tuple[SensorInfo, ...]:
        """Raise, as there is nothing to find."""
        raise SensorUnavailable("sensor=none measures no energy")

    @classmethod
    def open(cls, device: str) -> Self:
        """Return the meter that was asked for by name."""
        return cls(device, "sensor=none was asked for")

    def read(self, sensor: SensorInfo) -> NoReturn:
        """Raise the reason.

        Raises:
            SensorUnavailable: always.
        """
        raise SensorUnavailable(f"{sensor.id}: {self.reason}", self.remedy)
