from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.records.codec import parse, serialise
from harness.records.schema import SCHEMA_VERSION
from harness.records.validity import judge

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_record_or_a_value_error(data: bytes) -> None:
    """No input breaks the reader in another way."""
    with contextlib.suppress(ValueError):
        parse(data)


@given(key=st.sampled_from(["config", "evidence", "metrics", "series", "worker", "replica", "x"]), value=JSON)
def test_a_record_with_anything_in_a_field_is_read_or_refused(key: str, value: Any) -> None:
    """A strange field either reads and can be written again to the same bytes, or is a ValueError."""
    names = ("work_id", "trial_id", "machine_id", "code_id")
    record: dict[str, Any] = dict.fromkeys(names, "a" * 16) | {
        "schema_version": SCHEMA_VERSION, "sweep": "s", "label": "l", "replica": 0, "attempt": 0,
        "status": "ok", "phase": "done", "started_at": "", "config": {}, "machine": {}, "code": {},
        "worker": {"kind": "warm"},
    }  # fmt: skip
    with contextlib.suppress(ValueError):
        data = serialise(parse(json.dumps(record | {key: value}).encode()))
        assert serialise(parse(data)) == data


def test_evidence_under_an_earlier_name_is_judged_as_before(make_record: Any) -> None:
    """Records on disk keep `compiled_within` and the flag `part_time_counter`: both are judged alike."""
    metrics = {"iteration.mean": 0.01, "energy.iteration": 2.0}
    now, before = (
        make_record(metrics, evidence={key: 2, "sensor_flags": [flag]})
        for key, flag in (
            ("recompiles_in_span", "duty_cycled_counter"),
            ("compiled_within", "part_time_counter"),
        )
    )
    read = parse(serialise(before))
    assert judge(read) == judge(now)
    assert judge(now)["energy.iteration"] == ("flagged", ("recompiled",))


def test_nesting_without_end_is_refused() -> None:
    """A hundred thousand brackets are an error, not a crash."""
    with pytest.raises(ValueError, match="recursion"):
        parse(b'{"config":' + b"[" * 100_000)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_numbers_that_are_none_are_refused_in_free_form_facts(make_record: Any, number: str) -> None:
    """NaN deep in the facts is refused with its place, where JSON libraries would let it pass."""
    data = serialise(make_record(evidence={"a": [1, {"b": 2.5}]})).replace(b"2.5", number.encode())
    with pytest.raises(ValueError, match=r"evidence.a\[1\].b"):
        parse(data)


def test_an_integer_beyond_the_index_is_refused(make_record: Any) -> None:
    """A count that no database column holds is no record, so that it cannot break the index for all."""
    data = serialise(make_record(round_order=77)).replace(b"77", b"9" * 30)
    with pytest.raises(ValueError, match="round_order"):
        parse(data)
