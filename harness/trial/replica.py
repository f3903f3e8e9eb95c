"""One replica of one trial, inside its worker: open, build, check, warm up, measure, summarise."""

from __future__ import annotations

import gc
import math
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

from harness import timing
from harness.config.models import Config
from harness.devices import registry as devices
from harness.records.errors import one_line
from harness.records.schema import Facts
from harness.trial import prepare, rank_merge, ranks, roofline, span_energy
from harness.trial.device_state import (
    conditions_evidence,
    conditions_reader,
    soak_clock_hz,
    soak_evidence,
    soak_settings,
)
from harness.trial.evidence import thin, timing_evidence, timing_settings
from harness.trial.metrics import RankRun, summarise
from harness.trial.passes import phase_energy
from harness.trial.passes.run import PreparedReplica, run_passes
from workloads import registry as workloads
from workloads.base import Size, UnsupportedError


def preload() -> None:
    """Import what every replica needs, before workers are forked; open no device, start no thread."""
    import numpy.ma  # noqa: F401 - numpy loads it at the first `unique`
    import torch  # noqa: F401 - imported here so that no replica pays for it

    devices.get("cpu")
    for name in workloads.names():
        workloads.get(name)
    # What is there now is never garbage: no replica has to look through it before it measures.
    gc.collect()
    gc.freeze()


def run_replica(spec: Mapping[str, Any], on_phase: Callable[[str], None]) -> dict[str, Any]:
    """Run one replica and return its part of the record as plain data; a failure is a result too.

    Args:
        spec: `config` (validated before) and `size` (resolved); `session`, what is known of the session;
            `task`, which is `soak` where the device is only to be warmed; and `rank`, of several.
        on_phase: told start, build, check, warmup, measure and finish as they begin.
    """
    import torch

    reached = "start"

    def phase(name: str) -> None:
        nonlocal reached
        reached = name
        on_phase(name)

    try:
        config = Config.model_validate(spec["config"])
        if spec.get("task") == "soak":
            found = {"soak": _soaked(config, spec["size"], spec)}
        else:
            found = _measured(config, spec["size"], spec, phase)
        ranks.leave()
    except UnsupportedError as error:
        return {"status": "refused", "reason": str(error)}
    except Exception as error:  # noqa: BLE001 - whatever a model raises is the trial's result
        traceback.print_exc()
        memory = isinstance(error, (MemoryError, torch.OutOfMemoryError)) or _names_memory(error)
        return {"status": "oom" if memory else "crashed", "reason": _reason(error, reached)}
    return {"status": "ok", **found}


def _soaked(config: Config, size: Size, spec: Mapping[str, Any]) -> Facts:
    """Warm the device with this work until it is steady; return the evidence."""
    device, peers = prepare.open_device(config, spec)
    job = prepare.prepare_job(config, prepare.workload_of(config, size), device, peers)
    job.step(0, lambda _mark: None)
    found = timing.soak(
        job.step,
        device=device,
        settings=soak_settings(config.measure),
        read=conditions_reader(device),
        first_index=1,
        peers=peers,
    )
    return soak_evidence(found)


def _measured(
    config: Config, size: Size, spec: Mapping[str, Any], on_phase: Callable[[str], None]
) -> dict[str, Any]:
    """Measure one workload in this process; the recipe of a trial."""
    on_phase("start")
    device, peers = prepare.open_device(config, spec)
    device.reset_peak_memory()

    on_phase("build")
    workload = prepare.workload_of(config, size)
    began_ns = time.perf_counter_ns()
    job = prepare.prepare_job(config, workload, device, peers)
    device.synchronize()
    built_ns = time.perf_counter_ns()

    on_phase("check")
    job.step(0, lambda _mark: None)
    device.synchronize()
    first_ns = time.perf_counter_ns()
    checked = job.check()

    window = span_energy.window(config, device, peers)
    watch = device.watch()
    mine = timing.measure_steps(
        job.step,
        device=device,
        settings=timing_settings(config),
        window=_within(window, watch, nullcontext() if job.compiler is None else job.compiler.watch()),
        on_phase=on_phase,
        first_index=1,
        read=conditions_reader(device),
        peers=peers,
    )

    on_phase("finish")
    used, session, last = window.result, spec.get("session", {}), job.check()
    span_energy.keep_trace(used, mine, spec)
    losses = job.losses()
    seen = peers.gather(
        rank_merge.RankResult(
            run=RankRun(mine, [job.units(i) for i in range(_ring())], device.memory(), device.torch_device),
            facts=device.facts(),
            conditions=conditions_evidence(mine.conditions, session) | watch.evidence(soak_clock_hz(session)),
            rank_metrics={
                "time.build": (built_ns - began_ns) / 1e9,
                "time.first_iteration": (first_ns - built_ns) / 1e9,
                "model.parameters": job.parameters,
                "memory.weights": job.weights_bytes,
                **({"memory.optimizer": job.optimizer_bytes()} if losses else {}),
                **({"memory.kv_cache": job.kv_cache_bytes} if job.kv_cache_bytes else {}),
            },
            output_error=checked["output_reason"] or last["output_reason"],
            compiled=job.compiled,
            recompiles_in_span=None if job.compiler is None else job.compiler.within,
        )
    )
    measurement = rank_merge.merged(seen)
    certificate, precision = session.get("certificate", {}), config.precision.name
    placed = roofline.placement(
        rank_merge.per_device(seen), measurement.span_ns / 1e9, certificate, precision
    )
    spent = span_energy.span_energy(
        used,
        mine,
        lambda: span_energy.shifted_loop(config, device, job.step),
        alone=peers.world == 1,
    )
    metrics = summarise(
        [one.run for one in seen],
        peak=device.dense_peak(precision),
        ceiling=roofline.ceiling(certificate, precision),
        energy=spent.use(),
        single_threaded=workload.spec.single_threaded or config.device.threads == 1,
        output_tokens=int(size["new_tokens"]) if config.workload.mode == "generate" else None,
        losses=losses,
        rank_metrics=rank_merge.rank_metrics(seen),
    )
    ready = PreparedReplica(config, size, spec, device, peers, workload, job, on_phase)
    beside, evidence = run_passes(ready, measurement, placed, losses)
    wrong = rank_merge.output_error(seen)
    return {
        "metrics": [m.model_dump(mode="json") for m in [*metrics, *beside]],
        "evidence": {
            **timing_evidence(measurement),
            **rank_merge.conditions(seen),
            "output_ok": wrong is None,
            "output_reason": wrong,
            "loss_finite": all(map(math.isfinite, losses)) if losses else None,
            **rank_merge.compiled(seen),
            "update": job.update,
            "transformed": job.evidence(),
            "roofline": roofline.roofline_evidence(placed, certificate, precision),
            **spent.evidence(),
            **phase_energy.attribution(used, mine),
            "device": device.facts(),
            **rank_merge.evidence(seen, config),
            **evidence,
        },
        "series": {
            "iteration_s": thin(measurement.durations_ns / 1e9 / measurement.group),
            **({"loss": thin(losses)} if losses else {}),
            **span_energy.series(used, thin),
        },
    }


@contextmanager
def _within(*contexts: AbstractContextManager[Any]) -> Iterator[None]:
    with ExitStack() as stack:
        for context in contexts:
            stack.enter_context(context)
        yield


def _ring() -> int:
    from workloads.engine.job import RING

    return RING


def _names_memory(error: Exception) -> bool:
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("can't allocate memory" in text or "out of memory" in text)


def _reason(error: Exception, phase: str) -> str:
    words = one_line(error, 500)
    return f"{type(error).__name__} in phase {phase}{f': {words}' if words else ''}"
