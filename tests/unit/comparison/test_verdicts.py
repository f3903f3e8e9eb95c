"""Which metrics are compared, and when one cannot be."""

from __future__ import annotations

from dataclasses import replace

from harness.comparison.verdicts import DIFFERENT_WORK, compared, verdicts
from harness.records.metrics import make
from harness.stats import compare


def lines(base, head):
    """Compare paired records; lines by metric."""
    return {line.metric_id: line for line in verdicts(base, head, compare, paired=True)}


def test_more_items_in_an_iteration_make_throughput_the_headline(record):
    """An iteration of twice the batch is not a slower iteration: its time is not compared."""
    base = [record(1.0, replica=i) for i in range(6)]
    head = [record(1.5, replica=i, items=2.0) for i in range(6)]
    assert compared(base, head) == ["throughput.samples", "memory.peak_rss", "energy.sample"]
    assert lines(base, head)["throughput.samples"].label == "better"


def test_what_was_served_is_compared_by_its_requests(record):
    """An engine's step is no unit of work: there is no iteration time, and its latencies are compared."""
    served = (make("throughput.tokens", 100.0), make("latency.ttft", 0.1), make("memory.peak_rss", 1e6))
    records = [record(1.0, replica=i).model_copy(update={"metrics": served}) for i in range(6)]
    assert compared(records, records) == [
        "throughput.tokens", "latency.ttft", "memory.peak_rss", "energy.token",
    ]  # fmt: skip


def test_an_invalid_process_leaves_no_verdict(record):
    """Wrong outputs void every number: the line says why instead of comparing."""
    base = [record(1.0, replica=i) for i in range(6)]
    head = [record(1.0, replica=i, evidence={"output_ok": i != 3}) for i in range(6)]
    found = lines(base, head)["throughput.samples"]
    assert found.label == "unavailable"
    assert found.reason == "The outputs failed their check in 1 of 12 processes"


def test_flags_of_the_records_stand_beside_the_verdict(record):
    """A drift in any process is named."""
    base = [record(1.0 + i / 1e3, replica=i, evidence={"drift": i == 2}) for i in range(6)]
    head = [record(1.0 + i / 1e3, replica=i) for i in range(6)]
    assert "drift" in lines(base, head)["throughput.samples"].flags


def test_another_definition_of_a_metric_is_not_compared(record):
    """Numbers that mean something else are no pair."""
    base = [record(1.0, replica=i) for i in range(6)]
    old = [replace(make("throughput.samples", 1.0), semantics_version=9)]
    head = [r.model_copy(update={"metrics": (*old, *r.metrics[1:])}) for r in base]
    assert "another definition" in lines(base, head)["throughput.samples"].reason


def test_a_plain_line_is_json_with_unit_and_reason(record):
    """What programs read has the metric, its unit, the effect, and a reason where there is no verdict."""
    base = [record(1.0 + i / 1e3, replica=i) for i in range(6)]
    plain = {i: line.plain() for i, line in lines(base, base).items()}
    assert plain["throughput.samples"]["unit"] == "samples/s"
    assert plain["throughput.samples"]["effect"] == 0.0
    assert plain["energy.sample"]["label"] == "unavailable"
    assert plain["energy.sample"]["reason"] == "no sensor: scripted"


def test_different_work_is_compared_with_a_flag(record):
    """A transformer against a convolution says nothing of how they are run; a batch of another size does."""
    base = [record(config={"workload": {"name": "gpt", "mode": "train", "batch": 1}}) for _ in range(6)]
    other = [record(config={"workload": {"name": "vit", "mode": "train"}}) for _ in range(6)]
    larger = [record(config={"workload": {"name": "gpt", "mode": "train", "batch": 2}}) for _ in range(6)]
    assert all(DIFFERENT_WORK in line.flags for line in lines(base, other).values() if line.comparison)
    assert not any(DIFFERENT_WORK in line.flags for line in lines(base, larger).values())


def test_a_throughput_of_zero_is_no_verdict_and_no_crash(record):
    """Records that hold nothing measured are answered line by line."""
    base = [record(items=0.0, replica=i) for i in range(6)]
    assert lines(base, [record(replica=i) for i in range(6)])["throughput.samples"].label == "unavailable"
