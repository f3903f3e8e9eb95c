"""YAML of others is plain data within bounds, and one line says which bound it broke."""

import pytest

from harness.records import bounded_yaml
from harness.records.bounded_yaml import load_yaml


def test_plain_data_is_returned_as_it_is_written():
    """Mappings, lists, numbers, texts and null."""
    assert load_yaml(b"a: [1, 2.5, x]\nb: {c: null}\n") == {"a": [1, 2.5, "x"], "b": {"c": None}}


@pytest.mark.parametrize(
    ("bound", "value", "data", "says"),
    [
        ("MOST_BYTES", 8, b"a: 123456", "larger than 8 bytes"),
        ("MOST_NODES", 10, b"[1, 2, 3, 4, 5, 6, 7, 8]", "more than 10 values"),
        ("DEEPEST", 2, b"[[[1]]]", "nested more than 2 deep"),
        ("MOST_ALIASES", 1, b"[&a 1, *a, *a]", "more than 1 aliases"),
    ],
)
def test_each_bound_refuses_what_is_beyond_it_alone(monkeypatch, bound, value, data, says):
    """The same document is read where the bound is wide."""
    assert load_yaml(data) is not None
    monkeypatch.setattr(bounded_yaml, bound, value)
    with pytest.raises(ValueError, match=f"^{says}$"):
        load_yaml(data)


def test_a_document_at_its_bound_is_read(monkeypatch):
    """The bounds are the most that is allowed, not the first that is refused."""
    data = b"[[1]]"
    monkeypatch.setattr(bounded_yaml, "MOST_BYTES", len(data))
    monkeypatch.setattr(bounded_yaml, "DEEPEST", 2)
    assert load_yaml(data) == [[1]]


@pytest.mark.parametrize("data", [b"a: [1, 2", b"a: b: c", b"x: 'open", b"\x80abc", b"a: \x00"])
def test_what_is_no_yaml_is_one_line(data):
    """The message is one sentence with the library's own words."""
    with pytest.raises(ValueError, match="is not YAML") as failed:
        load_yaml(data)
    assert "\n" not in str(failed.value)


def test_a_tag_builds_no_object():
    """A tag that names a Python object is refused, whatever it names."""
    with pytest.raises(ValueError, match="is not YAML"):
        load_yaml(b"!!python/name:builtins.len ''")


@pytest.mark.parametrize(
    "data", [b"a: 1\nb: 2\na: 3", b"1: a\n0x1: b", b"x: {a: 1, 'a': 2}", b"a: &a {x: 1}\nb: {<<: *a, <<: *a}"]
)
def test_a_key_stands_once(data):
    """People read the first, a program takes the last."""
    with pytest.raises(ValueError, match="is named twice"):
        load_yaml(data)


@pytest.mark.parametrize("data", [b"a: &a [*a]", b"a: &b {c: [{d: *b}]}"])
def test_nothing_holds_itself(data):
    """Whatever walks it would not end."""
    with pytest.raises(ValueError, match="holds itself"):
        load_yaml(data)
    assert load_yaml(b"a: &a [1]\nb: [*a, *a]") == {"a": [1], "b": [[1], [1]]}


def test_a_long_text_of_digits_is_a_text():
    """Where it is quoted, holds other characters, or begins with a letter."""
    digits, letters = "1" * 500, "a" * 500
    read = load_yaml(f"a: '{digits}'\nb: {digits}z\nc: {letters}".encode())
    assert read == {"a": digits, "b": digits + "z", "c": letters}


def test_a_mapping_overrides_what_it_merges():
    """Also where what it merges has merged itself, and lies deeper."""
    data = b"x: {a: &a {p: 1, q: 1}, b: &b {<<: *a, p: 2}}\nc: {<<: *b, q: 3}"
    assert load_yaml(data) == {"x": {"a": {"p": 1, "q": 1}, "b": {"p": 2, "q": 1}}, "c": {"p": 2, "q": 3}}


@pytest.mark.parametrize(
    "number", [b"1:" * 400_000 + b"1", b"1:" * 400_000 + b"1.5", b"0x" + b"f" * 500, b"1" * 500]
)
def test_a_number_has_as_many_digits_as_a_number_has(number):
    """YAML counts to the base 60 too, and takes a minute over a million digits of it."""
    with pytest.raises(ValueError, match="a number of more than 400 characters"):
        load_yaml(b"a: " + number)


@pytest.mark.parametrize("text", ["12:00:00", "-1:30", "190:20:30.15"])
def test_a_time_that_yaml_would_read_to_the_base_60_is_refused(text):
    """12:00:00 would be 43200, which Slurm takes for minutes: a month instead of half a day."""
    with pytest.raises(ValueError, match=f"line 2: YAML reads {text} to the base 60; write it in quotes"):
        load_yaml(f"slurm:\n  time: {text}\n".encode())
    assert load_yaml(f"time: '{text}'".encode()) == {"time": text}


@pytest.mark.parametrize("text", ["1-12:00:00", "04:00:00", "h100:4", "12:61"])
def test_other_words_with_colons_are_words(text):
    """YAML takes none of them for a number."""
    assert load_yaml(f"word: {text}".encode()) == {"word": text}
