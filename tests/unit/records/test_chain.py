"""The chain of records: each names the one before it and its files; the end is found in any order."""

import hashlib
from types import SimpleNamespace

import pytest

from harness.records.chain import Chain, last_of, plan_digest, positions

PLAN = {
    "sweep": "demo",
    "trials": [
        {"work_id": "w1", "trial_id": "t1", "refusal": None, "replicas": 3},
        {"work_id": "w2", "trial_id": "t2", "refusal": "no such device", "replicas": 3},
    ],
}


def sealed(own, previous, started_at="2025-01-01T00:00:00Z"):
    """Return what the chain reads of a record."""
    return SimpleNamespace(sha256=own, seal=SimpleNamespace(previous=previous), started_at=started_at)


def test_a_plans_digest_is_of_its_trials_and_refusals_alone():
    """More replicas or other words of a refusal are the same plan; another trial is not."""
    first, second = PLAN["trials"]
    same = PLAN | {"trials": [first | {"replicas": 9}, second | {"refusal": "other words"}], "later": 1}
    assert plan_digest(same) == plan_digest(PLAN)
    for trials in ([first], [second, first], [first | {"trial_id": "t3"}, second], [first, first]):
        assert plan_digest(PLAN | {"trials": trials}) != plan_digest(PLAN)
    assert plan_digest(PLAN | {"sweep": "other"}) != plan_digest(PLAN)


@pytest.mark.parametrize(
    "plan", [{}, {"sweep": "x"}, {"sweep": "x", "trials": [1]}, {"sweep": "x", "trials": 1}]
)
def test_what_is_no_plan_has_no_digest(plan):
    """One line."""
    with pytest.raises(ValueError, match=r"^not a plan: [^\n]*$"):
        plan_digest(plan)


def test_the_last_record_is_the_one_that_none_follows():
    """Whatever the order in which they were read; records without a seal are no part of it."""
    records = [sealed("a", None), sealed("b", "a"), sealed("c", "b")]
    plain = SimpleNamespace(sha256="x", seal=None, started_at="2099-01-01T00:00:00Z")
    assert last_of([records[2], plain, records[0], records[1]]) == "c"
    assert last_of([plain]) is None
    assert last_of([]) is None


def test_of_two_ends_the_newest_is_continued():
    """Two machines' copies of one sweep may have gone on apart from the same record."""
    records = [
        sealed("a", None),
        sealed("z", "a", "2025-01-02T00:00:00Z"),
        sealed("b", "a", "2025-01-03T00:00:00Z"),
    ]
    assert last_of(records) == "b"


def test_a_seal_lists_the_other_files_of_its_folder(tmp_path):
    """By sha256; neither the record itself, nor temporary files, links or folders."""
    (tmp_path / "log.txt").write_text("words")
    (tmp_path / "record.json").write_text("{}")
    (tmp_path / ".loop.parquet.tmp").write_text("torn")
    (tmp_path / "link.txt").symlink_to(tmp_path / "log.txt")
    (tmp_path / "folder").mkdir()
    seal = Chain("e" * 64).seal(tmp_path, None, None)
    assert seal.files == {"log.txt": hashlib.sha256(b"words").hexdigest()}
    assert Chain("e" * 64).seal(tmp_path / "absent", None, None).files == {}


def test_a_run_counts_its_records_and_links_each_to_the_one_before(tmp_path):
    """The first of a run continues what was there; another run has another name."""
    chain = Chain("e" * 64, previous="0" * 64)
    first = chain.seal(tmp_path, None, None)
    chain.written("1" * 64)
    second = chain.seal(tmp_path, None, None)
    assert (first.number, first.previous) == (0, "0" * 64)
    assert (second.number, second.previous) == (1, "1" * 64)
    assert first.run == second.run != Chain("e" * 64).run


def test_a_place_in_the_chain_is_no_matter_of_dates():
    """A record of 2099 stands where it was written; an unsealed one stands nowhere."""
    first, second = sealed("a", None, "2099-01-01T00:00:00Z"), sealed("b", "a", "2025-01-01T00:00:00Z")
    third, lost = sealed("c", "b"), sealed("z", "gone")
    unsealed = SimpleNamespace(sha256="u", seal=None)
    assert positions([third, unsealed, first, lost, second]) == {"a": 0, "b": 1, "c": 2, "z": 0}
