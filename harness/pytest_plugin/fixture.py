"""The fixture `device_benchmark`: measure by the rules of a trial, keep a record, feed pytest-benchmark."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import pytest

from harness import timing
from harness.config.models import Config, DeviceConfig, WorkloadConfig
from harness.devices.base import Device, Peak
from harness.pytest_plugin.marker import NAME, SETTINGS
from harness.pytest_plugin.session import Session
from harness.records.errors import kind_and_words
from harness.records.estimates import trial_results
from harness.records.evidence import declared
from harness.records.results import Estimate
from harness.records.schema import Facts, Metric, Record, Status, WorkerFacts
from harness.stats import StatsError, within_run_interval
from harness.system.errors import JoulemarkError
from harness.system.locks import device_lock
from harness.timing.clocks import Clock
from harness.trial import span_energy
from harness.trial.evidence import all_zero, thin, timing_evidence
from harness.trial.measure import measure_span
from harness.trial.metrics import RankRun, summarise
from workloads.base import Units
from workloads.plugins import nearest
from workloads.unrun import advice, unrun

UNITS = ("samples", "tokens", "requests")
_NO_PLUGIN = "pytest-benchmark, which keeps them, is not installed or turned off"
_XDIST = "pytest-benchmark keeps none under pytest-xdist"
_Result = TypeVar("_Result")


class DeviceBenchmark:
    """Measures one function, or one workload, for one test."""

    def __init__(
        self, request: pytest.FixtureRequest, session: Session, device: Device, clock: Clock
    ) -> None:
        self._request = request
        self._session = session
        self._device = device
        self._clock = clock
        self.records: list[Record] = []
        """One for a function; one per replica for a workload."""
        self.measurement: timing.Measurement | None = None
        """The function's span; None for a workload, which ran in processes of its own."""

    @property
    def estimates(self) -> dict[str, Estimate]:
        """The metrics by id, each with its interval and validity; empty before anything was measured."""
        return trial_results(self.records)[0].estimates if self.records else {}

    def value(self, metric_id: str) -> float:
        """Return a metric's value. Where it is not known, the rest of the test is skipped with the reason.

        So is a test in which `--benchmark-disable` let nothing be measured. An id that this test has no
        metric of fails it.
        """
        if not self.records and self._is_off():
            pytest.skip("benchmarks are turned off, so that there is no value")
        estimates = self.estimates
        if metric_id not in estimates:
            hint = nearest(metric_id, estimates)
            pytest.fail(f"device_benchmark.value: this test has no metric {metric_id!r}{hint}", pytrace=False)
        found = estimates[metric_id]
        if found.value is None:
            pytest.skip(
                f"{metric_id} is {found.validity}: {'; '.join(found.reasons) or 'no reason was recorded'}"
            )
        return found.value

    def __call__(
        self,
        fn: Callable[..., _Result],
        *args: Any,
        items: int | None = None,
        unit: str = "samples",
        **kwargs: Any,
    ) -> _Result:
        """Measure `fn(*args, **kwargs)` and return what its first call returned.

        Args:
            fn: what to measure; the device is waited for before and after the span.
            *args: for `fn`.
            items: what one call processes; without it there is no throughput.
            unit: `samples`, `tokens` or `requests`.
            **kwargs: for `fn`.

        Raises:
            ValueError: a wrong unit, or the fixture was used before in this test.
        """
        self._check(items, unit)
        if self._is_off():
            return self._run(fn, *args, **kwargs)
        config = self._config()
        began = time.monotonic()
        try:
            with device_lock(f"{self._device.kind}-{self._device.index}"):
                self._device.reset_peak_memory()
                first_ns = self._clock.now_ns()
                result = self._run(fn, *args, **kwargs)
                self._device.synchronize()
                first_ns = self._clock.now_ns() - first_ns
                span = measure_span(
                    config, self._device, lambda _index, _mark: fn(*args, **kwargs), clock=self._clock
                )
                memory, used = self._device.memory(), span.energy()
        except (Exception, pytest.fail.Exception) as error:
            self._keep(config, items, unit, began, "crashed", reason=_why(error))
            raise
        measured = span.timing
        units = Units(**({"samples": 0} | ({unit: items} if items is not None else {})))
        metrics = summarise(
            [RankRun(measured, [units], memory)],
            peak=Peak(None, reason="a function counts no model FLOPs"),
            energy=used.use(),
            rank_metrics={"time.first_iteration": first_ns / 1e9},
        )
        self.measurement = measured
        evidence = {
            **timing_evidence(measured),
            **all_zero(measured, (), span_energy.zero_metrics(span.window)),
            **span.device_state,
            **used.evidence(),
            **declared(__name__, {"device": self._device.facts()}),
        }
        self._session.note_host(measured.contention)
        series = {"iteration_s": tuple(thin(measured.durations_ns / 1e9 / measured.group))}
        self._keep(config, items, unit, began, "ok", metrics=metrics, evidence=evidence, series=series)
        self._save((measured.durations_ns / 1e9).tolist(), measured.group)
        return result

    def _run(self, fn: Callable[..., _Result], *args: Any, **kwargs: Any) -> _Result:
        result = fn(*args, **kwargs)
        if (what := unrun(result)) is not None:
            pytest.fail(advice(what, getattr(fn, "__name__", type(fn).__name__)), pytrace=False)
        return result

    def _check(self, items: int | None, unit: str) -> None:
        if self.records:
            raise ValueError("device_benchmark measures once in a test; parametrise it instead")
        if unit not in UNITS:
            raise ValueError(f"unit={unit!r}: it is one of {', '.join(UNITS)}")
        if items is not None and items < 1:
            raise ValueError(f"items={items}: a call processes at least one")

    def workload(self, workload: str, *, overrides: Sequence[str] = (), **named: str) -> None:
        """Measure a workload of the catalogue, each replica in a process of its own.

        Args:
            workload: its name.
            overrides: further Hydra overrides.
            **named: `mode`, `size` and `precision`; `device` is opened already.
        """
        from harness.execution.attempt import Attempts
        from harness.planning.plan import make_plan

        if self._is_off():
            return
        m, session = self._session.measure, self._session
        words = [
            f"workload={workload}",
            *(f"{key}={named[word]}" for word, key in SETTINGS.items() if word in named),
            *(f"device={self._device.kind}", f"device.index={self._device.index}"),
            *(f"measure={m.preset}", f"power.sensor={session.power.sensor}"),
            *(f"run.name={session.sweep}", *overrides),
        ]
        try:
            plan = make_plan(words)
        except JoulemarkError as error:
            pytest.fail(f"{NAME} marker: {error}", pytrace=False)
        if len(plan.trials) != 1:
            pytest.fail(f"{NAME} marker: one test is one trial, not {len(plan.trials)}", pytrace=False)
        (trial,) = plan.trials
        if trial.refusal is not None:
            pytest.skip(trial.refusal)
        attempts = Attempts(session.sweep, session.store, session.identity)
        for replica in range(trial.config.measure.replicas):
            record = attempts.run(session.workers, trial, replica, 0)
            self.records.append(record)
            if record.status != "ok":
                reason = f"{record.status} in phase {record.phase}: {record.reason}"
                pytest.fail(f"{trial.label}: {reason}", pytrace=False)
        points = [point for record in self.records for point in record.series["iteration_s"]]
        iterations = sum(int(record.evidence["iterations"]) for record in self.records)
        # A record keeps means of consecutive iterations where it has more than a few hundred.
        together = max(1, round(iterations / len(points)))
        self._save([point * together for point in points], together)

    def _benchmark(self) -> Any:
        """Return pytest-benchmark's fixture, or None where it is not installed."""
        if not self._request.config.pluginmanager.hasplugin("benchmark"):
            return None
        return self._request.getfixturevalue("benchmark")

    def _is_off(self) -> bool:
        """Return whether the user turned benchmarks off; pytest-xdist does too, where we still measure."""
        benchmark = self._benchmark()
        return benchmark is not None and benchmark.disabled and self._session.worker is None

    def _config(self) -> Config:
        return Config(
            workload=WorkloadConfig(name="pytest", mode="call", size="given"),
            device=DeviceConfig(
                kind=self._device.kind, index=self._device.index, threads=self._device.threads
            ),
            measure=self._session.measure,
            power=self._session.power,
        )

    def _keep(
        self,
        config: Config,
        items: int | None,
        unit: str,
        began: float,
        status: Status,
        *,
        reason: str | None = None,
        metrics: Sequence[Metric] = (),
        evidence: Facts | None = None,
        series: dict[str, tuple[float, ...]] | None = None,
    ) -> None:
        """Make the record; it is written where the user asked for records."""
        identity, node = self._session.identity, self._request.node.nodeid
        facts = config.model_dump(mode="json") | {"test": node, "items": items, "unit": unit}
        work_id = _digest(node, items, unit, self._device.kind)
        trial_id = _digest(work_id, facts["measure"], facts["power"])
        record = Record(
            sweep=self._session.sweep,
            label=node,
            work_id=work_id,
            trial_id=trial_id,
            machine_id=identity.machine_id,
            code_id=identity.code_id,
            replica=0,
            attempt=self._session.store.next_attempt(self._session.sweep, identity.machine_id, trial_id, 0),
            status=status,
            phase="done" if status == "ok" else "measure",
            reason=reason,
            started_at=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            wall_s=time.monotonic() - began,
            config=facts,
            machine=identity.machine,
            code=identity.code,
            metrics=tuple(metrics),
            evidence=evidence or {},
            series=series or {},
            worker=WorkerFacts(kind="none"),
        )
        self.records.append(record)
        self._session.write(record)

    def _save(self, durations_s: Sequence[float], iterations: int) -> None:
        """Give pytest-benchmark the device times, and beside them what it has no field for."""
        self._session.measured += 1
        benchmark = self._benchmark()
        if benchmark is None:
            self._session.statistics_lost = _NO_PLUGIN
            return
        if benchmark.disabled:
            self._session.statistics_lost = _XDIST
            benchmark.pedantic(lambda: None)  # else it warns that nothing used it
            return
        from harness.pytest_plugin.virtual import save

        save(self._request.node, benchmark, durations_s, iterations)
        benchmark.extra_info["joulemark"] = self._extra()

    def _extra(self) -> dict[str, Any]:
        record = self.records[-1]
        metrics = {name: _plain(e) for name, e in self.estimates.items()}
        if self.measurement is not None:
            metrics["iteration.mean"] |= _within_run(self.measurement)
        return {
            "metrics": metrics,
            "device": f"{self._device.kind}:{self._device.index}",
            "clock": record.evidence["clock"],
            "preset": self._session.measure.preset,
            "replicas": len(self.records),
            "work_id": record.work_id,
            "machine_id": record.machine_id,
            "code_id": record.code_id,
            "machine": record.machine,
        }


def _why(error: BaseException) -> str:
    return kind_and_words(error) if isinstance(error, Exception) else str(error)


def _plain(estimate: Estimate) -> dict[str, Any]:
    """Return an estimate as JSON values, without what the metric table says anyway."""
    return {k: v for k, v in estimate._asdict().items() if k not in {"metric_id", "title"}}


def _within_run(measurement: timing.Measurement) -> dict[str, Any]:
    """Return the interval that one process can give, of its batch means; it is labelled `within-run only`."""
    try:
        found = within_run_interval(measurement.durations_ns / measurement.group / 1e9)
    except StatsError:
        return {}
    return {"low": found.low, "high": found.high, "level": found.level}


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
