"""One replica under MLPerf LoadGen: find its settings, run its scenario, and sum up what both sides saw."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from harness import energy
from harness.config.models import Config
from harness.config.serving import LoadGenScenario
from harness.isolation.protocol import ReplicaSpec
from harness.records.evidence import declared
from harness.records.loop import Series, keep_raw, write_loop
from harness.records.metrics import make
from harness.records.schema import Facts, Metric
from harness.serving import job
from harness.serving.engines import EngineServer
from harness.serving.load import lengths_of, limits_of
from harness.serving.loadgen import NO_LIMIT_S, QUEUE, LoadGenRun, LoadGenSettings, Sample, run_loadgen
from harness.serving.loadgen_log import DETAIL, SUMMARY, Judged, judged
from harness.serving.loadgen_metrics import Published, held_together, mlperf_metrics, published
from harness.serving.loadgen_search import Settled, capacity, settle
from harness.serving.metrics import metrics_of
from harness.serving.served import Served
from harness.system import native
from harness.system.contention import Contention, between
from harness.system.host_counters import read_counters
from harness.trial import prepare, span_energy
from harness.trial.audit import VERSION
from harness.trial.endpoint_energy import Energy, energy_metrics
from workloads.kernels import library

SAMPLES = 64
"""Prompts that LoadGen draws from, with repetition."""
FILE_LIMIT_BYTES = 16 * 2**20
"""Of each of LoadGen's files that stays beside the record."""
OFFLINE = "Offline asks for everything at once: a latency is a place in the queue"


@dataclass(frozen=True, slots=True)
class _Measured:
    """A run, and what was metered around it."""

    run: LoadGenRun
    window: energy.EnergyResult
    host: Contention


def measured(config: Config, spec: ReplicaSpec, on_phase: Callable[[str], None]) -> dict[str, Any]:
    """Measure one engine under LoadGen in this process; the recipe of such a trial.

    Raises:
        UnsupportedError: the engine cannot be built so, or LoadGen is not installed.
        ValueError: LoadGen wrote no log that can be read.
        RuntimeError: the engine failed.
    """
    on_phase("start")
    device, peers = prepare.open_device(config, spec)
    on_phase("build")
    workload = prepare.workload_of(config, spec.size)
    library.build_with(native.load)
    prepared = job.prepare_engines(
        workload, prepare.setup_of(config, device, peers), config.serve, queue=QUEUE
    )
    wanted, (engine,) = _wanted(config, spec.replica), prepared.engines
    samples = _samples(config, engine, workload.n("vocab"), wanted.seed, device.torch_device)
    on_phase("warmup")
    known = capacity(engine, samples)
    on_phase("measure")
    last: list[_Measured] = []
    with tempfile.TemporaryDirectory(prefix=".loadgen-", dir=spec.folder) as folder:

        def run(settings: LoadGenSettings) -> LoadGenRun:
            before, window = read_counters(), span_energy.window(config, device)
            with window:
                found = run_loadgen(engine, samples, settings, Path(folder))
                device.synchronize()
            last[:] = [_Measured(found, window.result, between(before, read_counters()))]
            return found

        settled = settle(run, wanted, known)
        files = [] if spec.folder is None else _kept(Path(folder), Path(spec.folder))
    on_phase("finish")
    (got,) = last
    metrics, evidence, served = _summed(config, got, settled, files)
    if spec.folder is not None:
        (keep_raw if spec.raw_loop else write_loop)(served.series(), Path(spec.folder))
    metrics += [
        make("memory.weights", prepared.weights_bytes),
        make("memory.kv_cache", prepared.cache_bytes),
        make("model.parameters", prepared.parameters),
    ]
    made = {"transformed": prepared.evidence, "device": device.facts(), **prepared.check()}
    return {
        "metrics": [asdict(metric) for metric in metrics],
        "evidence": declared(__name__, evidence | made) | served.evidence(),
        "series": {},
    }


