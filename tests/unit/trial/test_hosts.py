"""Ranks on several nodes: what their stacks tell of who waits, and who is named."""

from __future__ import annotations

import faulthandler
import socket
import threading

import pytest

from harness.config import placement
from harness.planning.plan import make_plan
from harness.system.nodes import interface_towards, rank_of_node
from harness.trial import hosts
from harness.trial.ranks import place_of

NODES = ("n1", "n2")
WAITING = {"waits": True, "where": "distributed/distributed_c10d.py:9 (barrier)"}
AT_WORK = {"waits": False, "where": "catalogue/selftest.py:117 (_hang)"}


def stacks(main, *frames):
    """Write what faulthandler writes of a main thread and another one."""
    lines = "".join(f'  File "{file}", line {number} in {name}\n' for file, number, name in frames)
    other = 'Thread 0x00000000000000aa (most recent call first):\n  File "/x/other.py", line 1 in f\n\n'
    return f"{other}Current thread 0x{main} (most recent call first):\n{lines}"


@pytest.mark.parametrize(
    ("frames", "found"),
    [
        ([("/p/workloads/catalogue/selftest.py", 117, "_hang"), ("/p/harness/trial/replica.py", 3, "f")],
         (False, "catalogue/selftest.py:117 (_hang)")),
        ([("/t/torch/distributed/distributed_c10d.py", 9, "barrier"), ("/p/harness/trial/ranks.py", 3, "f")],
         (True, "distributed/distributed_c10d.py:9 (barrier)")),
        ([("/t/torch/autograd/graph.py", 865, "_engine_run_backward")],
         (True, "autograd/graph.py:865 (_engine_run_backward)")),
        ([], (False, "nowhere in Python")),
    ],
)  # fmt: skip
def test_a_rank_waits_in_a_collective_or_in_its_backward_pass(frames, found):
    """By its main thread alone; the innermost line says where."""
    assert hosts.position(stacks("00000000000000bb", *frames), "00000000000000bb") == found


def test_real_stacks_are_read(tmp_path):
    """In this Python's own form."""
    with (tmp_path / "stacks").open("w+") as file:
        faulthandler.dump_traceback(file, all_threads=True)
        file.seek(0)
        text = file.read()
    main = f"{threading.main_thread().ident:016x}"
    assert hosts.position(text, main)[1].startswith("trial/test_hosts.py:")


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({0: WAITING, 1: AT_WORK}, "rank 1 on n2 is at catalogue/selftest.py:117 (_hang); all others wait"),
        ({0: WAITING}, "rank 1 on n2 does not answer; all others wait"),
        (
            {0: AT_WORK, 1: AT_WORK},
            "no rank stands out: "
            + "; ".join(f"rank {r} on {n} is at {AT_WORK['where']}" for r, n in enumerate(NODES)),
        ),
    ],
)  # fmt: skip
def test_the_one_that_does_not_wait_is_named(found, said):
    """Where none stands out, nobody is blamed."""
    assert hosts.who_hangs(found, 2, NODES) == said


def test_who_died_without_a_word_comes_before_those_who_failed_because_of_it():
    """In the order of telling otherwise, on all nodes."""
    store = hosts.open_board()
    hosts.tell_failure(store, {"reason": "rank 0: connection closed"})
    hosts.tell_failure(store, {"reason": "rank 2: connection closed"})
    hosts.tell_failure(store, {"reason": "rank 1: killed", "silent": True})
    assert [one["reason"].split(":")[0] for one in hosts.told_failures(store)] == [
        "rank 1",
        "rank 0",
        "rank 2",
    ]


def test_ranks_are_dealt_to_nodes_in_order():
    """Each node has its own devices and its own cores."""
    words = (
        "workload=gpt",
        "parallel=ddp",
        "parallel.ranks=4",
        "parallel.nodes=2",
        "power=none",
        "run.on=slurm",
    )
    (trial,) = make_plan(["device=cuda", *words]).trials
    assert trial.refusal is None
    assert [placement.device_index(trial.config, rank) for rank in range(4)] == [0, 1, 0, 1]
    assert placement.device_names(trial.config) == ["cuda-0", "cuda-1"]
    one = make_plan(["device=cuda", *words[:3], "power=none", "run.on=slurm"]).trials[0]
    assert one.work_id != trial.work_id


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("parallel.ranks=4", "parallel.nodes=3", "power=none", "run.on=slurm"), "not spread evenly"),
        (("parallel.ranks=2", "parallel.nodes=2", "run.on=slurm"), "power=none"),
        (("parallel.ranks=2", "parallel.nodes=2", "power=none"), "by run.on=slurm"),
    ],
)
def test_what_cannot_run_on_several_nodes_is_refused(words, reason, monkeypatch):
    """With the reason, before anything starts."""
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    (trial,) = make_plan(["device=cpu", "workload=gpt", "parallel=ddp", *words]).trials
    assert reason in trial.refusal


def test_a_device_has_its_nodes_name_where_there_are_several(monkeypatch):
    """Two nodes' first GPUs are two devices."""
    assert place_of("cuda:0") == "cuda:0"
    monkeypatch.setenv(hosts.NODE_NAME, "n2")
    assert place_of("cuda:0") == "n2/cuda:0"


def test_the_way_to_this_host_is_the_loopback():
    """And a node's number is its launcher's, or Slurm's."""
    assert (
        interface_towards("127.0.0.1") == "lo" if "lo" in dict(map(reversed, socket.if_nameindex())) else True
    )
    assert rank_of_node({"SLURM_PROCID": "0"}) == 1
    assert rank_of_node({"JOULEMARK_NODE_RANK": "3", "SLURM_PROCID": "0"}) == 3
