"""The energy part of a trial: what its window found, as metrics, evidence, and a trace beside the record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness import energy, timing
from harness.config.models import Config
from harness.devices.base import Device
from harness.devices.load import load_of
from harness.energy.estimation import aliasing, device_states
from harness.records.evidence import declared
from harness.records.metrics import METRICS
from harness.records.schema import Facts
from harness.records.trace import write_trace
from harness.timing.loop import Step
from harness.trial.metrics import EnergyUse

TRACE_ITERATIONS = 20_000
"""Iterations whose edges a trace keeps; of more, every so many."""


@dataclass(frozen=True, slots=True)
class SpanEnergy:
    """What is known of the span's energy: from its own window, or from a loop right after it."""

    result: energy.EnergyResult
    """Of the window around the span."""
    measurement: timing.Measurement
    aliased: bool = False
    """The span's iterations came in step with a counter that may sample only part of each update period."""
    shifted: energy.IterationEnergy | None = None
    """More of the same iterations, in blocks shifted against the counter's period."""
    unshifted: str | None = None
    """Why an aliased span was not followed by such a loop that gave a number."""

    def use(self) -> EnergyUse:
        """Return the span's energy as the summary takes it."""
        found = self.result
        if self.shifted is None:
            return EnergyUse(
                found.joules, found.u_joules, found.peak_w, found.idle_w, found.reason, mean_w=found.mean_w
            )
        assert self.shifted.joules is not None
        n, u_joules = self.measurement.iterations, self.shifted.u_joules
        return EnergyUse(
            self.shifted.joules * n,
            None if u_joules is None else u_joules * n,
            found.peak_w,
            found.idle_w,
            found.reason,
            mean_w=self.shifted.joules / self.shifted.iteration_s,
        )

    def evidence(self) -> Facts:
        """Return what a record keeps: method, flags, each device's figures, sensors as probed, states."""
        seen = device_states.states(self.result.trace, self.result.span_ns)
        window, u_absolute = self.result, self.result.u_absolute_joules
        if self.shifted is not None:
            window, u_absolute = self.shifted.window, self.shifted.u_absolute_joules
            u_absolute = None if u_absolute is None else u_absolute * self.measurement.iterations
        flags = dict.fromkeys([*self.result.flags, *window.flags])
        found = {
            "sensor_method": window.method,
            "sensor_flags": [*flags, *([aliasing.FLAG] if self.unshifted is not None else [])],
            "u_absolute_joules": u_absolute,
            "energy": self.result.evidence(),
            **({"energy_aliased": self._alias_evidence()} if self.aliased else {}),
            **({"device_states": seen} if seen else {}),
            **({"throttled": True} if device_states.slowed(seen) else {}),  # else it is for others to say
        }
        return declared(__name__, found)

    def _alias_evidence(self) -> Facts:
        if self.shifted is None:
            return {"shifted": None, "reason": self.unshifted}
        loop = self.shifted
        return {
            "shifted": {
                "iterations": loop.iterations, "blocks": loop.blocks, "iteration_s": loop.iteration_s,
                "joules": loop.joules, "u_joules": loop.u_joules, "energy": loop.window.evidence(),
            },
            "reason": None,
        }  # fmt: skip


def span_energy(
    result: energy.EnergyResult,
    measurement: timing.Measurement,
    loop: Callable[[], energy.IterationEnergy],
    *,
    alone: bool = True,
) -> SpanEnergy:
    """Return the span's energy, from a shifted loop where its iterations aliased (docs/method.md, section 4).

    Args:
        result: Of the window around the span.
        measurement: Of the span.
        loop: Runs more of the same iterations in shifted blocks; called only where they are needed.
        alone: This process can run more iterations without others that have to keep step.
    """
    if not in_step(result, measurement):
        return SpanEnergy(result, measurement)
    if not alone:
        why = "several ranks keep step with each other, and were not shifted against the counter"
        return SpanEnergy(result, measurement, True, unshifted=why)
    found = loop()
    if found.joules is None:
        why = found.window.reason or "the shifted loop gave no number"
        return SpanEnergy(result, measurement, True, unshifted=why)
    if found.blocks == 1:
        why = "without guards there is nothing to shift by"
        return SpanEnergy(result, measurement, True, unshifted=why)
    return SpanEnergy(result, measurement, True, shifted=found)


