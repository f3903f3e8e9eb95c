"""Energy of a workload's phases (docs/method.md, section 4): each in a loop of its own after the span.

Within the span it is attributed by least squares, at no extra time, where the counter's ticks tell.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from harness import energy
from harness.config.models import Config
from harness.devices.base import Device
from harness.devices.timeline import UNMARKED
from harness.energy.estimation.attribution import attribute, ticks_of
from harness.records.evidence import declared
from harness.records.metrics import make
from harness.records.schema import Facts, Metric
from harness.timing import Measurement
from harness.trial import span_energy
from harness.trial.metrics import FIRST_TOKEN
from workloads.base import SERVE

PREFILL, DECODE, FORWARD, BACKWARD = "energy.prefill", "energy.decode", "energy.forward", "energy.backward"
_GENERATES = ("generate", SERVE)
Prepare = Callable[[str], Any]
"""Returns the job of the same workload in another mode."""


def phase_metrics(config: Config, device: Device, workload: Any, job: Any, prepare: Prepare) -> list[Metric]:
    """Measure prefill and decode of generation and serving, or forward and backward of training.

    Nothing else has phases.

    A strategy's step has phases of its own on each rank, which no loop of one of them can measure.

    Args:
        config: Of the trial.
        device: Opened.
        workload: In the trial's mode.
        job: The trial's own, warm.
        prepare: Makes the jobs of the modes `prefill` and `decode`.
    """
    mode, modes = config.workload.mode, workload.spec.modes
    if config.parallel.name != "none" and mode in {*_GENERATES, "train", "finetune"}:
        keys = (PREFILL, DECODE) if mode in _GENERATES else (FORWARD, BACKWARD)
        why = f"parallel {config.parallel.name} has no phase that runs alone"
        return [make(key, None, reason=why) for key in keys]
    if mode in _GENERATES and {"prefill", "decode"} <= set(modes):
        jobs = {PREFILL: prepare("prefill"), DECODE: prepare("decode")}
        steps: Mapping[str, Callable[[int], object]] = {key: _of(made) for key, made in jobs.items()}
    elif mode in {"train", "finetune"} and config.workload.accumulate == 1:
        steps = {FORWARD: _forward(config, device, workload, job), BACKWARD: _of(job)}
    else:
        return []
    found = {key: _loop(config, device, step) for key, step in steps.items()}
    if BACKWARD in found:
        found[BACKWARD] = _less(found[BACKWARD], found[FORWARD])
    return [
        make(key, joules, n=n) if joules is not None else make(key, None, reason=why)
        for key, (joules, n, why) in found.items()
    ]


def attribution(result: energy.EnergyResult, measurement: Measurement) -> Facts:
    """Attribute the span's energy to prefill and decode; empty where iterations have no first token.

    Returns:
        `attribution`, of each device in the total: by phase `watts`, an iteration's `joules` and `u_joules`
        (standard); `condition` of the equations, `residual_joules` of the span; or the `reason` why not.
    """
    if FIRST_TOKEN not in measurement.marks:
        return {}
    edges, first = (
        span_energy.iteration_edges(measurement, result.span_ns[0]),
        measurement.marks[FIRST_TOKEN],
    )
    passed = first != UNMARKED
    starts, ends = edges[:-1][passed], edges[1:][passed]
    tokens = starts + first[passed]
    spans = {
        "prefill": list(zip(starts.tolist(), tokens.tolist(), strict=True)),
        "decode": list(zip(tokens.tolist(), ends.tolist(), strict=True)),
    }
    seconds = {
        "prefill": float((tokens - starts).mean()) * 1e-9,
        "decode": float((ends - tokens).mean()) * 1e-9,
    }
    traces = {samples.sensor.id: samples for samples in result.trace}
    found: list[Facts] = []
    for device in (device for device in result.devices if device.in_total):
        counter = next(
            (info for info in device.sensors if info.id in traces and info.kind == "counter"), None
        )
        if device.joules is None or counter is None:
            reason = device.reason or "no energy counter was sampled beside the work"
            found.append({"device": device.device, "joules": None, "reason": reason})
            continue
        parts = attribute(counter, ticks_of(traces[counter.id], counter.update_period_s), spans)
        joules, u_joules = (
            {phase: watts[phase] * seconds[phase] for phase in spans if phase in watts}
            for watts in (parts.watts, parts.u_watts)
        )
        found.append(
            {"device": device.device, **asdict(parts), "joules": joules or None, "u_joules": u_joules or None}
        )
    return declared(__name__, {"attribution": found})


_Found = tuple[float | None, int, str | None]
"""Joules per iteration, iterations, and why there are none."""


def _loop(config: Config, device: Device, step: Callable[[int], object]) -> _Found:
    window = span_energy.window(config, device)
    seconds = config.power.phase_s
    done = energy.measure_loop(step, window, seconds=seconds, synchronize=device.synchronize)
    return done.joules, done.iterations, done.window.reason or "the sensor does not tell it"


def _less(whole: _Found, part: _Found) -> _Found:
    """Return what a part leaves of the whole; a part that takes all leaves nothing that can be told."""
    if whole[0] is None or part[0] is None:
        return None, whole[1], whole[2] if whole[0] is None else part[2]
    left = whole[0] - part[0]
    if left <= 0 or not math.isfinite(left):
        return None, whole[1], "the forward loop took as much as the whole step"
    return left, whole[1], None


def _of(job: Any) -> Callable[[int], object]:
    return lambda index: job.step(index, lambda _mark: None)


def _forward(config: Config, device: Device, workload: Any, job: Any) -> Callable[[int], object]:
    """Return the forward pass of a training step: the loss, with the graph that backward would need."""
    import torch

    from workloads.engine.job import RING
    from workloads.engine.precision import autocast
    from workloads.inputs.batches import to_device

    place = torch.device(device.torch_device)
    ring = [to_device(workload.make_batch(index), place) for index in range(RING)]
    context = autocast(place, config.precision.name)

    def forward(index: int) -> None:
        with context():
            workload.loss(job.model, ring[index % RING])

    return forward
