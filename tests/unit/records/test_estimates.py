from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness.records.estimates import trial_results
from harness.records.results import Estimate
from harness.records.schema import Metric

T_975_1 = 12.706204736432095
T_975_2 = 4.302652729911275


def _estimates(make_record: Any, metric_id: str, values: list[float | None], **fields: Any) -> Estimate:
    records = [make_record({metric_id: value}, replica=i, **fields) for i, value in enumerate(values)]
    (result,) = trial_results(records)
    return result.estimates[metric_id]


def test_a_log_metric_is_the_geometric_mean_with_a_t_interval(make_record: Any) -> None:
    """1, 2 and 4: the mean of logs is ln 2, their deviation ln 2, so the interval is 2·2^(±t/√3)."""
    estimate = _estimates(make_record, "throughput.samples", [1.0, 2.0, 4.0])
    assert estimate.value == pytest.approx(2.0)
    assert estimate.low == pytest.approx(2.0 * 2.0 ** (-T_975_2 / math.sqrt(3)))
    assert estimate.high == pytest.approx(2.0 * 2.0 ** (T_975_2 / math.sqrt(3)))
    assert (estimate.n, estimate.level, estimate.unit) == (3, 0.95, "samples/s")


def test_a_linear_metric_is_the_mean_with_a_t_interval(make_record: Any) -> None:
    """1, 2 and 3: mean 2, deviation 1, half-width t/√3; zero and negative values are values."""
    estimate = _estimates(make_record, "loss.last", [1.0, 2.0, 3.0])
    assert estimate.value == pytest.approx(2.0)
    assert estimate.high == pytest.approx(2.0 + T_975_2 / math.sqrt(3))
    assert _estimates(make_record, "power.idle", [-1.0, 0.0, 1.0]).value == pytest.approx(0.0)


def test_a_peak_is_the_largest_and_has_no_interval(make_record: Any) -> None:
    """The peak over replicas is their maximum, valid with one replica as with many."""
    estimate = _estimates(make_record, "memory.peak_rss", [10.0, 30.0, 20.0])
    assert (estimate.value, estimate.low, estimate.high, estimate.level) == (30.0, None, None, None)
    assert estimate.validity == "valid"
    assert _estimates(make_record, "memory.peak_rss", [10.0]).validity == "valid"


def test_counts_must_agree(make_record: Any) -> None:
    """Equal counts are the value; different ones are invalid, with the reason."""
    same = _estimates(make_record, "model.parameters", [7.0, 7.0])
    assert (same.value, same.validity, same.reasons) == (7.0, "valid", ())
    apart = _estimates(make_record, "model.parameters", [7.0, 8.0])
    assert (apart.validity, apart.reasons) == ("invalid", ("replicas_disagree",))


def test_one_replica_is_labelled_within_run_only(make_record: Any) -> None:
    """One process gives its value without an interval, flagged as what it is."""
    estimate = _estimates(make_record, "throughput.samples", [5.0])
    assert (estimate.value, estimate.low, estimate.high, estimate.level) == (5.0, None, None, None)
    assert (estimate.validity, estimate.reasons) == ("flagged", ("within-run only",))


def test_one_replica_has_the_interval_of_its_batch_means(make_record: Any) -> None:
    """Ten batches of its iterations give time and rate an interval, still labelled within-run only."""
    times = [0.01 * (1 + 0.01 * (batch % 2)) for batch in range(10) for _ in range(5)]
    metrics = {"iteration.mean": 0.01005, "throughput.samples": 99.5, "latency.p50": 0.01}
    record = make_record(metrics, series={"iteration_s": times})
    found = trial_results([record])[0].estimates
    logs = np.log(times[::5])
    half = 2.2621572 * logs.std(ddof=1) / math.sqrt(10)
    time, rate = found["iteration.mean"], found["throughput.samples"]
    assert time.high / time.value == pytest.approx(math.exp(half))
    assert rate.value / rate.low == pytest.approx(math.exp(half))
    assert (time.reasons, rate.reasons) == (("within-run only",),) * 2
    assert found["latency.p50"].low is None