def in_step(result: energy.EnergyResult, measurement: timing.Measurement) -> bool:
    """Tell whether iterations came in step with a counter that may sample only part of each period."""
    counters = [device.sensors[0] for device in result.devices if device.sensors]
    # The usual distance: now and then an iteration is late, but most keep in step.
    period_s = float(np.median(measurement.durations_ns)) / measurement.group / 1e9
    return any(aliasing.is_aliased(info, period_s, result.span_s) for info in counters)


def shifted_loop(config: Config, device: Device, step: Step) -> energy.IterationEnergy:
    """Run iterations for as long as the span was to last, in blocks shifted against the counter's period."""
    return energy.measure_loop(
        lambda index: step(index, lambda _mark: None),
        window(config, device),
        seconds=config.measure.seconds,
        synchronize=device.synchronize,
    )


def zero_metrics(result: energy.EnergyResult) -> list[str]:
    """Return the ids of metrics that rest on power samples of which every one was zero."""
    values = {samples.sensor.id: samples.between(*result.span_ns).values() for samples in result.trace}
    parts = [device for device in result.devices if device.in_total]
    dead = [
        device
        for device in parts
        if (power := values.get(device.power_trace or "")) is not None and len(power) and not np.any(power)
    ]
    if not dead:
        return []
    counted = all(device.sensors and device.sensors[0].kind == "counter" for device in dead)
    patterns = ("power.peak",) if counted else ("energy.*", "efficiency.*", "power.mean", "power.peak")
    return [m for m in METRICS if any(fnmatchcase(m, pattern) for pattern in patterns)]


def series(result: energy.EnergyResult, thin: Callable[[Any], list[float]]) -> dict[str, list[float]]:
    """Return short series of power, temperature and clocks over the span, by sensor, for figures."""
    power = {device.power_trace for device in result.devices}
    return {
        samples.sensor.id: thin(samples.between(*result.span_ns).values())
        for samples in result.trace
        if samples.sensor.id in power or samples.sensor.kind in {"temperature", "clock"}
    }


def keep_trace(result: energy.EnergyResult, measurement: timing.Measurement, folder: str | None) -> None:
    """Write `trace.parquet` into the attempt's folder, where anything was sampled.

    Raises:
        OSError: it cannot be written.
    """
    if result.trace and folder is not None:
        edges = kept_edges(measurement, result.span_ns[0])
        write_trace(device_states.columns(result.trace, edges), Path(folder))


def iteration_edges(measurement: timing.Measurement, start_ns: int) -> npt.NDArray[np.int64]:
    """Return the edges of all timed samples on the host's clock in ns, shape (samples + 1,)."""
    begin_ns = start_ns if measurement.stretches is None else int(measurement.stretches.wall_ns[0])
    edges: npt.NDArray[np.int64] = begin_ns + np.concatenate([[0], np.cumsum(measurement.durations_ns)])
    return edges


def kept_edges(measurement: timing.Measurement, start_ns: int) -> tuple[Any, int]:
    """Return the iterations' edges that a trace keeps, and how many iterations lie between two."""
    edges = iteration_edges(measurement, start_ns)
    every = max(1, -(-(len(edges) - 1) // TRACE_ITERATIONS))
    return edges[::every], every * measurement.group


def window(config: Config, device: Device, peers: timing.Peers = timing.ALONE) -> energy.Window:
    """Meter the devices that were named, else the trial's own where the sensor is the device's own.

    Of several ranks, rank 0 meters every rank's device, and the others none.
    """
    named = config.power.devices
    own = tuple(dict.fromkeys(one for one in peers.gather(device.hardware_id()) if one is not None))
    if peers.rank != 0:
        return energy.window("none", device_kind=device.metered_as)
    if not named and config.power.sensor in {"auto", "nvml"}:
        named = own
    return energy.window(
        config.power.sensor,
        named,
        device_kind=device.metered_as,
        sample_hz=config.power.sample_hz,
        guard_s=None if config.power.guard else 0.0,
        load_of=load_of,
    )
