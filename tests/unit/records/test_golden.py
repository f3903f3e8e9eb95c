"""Records written before evidence was declared: still readable, and judged as they were.

`tests/golden` was made by running commit c26ec0a: records of several kinds, two with planted evidence,
and that commit's verdict on every metric.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.records.codec import parse, serialise
from harness.records.estimates import trial_results
from harness.records.validity import RULES, judge

GOLDEN = Path(__file__).parents[2] / "golden"
VERDICTS = json.loads((GOLDEN / "verdicts.json").read_text())


@pytest.mark.parametrize("name", sorted(VERDICTS))
def test_a_record_of_before_is_read_and_judged_as_it_was(name: str) -> None:
    """Every metric keeps its validity and its reasons, in their order."""
    record = parse((GOLDEN / "records" / f"{name}.json").read_bytes())
    assert {
        metric: [verdict, [*reasons]] for metric, (verdict, reasons) in judge(record).items()
    } == VERDICTS[name]
    assert parse(serialise(record)) == record
    assert trial_results([record])[0].status == record.status


def test_the_golden_verdicts_name_most_rules() -> None:
    """The planted record fires the rules that had a producer then, the renamed key's among them."""
    fired = {
        reason for verdicts in VERDICTS.values() for _, reasons in verdicts.values() for reason in reasons
    }
    silent = {"not_compiled", "cotenant", "clock_low", "all_zero", "few_for_p90", "few_for_p99"}
    later = {"host_contended", "host_overloaded", "cpu_throttled", "cpu_throttled_hard", "cpus_changed"}
    later |= {"counter_jumped", "sensor_implausible", "stalled"}
    later |= {"few_requests", "requests_failed", "saturated", "mostly_unanswered", "client_bound"}
    later |= {"loadgen_invalid", "loadgen_disagrees"}
    assert set(RULES) - fired <= silent | later
    assert "recompiled" in fired
