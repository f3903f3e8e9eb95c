"""A plan beside records is data from anywhere: right in form, or one line that says where it is wrong."""

import json

import pytest

from harness.records.plan import read_plan_bytes

TRIAL = {
    "label": "gpt",
    "work_id": "a" * 64,
    "trial_id": "b" * 64,
    "refusal": None,
    "replicas": 3,
}
PLAN = {"sweep": "demo", "machine_id": "c" * 64, "code_id": "d" * 64, "trials": [TRIAL]}


def read(**changes):
    """Read the plan with changes."""
    return read_plan_bytes(json.dumps(PLAN | changes).encode())


def test_a_plan_is_returned_whole():
    """What a later version adds is kept as it is."""
    told = PLAN | {"later": {"x": 1}}
    assert read(later={"x": 1}) == told


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"sweep": "../up"}, "sweep"),
        ({"sweep": None}, "sweep"),
        ({"machine_id": "C" * 64}, "machine_id"),
        ({"trials": {}}, "trials"),
        ({"trials": [TRIAL | {"replicas": -1}]}, "replicas"),
        ({"trials": [TRIAL | {"replicas": "3"}]}, "replicas"),
        ({"trials": [TRIAL | {"trial_id": "../../x"}]}, "trial_id"),
        ({"trials": [TRIAL | {"label": "x" * 10_001}]}, "label"),
        ({"overrides": [1]}, "overrides"),
    ],
)
def test_a_wrong_value_is_named_by_its_place(changes, place):
    """One line, which holds the key."""
    with pytest.raises(ValueError, match=r"^not a plan: .*" + place) as failed:
        read(**changes)
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"{", b'"text"'])
def test_what_is_no_object_is_no_plan(data):
    """Neither other JSON nor none."""
    with pytest.raises(ValueError):
        read_plan_bytes(data)


def test_a_key_that_stands_twice_is_refused():
    """Another reader would take the other one."""
    with pytest.raises(ValueError, match="'trials' is named twice"):
        read_plan_bytes(json.dumps(PLAN)[:-1].encode() + b', "trials": []}')
