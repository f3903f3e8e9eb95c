"""One replica of one trial, inside its worker: open, build, check, warm up, measure, summarise."""

from __future__ import annotations

import gc
import math
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from errno import ENOMEM
from typing import Any

from harness import timing
from harness.config.models import Config
from harness.devices import registry as devices
from harness.devices.base import Device
from harness.isolation.protocol import ReplicaSpec
from harness.records.errors import one_line
from harness.records.evidence import declared
from harness.records.schema import Facts, plain
from harness.serving.job import ServingJob
from harness.stats.roofline import Placement
from harness.system import host, native
from harness.system.errors import HOST_LIMITS, ResourceError
from harness.trial import audit, endpoint, loadgen, prepare, rank_merge, ranks, roofline, span_energy
from harness.trial.device_state import conditions_reader, soak_evidence, soak_settings
from harness.trial.evidence import all_zero, thin, timing_evidence
from harness.trial.initial import InitialWeights
from harness.trial.measure import measure_span
from harness.trial.metrics import summarise
from harness.trial.passes import phase_energy
from harness.trial.passes.run import PreparedReplica, run_passes
from workloads import registry as workloads
from workloads.base import UnsupportedError
from workloads.kernels import library

_MEMORY = ("can't allocate memory", "out of memory", "failed to map segment")


def preload(*, dynamo: bool = False) -> None:
    """Import what every replica needs, before workers are forked; open no device, start no thread.

    Args:
        dynamo: also what torch's first optimizer and its `meta` device import, which takes a second.
    """
    import encodings.ascii  # noqa: F401 - reads the kernel's files

    import numpy.fft
    import numpy.ma  # noqa: F401 - numpy loads both when they are first used
    import torch.utils._device

    from workloads.engine import digest, job  # noqa: F401 - what every replica runs
    from workloads.inputs import sources  # noqa: F401 - and looks for its data with

    if dynamo:
        import torch._dynamo  # noqa: F401 - a second, whenever torch first needs it
    devices.get("cpu")
    for name in workloads.names():
        workloads.get(name)
    library.build_with(native.load)
    library.library()
    host.usable_cores()
    # What is there now is never garbage: no replica has to look through it before it measures.
    gc.collect()
    gc.freeze()


def run_replica(spec: ReplicaSpec, on_phase: Callable[[str], None]) -> dict[str, Any]:
    """Run one replica and return its part of the record as plain data; a failure is a result too.

    Args:
        spec: what to run, as it crossed the socket.
        on_phase: called with start, build, check, warmup, measure and finish as they begin.
    """
    import torch

    reached = "start"

    def phase(name: str) -> None:
        nonlocal reached
        reached = name
        on_phase(name)

    try:
        config = Config.model_validate(spec.config)
        soaks = spec.task == "soak"
        found = {"soak": _soaked(config, spec)} if soaks else _recipe(config)(config, spec, phase)
        ranks.leave()
    except UnsupportedError as error:
        return {"status": "refused", "reason": str(error)}
    except Exception as error:  # noqa: BLE001 - whatever a model raises is the trial's result
        traceback.print_exc()
        if _is_the_hosts(error):
            return {"status": "harness", "reason": _reason(error, reached)}
        memory = isinstance(error, (MemoryError, torch.OutOfMemoryError)) or _names_memory(error)
        return {"status": "oom" if memory else "crashed", "reason": _reason(error, reached)}
    return {"status": "ok", **found}


def _recipe(config: Config) -> Callable[[Config, ReplicaSpec, Callable[[str], None]], dict[str, Any]]:
    """Return what measures such a trial."""
    if config.workload.name == "endpoint":
        return endpoint.measured
    return _measured if config.serve.loadgen is None else loadgen.measured


def _soaked(config: Config, spec: ReplicaSpec) -> Facts:
    """Warm the device with this work until it is steady; return the evidence."""
    device, peers = prepare.open_device(config, spec)
    job = prepare.prepare_job(config, prepare.workload_of(config, spec.size), device, peers)
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