def test_seeded_losses_that_repeat_have_no_interval(make_record: Any) -> None:
    """Equal losses are valid, but an interval of zero width would claim what nobody measured."""
    estimate = _estimates(make_record, "loss.first", [2.5, 2.5, 2.5])
    assert (estimate.value, estimate.low, estimate.high, estimate.validity) == (2.5, None, None, "valid")


def test_more_replicas_than_planned_take_the_spread_of_the_pilot(make_record: Any) -> None:
    """Four replicas of a plan for two: s and t come from the first two, √n from all (Stein)."""
    config = {"measure": {"replicas": 2}, "device": {"kind": "cpu"}}
    estimate = _estimates(make_record, "throughput.samples", [1.0, 2.0, 4.0, 8.0], config=config)
    spread = math.log(2) / math.sqrt(2)
    centre = 1.5 * math.log(2)
    assert estimate.value == pytest.approx(math.exp(centre))
    assert estimate.high == pytest.approx(math.exp(centre + T_975_1 * spread / 2))


def test_replicas_are_put_in_order_before_the_pilot_is_taken(make_record: Any) -> None:
    """The order of the files on the disk changes nothing."""
    config = {"measure": {"replicas": 2}}
    records = [
        make_record({"throughput.samples": v}, replica=i, config=config)
        for i, v in enumerate([1.0, 2.0, 4.0, 8.0])
    ]
    forward, backward = trial_results(records), trial_results(reversed(records))
    assert forward[0].estimates == backward[0].estimates


@pytest.mark.parametrize(
    ("kind", "spread", "missed"),
    [("cpu", 0.04, False), ("cpu", 0.06, True), ("cuda", 0.009, False), ("cuda", 0.011, True)],
)
def test_the_planned_width_is_checked(make_record: Any, kind: str, spread: float, missed: bool) -> None:
    """A relative half-width above 5 % on a CPU, or 1 % on an accelerator, is flagged; below it is not."""
    step = math.log1p(spread) * math.sqrt(3) / T_975_2
    config = {
        "measure": {"replicas": 3, "target_cpu": 0.05, "target_accelerator": 0.01},
        "device": {"kind": kind},
    }
    values: list[float | None] = [math.exp(-step), 1.0, math.exp(step)]
    estimate = _estimates(make_record, "iteration.mean", values, config=config)
    assert (estimate.reasons == ("target_missed",)) is missed
    assert estimate.validity == ("flagged" if missed else "valid")
    assert _estimates(make_record, "time.build", values, config=config).validity == "valid"


def test_a_metric_that_no_replica_has_is_unavailable_with_its_reason(make_record: Any) -> None:
    """No sensor: no value, no interval, and the record's own words."""
    estimate = _estimates(make_record, "power.mean", [None, None])
    assert (estimate.value, estimate.n, estimate.validity) == (None, 0, "unavailable")
    assert estimate.reasons == ("no sensor",)


def test_a_value_missing_in_some_replicas_is_told(make_record: Any) -> None:
    """The mean is over the replicas that have it, n says how many, and the estimate is flagged."""
    estimate = _estimates(make_record, "throughput.samples", [2.0, None, 2.1])
    assert (estimate.n, estimate.validity) == (2, "flagged")
    assert "no value in 1 of 3 replicas" in estimate.reasons
    assert estimate.value == pytest.approx(math.sqrt(2.0 * 2.1))


def test_a_fact_that_the_first_replica_tells_needs_no_other(make_record: Any) -> None:
    """The error of a configuration is the same in every process: one says it, and nothing is flagged."""
    records = [make_record({"quality.sqnr": 31.5}, replica=0), make_record({}, replica=1)]
    estimate = trial_results(records)[0].estimates["quality.sqnr"]
    assert (estimate.value, estimate.validity, estimate.reasons) == (31.5, "valid", ())


def test_zero_is_no_value_of_a_log_metric(make_record: Any) -> None:
    """A throughput of zero voids the estimate; nothing is left out to save it."""
    estimate = _estimates(make_record, "throughput.samples", [2.0, 0.0])
    assert (estimate.validity, estimate.low, estimate.reasons[0]) == ("invalid", None, "zero_value")


def test_values_too_far_apart_for_an_interval_do_not_raise(make_record: Any) -> None:
    """Absurd records give an invalid estimate."""
    estimate = _estimates(make_record, "throughput.samples", [1e-100, 1e100])
    assert (estimate.validity, estimate.reasons) == ("invalid", ("interval_not_finite",))


