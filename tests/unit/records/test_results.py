"""What a trial's result tells of its records and its configuration."""

from __future__ import annotations

from harness.records.estimates import trial_results
from harness.records.results import config_columns, setting


def test_a_replica_measured_again_counts_once_by_its_last_good_attempt(make_record):
    """Attempts that failed, before or after it, do not count."""
    attempts = [
        make_record({"iteration.mean": 1.0}),
        make_record({"iteration.mean": 2.0}, attempt=1),
        make_record(attempt=2, status="crashed", phase="build", reason="killed"),
        make_record({"iteration.mean": 3.0}, replica=1),
        make_record(replica=2, status="oom", phase="build", reason="out of memory"),
    ]
    (result,) = trial_results(reversed(attempts))
    assert [(r.replica, r.attempt) for r in result.replicas()] == [(0, 1), (1, 0)]
    assert result.values("iteration.mean") == (2.0, 3.0)
    assert result.replicas_ok == 2


def test_settings_are_text_or_nothing(make_record):
    """A foreign or older record may hold anything."""
    config = make_record().config | {"precision": "bf16", "device": {"kind": 3}, "compress": {}}
    assert setting(config, "workload", "name") == "gpt"
    assert [setting(config, *where) for where in (("precision", "name"), ("device", "kind"))] == [None, None]
    columns = config_columns(config)
    assert (columns["mode"], columns["size"], columns["parallel"], columns["device"]) == (
        *("train", "tiny"),
        *(None, None),
    )
