"""Machines' names: the user's word, else the hardware; short, printable, and no two alike."""

import pytest

from harness.records.machines import MOST, machine_names

H200 = {"accelerator_model_name": "NVIDIA H200", "accelerators_per_node": 4}


def record(make_record, machine_id="a", name=None, started_at="2025-01-01T00:00:00Z", machine=None):
    """Return a record of a machine, with the user's name for it where there is one."""
    return make_record(
        machine_id=machine_id * 64,
        started_at=started_at,
        config={"run": {} if name is None else {"machine_name": name}},
        machine=machine or {},
    )


@pytest.mark.parametrize(
    ("machine", "name"),
    [
        (H200, "4 x NVIDIA H200"),
        (H200 | {"accelerators_per_node": 1}, "NVIDIA H200"),
        (
            {"host_processor_model_name": "Intel(R) Xeon(R) 8481C", "host_processor_vcpu_count": 8},
            "Intel Xeon 8481C, 8 cores",
        ),
        ({"host_processor_model_name": "Plain"}, "Plain"),
        ({}, "unnamed machine"),
    ],
)
def test_a_machine_without_a_name_is_its_hardware(make_record, machine, name):
    """Accelerators before the processor, their number where it is more than one."""
    assert machine_names([record(make_record, machine=machine)]) == {"a" * 64: name}


def test_the_newest_name_counts_and_a_record_without_one_takes_none_away(make_record):
    """Names may be given later; a newer run without the key does not forget it."""
    records = [
        record(make_record, name="zz old", started_at="2025-01-01T00:00:00Z"),
        record(make_record, started_at="2025-03-01T00:00:00Z", machine=H200),
    ]
    assert machine_names(records) == {"a" * 64: "zz old"}


def test_machines_that_would_share_a_name_are_told_apart_by_their_ids(make_record):
    """Two unnamed machines of one kind, and a third whose name is its own."""
    records = [record(make_record, machine_id=i, machine=H200) for i in "ab"]
    names = machine_names([*records, record(make_record, machine_id="c", name="left")])
    assert names["a" * 64] == "4 x NVIDIA H200 · aaaaaa"
    assert names["b" * 64] == "4 x NVIDIA H200 · bbbbbb"
    assert names["c" * 64] == "left"


def test_a_name_is_short_and_printable(make_record):
    """Names are data from anywhere: no control characters, at most `MOST` characters."""
    (name,) = machine_names([record(make_record, name="a\x1b[31m\nb" + "x" * 500)]).values()
    assert len(name) == MOST
    assert name.startswith("a [31m bxxx")
    assert name.endswith("…")
    assert name.isprintable()
