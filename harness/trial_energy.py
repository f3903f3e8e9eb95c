"""The energy part of a trial: what its window found, as metrics, evidence, and a trace beside the record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness import energy, timing
from harness.config import Config
from harness.devices.base import Device
from harness.energy import alias, history
from harness.load import load_of
from harness.records.schema import Facts
from harness.records.trace import write_trace
from harness.summary import EnergyUse

TRACE_ITERATIONS = 20_000
"""Iterations whose edges a trace keeps; of more, every so many."""


def use(result: energy.EnergyResult) -> EnergyUse:
    """Return a window's energy as the summary takes it."""
    return EnergyUse(
        result.joules, result.u_joules, result.peak_w, result.idle_w, result.reason, mean_w=result.mean_w
    )


def flags(result: energy.EnergyResult, measurement: timing.Measurement) -> list[str]:
    """Return the window's flags, and whether the iterations were in step with a part-time counter."""
    counters = [device.sensors[0] for device in result.devices if device.sensors]
    # The usual distance: now and then an iteration is late, but most keep in step.
    period_s = float(np.median(measurement.durations_ns)) / measurement.group / 1e9
    aliased = any(alias.is_aliased(info, period_s, result.span_s) for info in counters)
    return [*result.flags, *([alias.FLAG] if aliased else [])]


def evidence(result: energy.EnergyResult, measurement: timing.Measurement) -> Facts:
    """Return what a record keeps: method, flags, each device's figures, its sensors as probed, its states."""
    seen = history.states(result.trace, result.span_ns)
    slowed = history.slowed(seen)
    return {
        "sensor_method": result.method,
        "sensor_flags": flags(result, measurement),
        "u_absolute_joules": result.u_absolute_joules,
        "energy": result.evidence(),
        **({"device_states": seen} if seen else {}),
        **({"throttled": True} if slowed else {}),  # else it is for others to say
    }


def series(result: energy.EnergyResult, thin: Callable[[Any], list[float]]) -> dict[str, list[float]]:
    """Return short series of power, temperature and clocks over the span, by sensor, for figures."""
    power = {device.power_trace for device in result.devices}
    return {
        samples.sensor.id: thin(samples.between(*result.span_ns).values())
        for samples in result.trace
        if samples.sensor.id in power or samples.sensor.kind in {"temperature", "clock"}
    }


def keep_trace(result: energy.EnergyResult, measurement: timing.Measurement, spec: Mapping[str, Any]) -> None:
    """Write `trace.parquet` into the attempt's folder, where anything was sampled.

    Raises:
        OSError: it cannot be written.
    """
    if result.trace and "folder" in spec:
        edges = _edges(measurement, result.span_ns[0])
        write_trace(history.columns(result.trace, edges), Path(spec["folder"]))


def _edges(measurement: timing.Measurement, start_ns: int) -> tuple[Any, int]:
    """Return the iterations' edges on the host's clock, and how many iterations lie between two."""
    begin_ns = start_ns if measurement.chunks is None else int(measurement.chunks.wall_ns[0])
    edges = begin_ns + np.concatenate([[0], np.cumsum(measurement.durations_ns)])
    every = max(1, -(-(len(edges) - 1) // TRACE_ITERATIONS))
    return edges[::every], every * measurement.group


def window(config: Config, device: Device, peers: timing.Peers = timing.ALONE) -> energy.Window:
    """Meter the devices that were named, else the trial's own where the sensor is the device's own.

    Of several ranks, rank 0 meters every rank's device, and the others none.
    """
    named = config.power.devices
    own = tuple(dict.fromkeys(one for one in peers.gather(device.hardware_id()) if one is not None))
    if peers.rank != 0:
        return energy.window("none", device_kind=config.device.kind)
    if not named and config.power.sensor in {"auto", "nvml"}:
        named = own
    return energy.window(
        config.power.sensor,
        named,
        device_kind=config.device.kind,
        sample_hz=config.power.sample_hz,
        guard_s=None if config.power.guard else 0.0,
        load_of=load_of,
    )
