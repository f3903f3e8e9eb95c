from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

import pytest

from harness.records.evidence import declared
from harness.records.metrics import METRICS
from harness.records.validity import RULES, describe, judge

EVERY = dict.fromkeys(METRICS, 1.0)


def _ids(*prefixes: str) -> set[str]:
    return {metric_id for metric_id in METRICS if metric_id.startswith(prefixes)}


LATENCY = _ids("latency.")
SERVED = _ids("latency.", "goodput.", "interactivity")
TIME = _ids("throughput.", "iteration.", "flops.rate", "mfu") | SERVED
ENERGY = _ids("energy.", "efficiency.", "power.mean", "power.peak")
SHARED = (TIME | ENERGY) - {"iteration.mean.clean"}
APART = {"iteration.gated", "iteration.cold"}

# rule, evidence that fires it, evidence beside it that does not, severity, metrics touched
CASES: list[tuple[str, dict[str, Any], dict[str, Any], str, set[str]]] = [
    ("not_steady", {"steady": False}, {"steady": True}, "flagged", TIME | ENERGY),
    ("drift", {"drift": True}, {"drift": False}, "flagged", TIME | ENERGY),
    ("drift_unknown", {"timing_flags": ["drift_unknown"]}, {"timing_flags": []}, "flagged", TIME | ENERGY),
    ("stalled", {"timing_flags": ["stalled"]}, {"timing_flags": []}, "flagged", TIME | ENERGY),
    ("buffer_full", {"timing_flags": ["buffer_full"]}, {"timing_flags": ["drift"]}, "flagged", TIME | ENERGY),
    ("grouped", {"timing_flags": ["grouped"]}, {"timing_flags": []}, "flagged", _ids("latency.p")),
    ("throttled", {"throttled": True}, {"throttled": False}, "flagged", TIME | ENERGY),
    ("sm_clock_fell", {"sm_throttled": True}, {"sm_throttled": False}, "flagged", TIME | ENERGY),
    ("clock_fell", {"clock_ratio": 0.96}, {"clock_ratio": 0.97}, "flagged", TIME | ENERGY),
    (
        "soak_not_steady",
        {"soak": {"done": True, "steady": False}},
        {"soak": {"done": False, "reason": "a CPU is not soaked"}},
        "flagged",
        TIME | ENERGY,
    ),
    ("clock_low", {"clock_below_request": True}, {"clock_below_request": False}, "flagged", TIME | ENERGY),
    (
        "ranks_beyond_cores",
        {"ranks_beyond_cores": True},
        {"ranks_beyond_cores": False},
        "flagged",
        TIME | ENERGY,
    ),
    (
        "not_compiled",
        {"compiled": "not compiled"},
        {"compiled": "compiled, 1 graph"},
        "flagged",
        TIME | ENERGY,
    ),
    (
        "compiled_in_part",
        {"compiled": "compiled, 8 graphs, then eager: compiled too often"},
        {"compiled": "compiled, 8 graphs"},
        "flagged",
        TIME | ENERGY,
    ),
    ("recompiled", {"recompiles_in_span": 1}, {"recompiles_in_span": 0}, "flagged", TIME | ENERGY),
    ("cotenant", {"cotenants": 1}, {"cotenants": 0}, "flagged", TIME | ENERGY),
    (
        "cpu_steal",
        {"steal_ratio": 0.026},
        {"steal_ratio": 0.025},
        "flagged",
        TIME - APART - {"iteration.mean.clean"},
    ),
    *(
        (rule, {"contention": fires}, {"contention": passes}, severity, SHARED)
        for rule, fires, passes, severity in (
            (
                "host_contended",
                {"delay_share": 0.021},
                {"delay_share": 0.02, "others_cpus": 0.1, "cpus": 2},
                "flagged",
            ),
            ("host_overloaded", {"delay_share": 0.76}, {"delay_share": 0.75}, "invalid"),
            ("cpu_throttled", {"throttled_share": 0.02}, {"throttled_share": None}, "flagged"),
            ("cpu_throttled_hard", {"throttled_share": 0.91}, {"throttled_share": 0.9}, "invalid"),
            ("cpus_changed", {"cpus_changed": True}, {"cpus_changed": None}, "flagged"),
        )
    ),
    ("timer_coarse", {"tick_ns": 1.1e7}, {"tick_ns": 1e7}, "flagged", LATENCY),
    ("few_samples", {"iterations": 2}, {"iterations": 3}, "flagged", TIME | ENERGY),
    ("few_for_p50", {"iterations": 5}, {"iterations": 6}, "flagged", {"latency.p50"}),
    ("few_for_p90", {"iterations": 35}, {"iterations": 36}, "flagged", {"latency.p90"}),
    ("few_for_p99", {"iterations": 367}, {"iterations": 368}, "flagged", {"latency.p99"}),
    ("few_requests", {"requests": {"answered": 5}}, {"requests": {"answered": 6}}, "flagged", SERVED),
    (
        "requests_failed",
        {"requests": {"answered": 9, "rejected": 1}},
        {"requests": {"answered": 10}},
        "flagged",
        SERVED,
    ),
    (
        "mostly_unanswered",
        {"requests": {"answered": 7, "reset": 3}},
        {"requests": {"answered": 10}},
        "invalid",
        SERVED | _ids("throughput."),
    ),
    (
        "client_bound",
        {"client": {"cpu_share": 0.95, "late_s": 0.0}},
        {"client": {"cpu_share": 0.5, "late_s": 0.003}},
        "invalid",
        SERVED | _ids("throughput."),
    ),
    (
        "loadgen_invalid",
        {"loadgen": {"valid": False}},
        {"loadgen": {"valid": True}},
        "flagged",
        SERVED | _ids("throughput."),
    ),
    (
        "loadgen_disagrees",
        {"loadgen": {"valid": True, "disagree": ["latency.ttft.p50"]}},
        {"loadgen": {"valid": True, "disagree": []}},
        "flagged",
        {"latency.ttft.p50"},
    ),
    ("saturated", {"saturated": True}, {"saturated": False}, "flagged", SERVED),
    ("output_wrong", {"output_ok": False}, {"output_ok": True}, "invalid", set(METRICS)),
    ("loss_not_finite", {"loss_finite": False}, {"loss_finite": True}, "invalid", set(METRICS)),
    ("all_zero", {"all_zero": ["power.mean"]}, {"all_zero": []}, "invalid", {"power.mean"}),
    ("sensor_gap", {"sensor_flags": ["sample_gap"]}, {"sensor_flags": []}, "flagged", ENERGY),
    ("sensor_error", {"sensor_flags": ["sampler_failed"]}, {"sensor_flags": []}, "flagged", ENERGY),
    ("sensor_coarse", {"sensor_flags": ["below_resolution"]}, {"sensor_flags": []}, "flagged", ENERGY),
    ("sensor_unknown", {"sensor_flags": ["update_period_unknown"]}, {"sensor_flags": []}, "flagged", ENERGY),
    ("sensor_aliased", {"sensor_flags": ["aliased"]}, {"sensor_flags": ["guards_differ"]}, "flagged", ENERGY),
    (
        "sensors_disagree",
        {"sensor_flags": ["sensors_disagree"]},
        {"sensor_flags": ["edges_unaligned", "averaged_gauge", "gain_uncalibrated"]},
        "flagged",
        ENERGY,
    ),
    ("sensors_conflict", {"sensor_flags": ["sensors_conflict"]}, {"sensor_flags": []}, "invalid", ENERGY),
    ("counter_reset", {"sensor_flags": ["counter_reset"]}, {"sensor_flags": []}, "invalid", ENERGY),
    ("counter_jumped", {"sensor_flags": ["wrap_unknown"]}, {"sensor_flags": []}, "invalid", ENERGY),
    ("sensor_implausible", {"sensor_flags": ["implausible"]}, {"sensor_flags": []}, "flagged", ENERGY),
    ("counter_stuck", {"sensor_flags": ["sensor_stuck"]}, {"sensor_flags": []}, "invalid", ENERGY),
    ("sensor_other", {"sensor_flags": ["haunted", {}]}, {"sensor_flags": []}, "flagged", ENERGY),
]


