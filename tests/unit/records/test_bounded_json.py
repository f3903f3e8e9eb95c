"""JSON of others has as many values as honest files have, and each key once."""

import json

import pytest

from harness.records.bounded_json import require_modest, unique


@pytest.mark.parametrize("each", [b"[],", b"0,", b'{"":0},'])
def test_what_would_swell_is_refused(each):
    """Each of its values takes many times its bytes."""
    with pytest.raises(ValueError, match="more than 300000"):
        require_modest(b"[" + each * 600_000 + b"0]", 300_000)


def test_long_lists_of_numbers_are_allowed_where_they_are_expected():
    """Their number has a bound of its own, and lists keep theirs."""
    numbers = b"[" + b"0.5," * 300_000 + b"0]"
    require_modest(numbers, 10, 400_000)
    with pytest.raises(ValueError, match="more than 200000 values"):
        require_modest(numbers, 10, 200_000)
    with pytest.raises(ValueError, match="more than 10 lists, objects and keys"):
        require_modest(b"[" + b"[]," * 100_000 + b"[]]", 10, 400_000)


def test_a_long_text_is_no_values():
    """The bytes themselves have their own bound."""
    require_modest(b'{"log": "' + b"x" * 3_000_000 + b'"}', 10)


def test_a_key_stands_once():
    """At any depth; the line names it."""
    assert json.loads('{"a": {"b": 1}, "b": 2}', object_pairs_hook=unique) == {"a": {"b": 1}, "b": 2}
    with pytest.raises(ValueError, match="'b' is named twice"):
        json.loads('{"a": {"b": 1, "c": 2, "b": 1}}', object_pairs_hook=unique)
