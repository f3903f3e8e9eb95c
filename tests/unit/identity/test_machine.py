"""What this machine and this code are, from facts that are given."""

from __future__ import annotations

from harness.identity import machine
from harness.identity.machine import Identity, accelerator_facts, identify

GPUS = {
    "driver": "575.1",
    "cuda_driver": "12.9",
    "reason": None,
    "gpus": [
        {"name": "A1", "memory_bytes": 80, "uuid_hash": "f0"},
        {"name": "A1", "memory_bytes": 80, "uuid_hash": "0f"},
        {"name": "B2", "memory_bytes": 40, "uuid_hash": "aa"},
    ],
}
NONE = {"driver": None, "cuda_driver": None, "reason": "no NVIDIA driver", "gpus": []}


def test_gpus_stand_under_mlperfs_names():
    """Models once each, memory for each, and their ids in an order of their own."""
    facts = accelerator_facts(GPUS)
    assert facts["accelerators_per_node"] == 3
    assert facts["accelerator_model_name"] == "A1, B2"
    assert facts["accelerator_memory_capacity"] == [80, 80, 40]
    assert facts["accelerator_uuid_sha256"] == ["0f", "aa", "f0"]
    assert facts["accelerators"] == GPUS["gpus"]


def test_without_a_gpu_the_reason_stands():
    """No zero, and no empty list that looks like knowledge."""
    assert accelerator_facts(NONE) == {"accelerators_absent": "no NVIDIA driver"}


def test_a_driver_is_of_the_devices_that_have_one():
    """A CPU has none of its own."""
    known = Identity({}, {"accelerator_driver": "575.1"}, "m", "c")
    assert known.driver("cuda") == "575.1"
    assert known.driver("cpu") is None
    assert Identity({}, {}, "m", "c").driver("cuda") is None


def test_another_driver_is_another_code_and_another_gpu_another_machine(monkeypatch):
    """So their records are never taken for one another's."""

    def with_gpus(facts):
        monkeypatch.setattr(machine, "gpu_facts", lambda: facts)
        return identify()

    one = with_gpus(GPUS)
    assert with_gpus(GPUS) == one
    newer = with_gpus(GPUS | {"driver": "580.0"})
    assert newer.machine_id == one.machine_id
    assert newer.code_id != one.code_id
    assert newer.driver("cuda") == "580.0"
    fewer = with_gpus(GPUS | {"gpus": GPUS["gpus"][:1]})
    assert fewer.machine_id != one.machine_id
    assert fewer.code_id == one.code_id


def test_a_trial_s_libraries_are_part_of_its_code():
    """Another version is another code; none leaves the code as it is, a record of before included."""
    before = Identity({}, {"torch": "2.13.0"}, "m", "c")
    assert before.using({}) is before
    one, newer = (before.using({"transformers": version}) for version in ("5.6.0", "5.24.0"))
    assert one.code["libraries"] == {"transformers": "5.6.0"}
    assert len({before.code_id, one.code_id, newer.code_id}) == 3
    assert one.using({"transformers": "5.6.0"}) is one
