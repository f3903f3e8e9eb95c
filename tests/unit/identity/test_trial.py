"""Who a trial is: which fields count, and that the digest itself never changes unnoticed."""

from __future__ import annotations

import pytest

from harness.config.models import Config
from harness.identity.trial import digest, recorded_trial_id, work_id


def config(workload=None, **sections) -> Config:
    """Return a configuration of GPT on the CPU."""
    base = {"workload": {"name": "gpt", **(workload or {})}, "device": {"kind": "cpu"}}
    return Config.model_validate(base | sections)


def trial_id(work, config: Config) -> str:
    """Identify a trial as records keep it."""
    return recorded_trial_id(work, config.model_dump(mode="json"))


SIZE = {"batch": 4, "seq": 64}
WORK = work_id(config(), SIZE, None)


def test_the_digest_is_of_canonical_json():
    """Order does not count, values do; the sha256 is known from another implementation."""
    assert digest({"b": 1, "a": [True, None]}) == digest({"a": [True, None], "b": 1})
    # printf '{"a":[true,null],"b":1}' | sha256sum
    assert digest({"b": 1, "a": [True, None]}) == "51705a2c9eb3e7e4"
    with pytest.raises(ValueError, match="JSON compliant"):
        digest({"a": float("nan")})


@pytest.mark.parametrize(
    "other",
    [
        work_id(config(), SIZE | {"batch": 8}, None),
        work_id(config(), SIZE, "d" * 64),
        work_id(config({"mode": "decode"}), SIZE, None),
        work_id(config({"lr": 0.1}), SIZE, None),
        work_id(config({"source_sha256": "a" * 64, "factory": "m:f"}), SIZE, None),
        work_id(config(seed=1), SIZE, None),
        work_id(config(precision={"name": "bf16"}), SIZE, None),
        work_id(config(parallel={"name": "ddp", "ranks": 2}), SIZE, None),
        work_id(config(device={"kind": "cuda"}), SIZE, None),
        work_id(config(device={"kind": "cpu", "threads": 1}), SIZE, None),
    ],
)
def test_what_is_computed_is_the_work(other):
    """Each of these computes something else, or somewhere else."""
    assert other != WORK


@pytest.mark.parametrize(
    "same",
    [
        config({"batch": 4}),
        config({"program": "/somewhere/model.pt2"}),
        config(device={"kind": "cpu", "index": 0}),
        config(parallel={"scaling": "weak"}),
        config(measure={"seconds": 9}),
        config(run={"name": "other", "results": "/data"}),
        config(report={"title": "T"}),
    ],
)
def test_how_it_is_asked_for_and_measured_is_not(same):
    """A size given by name and the same by default, paths, run control: one work."""
    assert work_id(same, SIZE, None) == WORK


def test_a_source_counts_by_its_contents_and_its_function():
    """Two functions of one file are two works; the file may lie anywhere."""
    digests = "a" * 64
    one, other = (
        work_id(config({"name": "user", "source_sha256": digests, "factory": f}), SIZE, None)
        for f in ("m:f", "m:g")
    )
    assert one != other


def test_the_trial_is_the_work_and_how_it_is_measured():
    """Run control, price and report are no part of it."""
    plain = trial_id(WORK, config())
    assert trial_id(WORK, config(run={"attempts": 3}, price={"name": "eu"}, report={"title": "T"})) == plain
    assert trial_id(WORK, config(measure={"seconds": 9})) != plain
    assert trial_id(WORK, config(power={"sensor": "none"})) != plain
    assert trial_id("0" * 16, config()) != plain