def test_the_worst_replica_decides_and_reasons_are_named_once(make_record: Any) -> None:
    """One wrong output voids the trial's metric; other replicas' flags stay beside it."""
    evidence: list[dict[str, Any]] = [{"steady": False}, {"output_ok": False}, {"steady": False}]
    records = [
        make_record({"throughput.samples": 1.0 + i / 100}, replica=i, evidence=e)
        for i, e in enumerate(evidence)
    ]
    estimate = trial_results(records)[0].estimates["throughput.samples"]
    assert estimate.validity == "invalid"
    assert estimate.reasons.count("not_steady") == 1
    assert "output_wrong" in estimate.reasons


def test_groups_are_kept_apart_by_sweep_trial_machine_and_code(make_record: Any) -> None:
    """Different code is another result, not another replica."""
    changes: list[dict[str, str]] = [
        {}, {"sweep": "other"}, {"trial_id": "1" * 64}, {"machine_id": "2" * 64}, {"code_id": "3" * 64}
    ]  # fmt: skip
    results = trial_results([make_record({"throughput.samples": 1.0}, **change) for change in changes])
    assert len(results) == 5
    assert [r.replicas_ok for r in results] == [1] * 5
    assert results[4].code_id == "3" * 64


def test_failed_attempts_are_shown_and_do_not_count(make_record: Any) -> None:
    """A replica that failed once and then worked counts once, and the trial is ok."""
    records = [
        make_record(replica=0, attempt=0, status="crashed", phase="measure", reason="SIGSEGV"),
        make_record({"throughput.samples": 2.0}, replica=0, attempt=1),
        make_record({"throughput.samples": 8.0}, replica=0, attempt=2),
        make_record({"throughput.samples": 8.0}, replica=1, attempt=0),
        make_record(replica=2, attempt=0, status="hung", phase="measure", reason="timeout"),
    ]
    (result,) = trial_results(records)
    assert (result.status, result.phase, result.reason, result.replicas_ok) == ("ok", "done", None, 2)
    assert result.estimates["throughput.samples"].value == pytest.approx(8.0)
    assert [(r.replica, r.attempt) for r in result.records] == [(0, 0), (0, 1), (0, 2), (1, 0), (2, 0)]


def test_a_trial_that_never_worked_tells_its_last_attempt(make_record: Any) -> None:
    """Without a good replica the latest attempt's status and reason stand; nothing is estimated."""
    records = [
        make_record(
            replica=1, status="oom", phase="build", reason="later", started_at="2025-01-02T00:00:00Z"
        ),
        make_record(replica=2, status="hung", phase="warmup", reason="first"),
    ]
    (result,) = trial_results(records)
    assert (result.status, result.phase, result.reason) == ("oom", "build", "later")
    assert (result.replicas_ok, result.estimates) == (0, {})


def test_estimates_follow_the_table_and_foreign_metrics_come_last(make_record: Any) -> None:
    """An id that the table does not know is kept, as a plain mean under its own name."""
    foreign = Metric(id="plugin.score", value=3.0, unit="1", direction="higher", estimator="x")
    records = []
    for i in range(2):
        record = make_record({"loss.last": 1.0, "throughput.samples": 2.0}, replica=i)
        metrics = (replace(foreign, value=3.0 + 2 * i), *record.metrics)
        records.append(record.model_copy(update={"metrics": metrics}))
    estimates = trial_results(records)[0].estimates
    assert list(estimates) == ["throughput.samples", "loss.last", "plugin.score"]
    assert (estimates["plugin.score"].value, estimates["plugin.score"].title) == (4.0, "plugin.score")


@pytest.mark.parametrize(
    "config", [{}, {"measure": {}}, {"measure": {"replicas": "x", "target_cpu": "wide"}}]
)
def test_a_strange_configuration_does_not_raise(make_record: Any, config: dict[str, Any]) -> None:
    """Records are untrusted: a configuration of another shape only means that no target is known."""
    estimate = _estimates(make_record, "throughput.samples", [1.0, 2.0], config=config)
    assert estimate.validity == "valid"
