"""Messages between a sweep and its workers: bounded, and readable by other versions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.isolation.protocol import ProtocolError, ReplicaSpec, Request
from workloads.base import MODES

CONTRACT = json.loads((Path(__file__).parents[2] / "golden" / "messages.json").read_text())
SPEC = {"config": {"seed": 0}, "size": {"batch": 8}}
REQUEST = {"spec": SPEC, "folder": "/x", "worker": "warm", "timeout_s": 60.0, "memory_limit_bytes": 1 << 30}


@pytest.mark.parametrize("name", sorted(CONTRACT))
def test_a_request_of_an_earlier_version_is_read(name: str) -> None:
    """What commit c26ec0a sent is understood, field by field."""
    sent = CONTRACT[name]
    read = Request.from_dict(sent)
    assert (read.folder, read.worker, read.timeout_s) == (sent["folder"], sent["worker"], sent["timeout_s"])
    assert read.spec.replica == sent["spec"].get("replica", 0)
    assert read.spec.task == sent["spec"].get("task", "measure")
    assert read.spec.folder == sent["spec"].get("folder")


@pytest.mark.parametrize("name", sorted(CONTRACT))
def test_an_earlier_version_finds_what_it_reads(name: str) -> None:
    """What is sent today holds every field that c26ec0a sent, unchanged: its worker reads them by key."""
    sent = CONTRACT[name]
    now = json.loads(json.dumps(Request.from_dict(sent).as_dict()))
    assert {key: now[key] for key in sent if key != "spec"} == {k: v for k, v in sent.items() if k != "spec"}
    assert {key: now["spec"][key] for key in sent["spec"]} == sent["spec"]
    assert ("folder" in now["spec"]) == ("folder" in sent["spec"])


def test_a_later_versions_fields_are_passed_over() -> None:
    """A field that this version does not know is no error."""
    later = {**REQUEST, "priority": 3, "spec": {**SPEC, "colour": "red"}}
    assert Request.from_dict(later) == Request.from_dict(REQUEST)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"spec": None}, "spec is no mapping"),
        ({"spec": {"size": {}}}, "spec.config"),
        ({"spec": SPEC | {"replica": -1}}, "spec.replica"),
        ({"spec": SPEC | {"replica": True}}, "spec.replica"),
        ({"spec": SPEC | {"task": "erase"}}, "spec.task"),
        ({"spec": SPEC | {"folder": 3}}, "spec.folder"),
        ({"folder": None}, "request.folder"),
        ({"worker": "cold"}, "request.worker"),
        ({"timeout_s": 0}, "request.timeout_s"),
        ({"timeout_s": float("inf")}, "request.timeout_s"),
        ({"memory_limit_bytes": "all"}, "memory_limit_bytes"),
    ],
)
def test_a_message_that_is_none_names_its_field(changed: dict, said: str) -> None:
    """Neither an absent field nor one of another kind or range is taken for something."""
    with pytest.raises(ProtocolError, match=said):
        Request.from_dict({**REQUEST, **changed})


def test_the_ranks_of_a_trial_are_bounded() -> None:
    """A worker forks as many as the configuration says, and no more than there can be."""
    assert ReplicaSpec({"parallel": {"ranks": 4}}, {}).world == 4
    assert ReplicaSpec({}, {}).world == 1
    with pytest.raises(ProtocolError, match="ranks"):
        _ = ReplicaSpec({"parallel": {"ranks": 0}}, {}).world


def test_what_a_server_imports_follows_from_the_configuration_alone():
    """Of one rank it is torch's compiler where torch needs it; several ranks have the strategies too."""
    train, infer = {"workload": {"mode": "train"}}, {"workload": {"mode": "infer"}}
    plain = {m for m in MODES if ReplicaSpec({"workload": {"mode": m}}, {}).libraries == "plain"}
    assert plain == {"infer", "decode"}
    assert ReplicaSpec({}, {}).libraries == "plain"
    assert ReplicaSpec(infer, {}).libraries == "plain"
    assert ReplicaSpec(train | {"device": {"kind": "cuda"}}, {}).libraries == "dynamo"
    assert ReplicaSpec(train | {"device": {"kind": "xla"}}, {}).libraries == "plain"
    assert ReplicaSpec(infer | {"parallel": {"ranks": 2}}, {}).libraries == "ranks"