def _summed(
    config: Config, got: _Measured, settled: Settled, files: Sequence[str]
) -> tuple[list[Metric], Facts, Served]:
    """Return a run's metrics, what a record says of it, and its requests."""
    run, window = got.run, got.window
    found = judged(
        run.log,
        scenario=run.settings.scenario,
        answers=[request.tokens or 0 for request in run.requests],
        told_first=run.told_first,
    )
    begin_ns = min(request.arrival_ns for request in run.requests)
    end_ns = max(request.end_ns for request in run.requests)
    served = Served(run.requests, (begin_ns, end_ns), limits_of(config.serve), open_loop=False)
    used = Energy(window.joules, window.mean_w, window.peak_w, *window.span_ns, reason=window.reason)
    mlperf = published(run.log, run.settings.scenario, run.settings.percentile, found)
    kept = {
        "served": served.facts(),
        "energy": asdict(used),
        "published": asdict(mlperf),
        "scenario": run.settings.scenario,
    }
    evidence = {
        "iterations": len(run.requests),
        "span_ns": end_ns - begin_ns,
        "contention": got.host.evidence(),
        "loadgen": loadgen_facts(settled, found, files),
        "sensor_method": window.method,
        "sensor_flags": list(window.flags),
        "u_absolute_joules": window.u_absolute_joules,
        "energy": window.evidence(),
        "audit": {"version": VERSION, "loadgen": kept},
    }
    return [*_metrics(served, used, mlperf, run.settings.scenario)], evidence, served


def replayed(kept: Mapping[str, Any], series: Series) -> list[Metric]:
    """Return the metrics that follow from what a record under LoadGen keeps for an audit, and its log.

    Raises:
        ValueError: they are not what was kept.
    """
    try:
        used, mlperf = Energy(**kept["energy"]), Published(**kept["published"])
        return [*_metrics(Served.kept(kept["served"], series), used, mlperf, kept["scenario"])]
    except (KeyError, TypeError, ArithmeticError, AttributeError, IndexError) as error:
        raise ValueError(
            f"what it keeps for an audit is not whole: {type(error).__name__} {error}"
        ) from error


def _metrics(served: Served, used: Energy, mlperf: Published, scenario: LoadGenScenario) -> Iterator[Metric]:
    for metric in metrics_of(served.requests, served.span_ns, served.limits):
        late = scenario == "offline" and metric.id.startswith(("latency.", "interactivity"))
        yield make(metric.id, None, reason=OFFLINE) if late else metric
    yield from mlperf_metrics(mlperf, len(served.requests))
    yield from energy_metrics(served.requests, served.span_ns, used)


def _wanted(config: Config, replica: int) -> LoadGenSettings:
    serve = config.serve
    assert serve.loadgen is not None
    return LoadGenSettings(
        serve.loadgen,
        seconds=config.measure.seconds,
        percentile=serve.good_share,
        ttft_limit_s=serve.ttft_limit_s or NO_LIMIT_S,
        tpot_limit_s=serve.tpot_limit_s or NO_LIMIT_S,
        seed=config.seed * 10_000 + replica,
    )


def _samples(config: Config, engine: Any, vocab: int, seed: int, device: str) -> list[Sample]:
    assert config.serve.context is not None
    server = EngineServer(engine, vocab=vocab, seed=seed, device=device)
    lengths = islice(lengths_of(config.serve, config.serve.context + 1, seed=seed), SAMPLES)
    return [Sample(server.prompt(i, length), length.output_tokens) for i, length in enumerate(lengths)]


def _kept(folder: Path, to: Path) -> list[str]:
    """Move LoadGen's log and summary beside the record, and return their names; what is too large is left."""
    names = [name for name in (DETAIL, SUMMARY) if (folder / name).stat().st_size <= FILE_LIMIT_BYTES]
    for name in names:
        shutil.move(folder / name, to / name)
    return names


def loadgen_facts(settled: Settled, found: Judged, files: Sequence[str]) -> Facts:
    """Return what a record says of LoadGen: settings, verdict, what the search tried, both percentiles."""
    run = settled.run
    pairs, apart = held_together(run.log, run.requests, found)
    return {
        **asdict(run.settings),
        "version": run.log.values.get("loadgen_version"),
        "verdict": run.log.values.get("result_validity"),
        "valid": found.valid,
        "reasons": list(found.reasons),
        "void": dict(found.void),
        "samples": len(run.requests),
        "tried": [
            {
                "rate_per_s": one.settings.rate_per_s,
                "expected_s": one.settings.expected_s,
                "queries": one.settings.queries,
                "seconds": one.settings.seconds,
                "valid": one.valid,
            }
            for one in settled.tried
        ],
        "percentiles_s": pairs,
        "disagree": apart,
        "files": list(files),
    }