def _touched(verdicts: dict[str, Any], rule_id: str) -> set[str]:
    return {metric_id for metric_id, (_, reasons) in verdicts.items() if rule_id in reasons}


@pytest.mark.parametrize(
    ("rule_id", "fires", "passes", "severity", "metrics"),
    CASES,
    ids=[f"{place}-{case[0]}" for place, case in enumerate(CASES)],
)
def test_a_rule_fires_on_its_evidence_and_touches_its_metrics_only(
    make_record: Any,
    rule_id: str,
    fires: dict[str, Any],
    passes: dict[str, Any],
    severity: str,
    metrics: set[str],
) -> None:
    """On one side of the threshold exactly its metrics get its verdict, on the other side none does."""
    verdicts = judge(make_record(EVERY, evidence=fires))
    assert _touched(verdicts, rule_id) == metrics
    assert {verdicts[metric_id][0] for metric_id in metrics} == {severity}
    assert _touched(judge(make_record(EVERY, evidence=passes)), rule_id) == set()


def test_every_rule_has_a_case() -> None:
    """Their evidence is planted at its producers in tests/unit/trial/test_every_rule.py."""
    assert [case[0] for case in CASES] == list(RULES)


def test_evidence_that_is_absent_or_unknown_says_nothing(make_record: Any) -> None:
    """Without evidence, and with None for it, every metric with a value is valid."""
    unknown = {rule.reads: None for rule in RULES.values()}
    for evidence in ({}, unknown, {"something_else": True}):
        verdicts = judge(make_record(EVERY, evidence=evidence))
        assert set(verdicts.values()) == {("valid", ())}


