"""The device's state around a span and its soak: between the timing that asks and the record that keeps."""

from __future__ import annotations

import os
from collections.abc import Collection

from harness import timing
from harness.config.models import MeasureConfig
from harness.devices.base import Device
from harness.energy.sensors.nvml_conditions import GpuState, gpu_state
from harness.records.evidence import declared
from harness.records.schema import Facts
from harness.system import process

CLOCK_SHORTFALL = 0.03
"""How far a clock may stay below the one that was set: NVML tells steps of 15 MHz."""


def soak_settings(measure: MeasureConfig) -> timing.SoakSettings:
    """Return the soak's part of the configuration."""
    return timing.SoakSettings(measure.soak_window_s, measure.soak_cap_s, measure.soak_tolerance)


def soak_evidence(found: timing.Soak) -> Facts:
    """Return what a record says of a soak."""
    last = found.last
    return {
        "done": True,
        "steady": found.steady,
        "seconds": found.seconds,
        "windows": len(found.windows),
        "iteration_s": last.iteration_ns / 1e9,
        "clock_mhz": last.conditions.clock_mhz,
        "temperature_c": last.conditions.temperature_c,
        "slowdowns": list(last.conditions.slowdowns),
        "states": list(last.conditions.states),
    }


def soak_clock_hz(session: Facts) -> float | None:
    """Return the clock of the session soak's last window, None where there was no soak or no such sensor."""
    mhz = (session.get("soak") or {}).get("clock_mhz")
    return None if mhz is None else float(mhz) * 1e6


def conditions_reader(device: Device) -> timing.ReadConditions:
    """Return what reads this device's conditions; a device without such sensors tells nothing."""
    return DeviceState(device).conditions


class DeviceState:
    """Asks one device for its state around a span: conditions, the clock that was set, other processes."""

    def __init__(self, device: Device) -> None:
        uuid = device.hardware_id()
        self._gpu: GpuState | None = gpu_state(uuid) if uuid is not None else None
        self._pids: set[int] = set()

    def conditions(self) -> timing.Conditions:
        """Read the conditions; quick, so that it may stand between a span and the end of its window."""
        return timing.Conditions() if self._gpu is None else timing.Conditions(**self._gpu.conditions())

    def note_processes(self) -> None:
        """Note who has a compute context now: once before the span and once after it."""
        if self._gpu is not None:
            self._pids.update(self._gpu.compute_pids() or ())

    def cotenants(self, own: Collection[int]) -> int | None:
        """Count the noted processes that are none of the trial's.

        None where the list lacks the trial itself, as in another namespace: then it tells of nobody.
        """
        return len(self._pids.difference(own)) if self._pids.intersection(own) else None

    def evidence(
        self, found: timing.Conditions, watched: Facts, session: Facts, own: Collection[int]
    ) -> Facts:
        """Return what a record says of the device around a span.

        Args:
            found: Right after the span.
            watched: The device's own evidence, see `harness.devices.base.Watch`.
            session: What is known of the session.
            own: The trial's own processes.
        """
        wanted = None if self._gpu is None else self._gpu.requested_clock_mhz()
        return declared(
            __name__,
            conditions_evidence(found, session)
            | watched
            | {
                "clock_requested_mhz": wanted,
                "clock_below_request": clock_below_request(wanted, found.clock_mhz, watched),
                "cotenants": self.cotenants(own),
            },
        )


def own_processes(peers: timing.Peers) -> set[int]:
    """Return the process ids of all ranks and of what they started."""
    me = os.getpid()
    return {pid for pids in peers.gather([me, *process.descendants_of(me)]) for pid in pids}


def clock_below_request(wanted_mhz: float | None, clock_mhz: float | None, watched: Facts) -> bool | None:
    """Say whether the span ran below the clock that was set; None where none was set or no clock is known.

    The SMs' own clock over the span counts more than one reading of NVML after it.
    """
    own_hz = watched.get("sm_clock", {}).get("hz")
    known_mhz = clock_mhz if own_hz is None else own_hz / 1e6
    if wanted_mhz is None or known_mhz is None:
        return None
    return bool(known_mhz < (1 - CLOCK_SHORTFALL) * wanted_mhz)


def conditions_evidence(found: timing.Conditions, session: Facts) -> Facts:
    """Return a replica's conditions at the end of its span, held against the soak's last window."""
    reference = (session.get("soak") or {}).get("clock_mhz")
    known = found.clock_mhz is not None or found.temperature_c is not None
    return {
        "temperature_c": found.temperature_c,
        "clock_mhz": found.clock_mhz,
        "clock_ratio": found.clock_mhz / reference if found.clock_mhz and reference else None,
        "throttled": bool(found.slowdowns) if known else None,
        "clock_states": [*found.slowdowns, *found.states],
    }
