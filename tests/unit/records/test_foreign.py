"""Other tools' numbers stay apart from records: found by name, shown next to ours, never joined."""

from types import SimpleNamespace

import pytest

from harness.records.foreign import (
    ForeignFile,
    ForeignResult,
    beside,
    find_foreign,
    foreign_path,
    read_foreign,
)


def number(metric="mean", value=0.02, unit="s", comparable_to="iteration.mean"):
    """Return one number of another tool."""
    return ForeignResult(
        name="test_encode", metric=metric, value=value, unit=unit, comparable_to=comparable_to
    )


def file(digest="a", name="out.json", results=None):
    """Return an imported file."""
    return ForeignFile(
        source="pytest-benchmark", file=name, sha256=digest * 64, results=results or (number(),)
    )


@pytest.fixture
def keep(store):
    """Return a function that keeps files where an import does."""

    def keep_all(*files):
        for one in files:
            path = foreign_path(store, one)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(one.model_dump_json())

    return keep_all


def test_what_was_kept_is_read_again(store, keep):
    """And a file that cannot be used costs one line, not the others."""
    keep(file("a"), file("b", "other.json"))
    (store.root / "foreign" / "torn.json").write_text('{"source": "x"')
    found, left_out = read_foreign(store)
    assert found == [file("a"), file("b", "other.json")]
    (line,) = left_out
    assert "torn.json" in line
    assert "\n" not in line


@pytest.mark.parametrize(
    "name", ["out.json", "pytest-benchmark-aaaa", "pytest-benchmark-" + "a" * 16 + ".json"]
)
def test_a_file_is_found_by_its_own_name_its_key_or_the_beginning_of_it(store, keep, name):
    """Whatever the user has at hand."""
    keep(file("a"), file("b", "other.json"))
    assert find_foreign(store, name) == file("a")


def test_a_name_of_several_or_of_none_is_answered_with_what_there_is(store, keep):
    """One line that lists the keys; what cannot be read is counted in it."""
    with pytest.raises(ValueError, match="no imported file is called 'x'; there are: none"):
        find_foreign(store, "x")
    keep(file("a"), file("b", "other.json"))
    with pytest.raises(ValueError, match=r"several files begin with 'pytest'.*aaaa.*bbbb"):
        find_foreign(store, "pytest")
    (store.root / "foreign" / "torn.json").write_text("{")
    with pytest.raises(ValueError, match=r"no imported file is called 'x'.*; 1 cannot be used: .*torn\.json"):
        find_foreign(store, "x")


def ours(validity="valid", value=0.01):
    """Return a trial with an iteration time."""
    return SimpleNamespace(
        label="mlp", estimates={"iteration.mean": SimpleNamespace(value=value, validity=validity)}
    )


def test_numbers_of_one_kind_and_unit_stand_side_by_side():
    """A number in another unit, of no metric of ours or of an unknown one is not put there."""
    others = (
        number(metric="ms", unit="ms"),
        number(metric="rounds", comparable_to=None),
        number(metric="odd", comparable_to="no.such.metric"),
    )
    (pair,) = beside([ours()], file(results=(number(), *others)))
    assert pair.metric_id == "iteration.mean"
    assert pair.foreign == (number(),)
    assert [label for label, _ in pair.ours] == ["mlp"]


@pytest.mark.parametrize(
    "trial", [ours("invalid"), ours(value=None), SimpleNamespace(label="x", estimates={})]
)
def test_without_a_usable_number_of_ours_there_is_nothing_to_compare(trial):
    """An invalid value is not shown next to another tool's either."""
    assert beside([trial], file()) == []