def _measured(config: Config, spec: ReplicaSpec, on_phase: Callable[[str], None]) -> dict[str, Any]:
    """Measure one workload in this process; the recipe of a trial."""
    on_phase("start")
    device, peers = prepare.open_device(config, spec)
    device.reset_peak_memory()
    on_phase("build")
    workload = prepare.workload_of(config, spec.size)
    initial = InitialWeights(device)
    began_ns = time.perf_counter_ns()
    first = initial if peers.rank == 0 else None
    job = prepare.prepare_job(config, workload, device, peers, first, replica=spec.replica)
    device.synchronize()
    built_ns = time.perf_counter_ns()

    on_phase("check")
    first_ns, checked = _first_step(job, device)
    span = measure_span(
        config, device, job.step, peers=peers, session=spec.session, beside=_beside(job), on_phase=on_phase
    )

    served = job.served(config.serve) if isinstance(job, ServingJob) else None
    on_phase("finish")
    began_ns += initial.taken_ns
    times = {"time.build": (built_ns - began_ns) / 1e9, "time.first_iteration": (first_ns - built_ns) / 1e9}
    last, losses = job.check(), job.losses()
    wrong = checked["output_reason"] or last["output_reason"]
    counted = None if served is None else job.counted(served)
    mine = rank_merge.rank_result(job, device, span, times, wrong, trains=bool(losses), counted=counted)
    seen = peers.gather(mine)
    span_energy.keep_trace(span.window, span.timing, spec.folder)
    measurement = rank_merge.merged(seen)
    spent = span.energy()
    ready = PreparedReplica(config, spec.size, spec, device, peers, workload, job, on_phase)
    placed = roofline.placement(
        rank_merge.per_device(seen), measurement.span_ns / 1e9, ready.certificate, config.precision.name
    )
    known, runs = _known(ready, seen, spent), [one.run for one in seen]
    metrics = summarise(runs, losses=losses, served=None if served is None else served.metrics(), **known)
    if peers.rank == 0:
        audit.keep_series(runs, losses, spec.folder, served, raw=spec.raw_loop)
    more_metrics, more_evidence = run_passes(ready, measurement, placed, losses)
    return {
        "metrics": [plain(m) for m in [*metrics, *more_metrics]],
        "evidence": {
            **timing_evidence(measurement),
            **all_zero(measurement, losses, span_energy.zero_metrics(span.window)),
            **rank_merge.conditions(seen),
            **rank_merge.compiled(seen),
            **_evidence(ready, seen, placed, losses),
            **({} if served is None else served.evidence()),
            **initial.evidence(workload),
            **spent.evidence(),
            **phase_energy.attribution(span.window, span.timing),
            **audit.evidence(runs, window=span.window, served=served, **known),
            **rank_merge.evidence(seen, config),
            **more_evidence,
        },
        "series": audit.short_series(measurement, losses, serves=served is not None)
        | span_energy.series(span.window, thin),
    }


def _first_step(job: Any, device: Device) -> tuple[int, Facts]:
    """Run the first step; return when it ended, ns, and the check of its outputs."""
    job.step(0, lambda _mark: None)
    device.synchronize()
    ended_ns, checked = time.perf_counter_ns(), job.check()
    if (problem := device.fence_problem(job.step)) is not None:
        raise UnsupportedError(problem)
    return ended_ns, checked


def _beside(job: Any) -> AbstractContextManager[Any] | None:
    """Return what is to know where the span begins and ends: the load's session, or the compiler's watch."""
    if isinstance(job, ServingJob):
        return job.session
    watch: AbstractContextManager[Any] | None = None if job.compiler is None else job.compiler.watch()
    return watch


def _known(
    ready: PreparedReplica, seen: Sequence[rank_merge.RankResult], spent: span_energy.SpanEnergy
) -> dict[str, Any]:
    """Return what the metrics are made of, beside the ranks' spans and the losses."""
    config, precision = ready.config, ready.config.precision.name
    generates = config.workload.mode == "generate"
    return {
        "peak": ready.device.dense_peak(precision),
        "ceiling": roofline.ceiling(ready.certificate, precision),
        "energy": spent.use(),
        "single_threaded": ready.workload.spec.single_threaded or config.device.threads == 1,
        "output_tokens": int(ready.size["new_tokens"]) if generates else None,
        "rank_metrics": rank_merge.rank_metrics(seen),
    }


def _evidence(
    ready: PreparedReplica,
    seen: Sequence[rank_merge.RankResult],
    placed: Placement | str,
    losses: Sequence[float],
) -> Facts:
    """Return what a record says of the work itself: its outputs, its losses, what was made of it."""
    wrong = rank_merge.output_error(seen)
    found = {
        "output_ok": wrong is None,
        "output_reason": wrong,
        "loss_finite": all(map(math.isfinite, losses)) if losses else None,
        "update": ready.job.update,
        "transformed": ready.job.evidence(),
        "roofline": roofline.roofline_evidence(placed, ready.certificate, ready.config.precision.name),
        "device": seen[ready.peers.rank].facts,
    }
    return declared(__name__, found)


def _is_the_hosts(error: Exception) -> bool:
    """Tell whether a disk, a file or a limit failed, which says nothing of the work."""
    return isinstance(error, ResourceError) or (
        isinstance(error, OSError) and error.errno in HOST_LIMITS - {ENOMEM}
    )


def _names_memory(error: Exception) -> bool:
    text = str(error).lower()
    return isinstance(error, RuntimeError | ImportError) and any(words in text for words in _MEMORY)


def _reason(error: Exception, phase: str) -> str:
    words = one_line(error, 500)
    return f"{type(error).__name__} in phase {phase}{f': {words}' if words else ''}"
