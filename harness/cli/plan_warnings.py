"""What a plan's trials will lack on this machine: a power sensor, or memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.energy.sensors.none import NullMeter
from harness.energy.sensors.registry import resolve
from harness.identity.machine import Identity
from harness.planning.plan import PlannedTrial
from harness.records.numbers import quantity
from harness.system.process import available_memory_bytes


def warnings(
    trials: Sequence[PlannedTrial], least_bytes: Mapping[str, float], identity: Identity
) -> list[str]:
    """Return a line for each thing that is not there.

    Args:
        trials: those that would run.
        least_bytes: by trial id, the least memory that its model takes; empty where that was not counted.
        identity: of this machine.
    """
    return [*_without_sensor(trials), *_too_large(trials, least_bytes, identity)]


def _without_sensor(trials: Sequence[PlannedTrial]) -> list[str]:
    found = []
    for sensor, hardware in dict.fromkeys((t.config.power.sensor, t.config.device.hardware) for t in trials):
        if sensor == "none":
            continue  # asked for
        meters = resolve(sensor, hardware)
        if all(isinstance(meter, NullMeter) for meter in meters):
            why = "; ".join(dict.fromkeys(m.reason for m in meters if isinstance(m, NullMeter)))
            found.append(f"energy will be unavailable on {hardware} ({why})")
    return found


def _too_large(
    trials: Sequence[PlannedTrial], least_bytes: Mapping[str, float], identity: Identity
) -> list[str]:
    """Compare what a model takes with one device's memory; several ranks may share a model."""
    found = []
    for t in trials:
        needed, there = least_bytes.get(t.trial_id), _memory_bytes(t, identity)
        if needed is not None and there is not None and needed > there and t.config.parallel.ranks == 1:
            need, have = (quantity(n, "B").text for n in (needed, there))
            found.append(f"{t.label} needs at least {need} of memory and {have} is there: it will not fit")
    return found


def _memory_bytes(trial: PlannedTrial, identity: Identity) -> int | None:
    """Return the memory that one process or device can take here; None where that is not known."""
    if trial.config.device.hardware == "cpu":
        return available_memory_bytes()
    held = identity.machine.get("accelerator_memory_capacity")
    known = [n for n in held if isinstance(n, int)] if isinstance(held, list | tuple) else []
    return max(known, default=None)
