"""What the report says of the soak: what the records hold, not what was configured."""

from types import SimpleNamespace

import pytest

from harness.report.sections.method import _own_models, _soak

NOT_SOAKED = {"done": False, "reason": "a CPU is not soaked"}
STEADY = {"done": True, "steady": True, "seconds": 45.0}


def trials(*soaks):
    """Make trials of one record each."""
    records = [SimpleNamespace(evidence={} if s is None else {"soak": s}) for s in soaks]
    return [SimpleNamespace(result=SimpleNamespace(records=[r])) for r in records]


@pytest.mark.parametrize(
    ("soaks", "said"),
    [
        ([NOT_SOAKED, NOT_SOAKED], "None before the sweep: a CPU is not soaked."),
        ([None], "None before the sweep is recorded."),
        ([STEADY], "until its speed was steady."),
        ([STEADY | {"steady": False}, STEADY], "its speed did not become steady."),
        ([STEADY, NOT_SOAKED], "Not so where a CPU is not soaked."),
        ([{"done": True, "seconds": "long"}], "did not become steady"),
    ],
)
def test_the_soak_is_told_from_the_records(soaks, said):
    """Warmed and steady, warmed and not, not warmed with the reason, and records that say nothing."""
    assert said in _soak(trials(*soaks))


def test_own_models_are_named_with_the_digest_of_what_was_run():
    """Two trials of one model are said once; the catalogue's models not at all."""
    own = {"factory": "nets:build", "program": None, "source_sha256": "ab" * 32}
    configs = [{"workload": w} for w in (own, own, {"name": "gpt", "source_sha256": None})]
    told = _own_models([SimpleNamespace(result=SimpleNamespace(config=config)) for config in configs])
    assert told == f"nets:build is sha256 {'ab' * 32}."
    assert not _own_models([])