@pytest.mark.parametrize(
    "evidence", [{"steady": 1}, {"steal_ratio": True}, {"sensor_flags": "sample_gap"}, {"cotenants": [1]}]
)
def test_evidence_of_the_wrong_kind_is_flagged_not_guessed(
    make_record: Any, evidence: dict[str, Any]
) -> None:
    """What a rule cannot read is itself a reason to doubt."""
    verdicts = judge(make_record({"power.mean": 1.0, "throughput.samples": 1.0}, evidence=evidence))
    assert "evidence_unreadable" in {reason for _, reasons in verdicts.values() for reason in reasons}


def test_a_missing_value_is_unavailable_whatever_the_evidence(make_record: Any) -> None:
    """No value: no verdict on it, but the record's own reason."""
    verdicts = judge(make_record({"power.mean": None}, evidence={"output_ok": False}))
    assert verdicts == {"power.mean": ("unavailable", ("no sensor",))}


def test_zero_voids_what_cannot_be_zero(make_record: Any) -> None:
    """A throughput of zero is invalid; a loss of zero is a loss."""
    verdicts = judge(make_record({"throughput.samples": 0.0, "loss.last": 0.0}))
    assert verdicts == {"throughput.samples": ("invalid", ("zero_value",)), "loss.last": ("valid", ())}


def test_another_definition_of_a_metric_is_flagged(make_record: Any) -> None:
    """A value under older semantics is not taken for a new one."""
    record = make_record({"mfu": 0.5})
    old = record.model_copy(update={"metrics": (replace(record.metrics[0], semantics_version=0),)})
    assert judge(old) == {"mfu": ("flagged", ("other_semantics",))}


def test_reasons_come_worst_first_and_read_as_sentences(make_record: Any) -> None:
    """What voids a metric stands before what flags it, and every reason can be spelled out."""
    verdict = judge(make_record({"mfu": 0.5}, evidence={"drift": True, "output_ok": False}))["mfu"]
    assert verdict == ("invalid", ("output_wrong", "drift"))
    assert all(describe(reason).endswith(".") for reason in (*RULES, "within-run only", "zero_value"))
    assert describe("no sensor") == "no sensor"


def test_what_is_not_declared_cannot_be_written() -> None:
    """Another key, another producer and another kind are faults of ours, and say so."""
    assert declared("harness.trial.evidence", {"drift": None, "steady": True}) == {
        "drift": None,
        "steady": True,
    }
    with pytest.raises(KeyError, match="not declared"):
        declared("harness.trial.evidence", {"mood": True})
    with pytest.raises(KeyError, match="not declared"):
        declared("harness.trial.replica", {"drift": True})
    with pytest.raises(TypeError, match="declared is number"):
        declared("harness.trial.evidence", {"iterations": True})


def test_a_rule_that_looks_at_the_metric_says_so() -> None:
    """The others are asked once for a record, whatever metrics it has."""
    looking = {rule.id for rule in RULES.values() if "metric" in inspect.signature(rule.fires).parameters}
    assert looking == {rule.id for rule in RULES.values() if rule.by_metric}
