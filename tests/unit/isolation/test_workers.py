"""The harness's side of a worker: whatever the server does, an outcome comes back."""

from __future__ import annotations

import sys

import pytest

from harness.isolation.protocol import ReplicaSpec
from harness.isolation.workers import Workers

SERVER = """#!{python}
import json, os, socket, sys, time
control = socket.socket(fileno=int(sys.argv[-1]))
for line in control.makefile("rb"):
    request = json.loads(line)
    act = request["spec"]["config"]["act"]
    if act == "die":
        os._exit(3)
    if act == "silent":
        time.sleep(60)
    answer = {{"exit_code": 0, "pid": os.getpid(), "result": {{"asked": request}}}}
    data = json.dumps(answer).encode() + b"\\n"
    if act == "slow":
        control.sendall(data[:10])
        time.sleep(0.3)
        data = data[10:]
    control.sendall(data)
"""
"""A server that answers by the script, in place of the interpreter of `-m harness.worker serve FD`."""


@pytest.fixture
def workers(tmp_path):
    """Workers whose interpreter is the scripted server."""
    server = tmp_path / "python"
    server.write_text(SERVER.format(python=sys.executable))
    server.chmod(0o755)
    with Workers(str(server)) as opened:
        yield opened


def ask(workers, folder, act="answer", config=None, **more):
    """Run one replica of the script."""
    spec = ReplicaSpec({"act": act} | (config or {}), {})
    return workers.run(spec, folder, **({"timeout_s": 5.0} | more))


def test_one_server_answers_replica_after_replica(workers, tmp_path):
    """It gets the specification, the absolute folder, and a limit of memory where none was asked for."""
    first, second = ask(workers, tmp_path), ask(workers, tmp_path, worker="exec", memory_limit_bytes=7)
    assert first.pid == second.pid
    asked = first.result["asked"]
    assert asked["spec"] == ReplicaSpec({"act": "answer"}, {}).as_dict()
    assert asked["folder"] == str(tmp_path.resolve())
    assert (asked["worker"], asked["timeout_s"]) == ("warm", 5.0)
    assert asked["memory_limit_bytes"] > 1 << 20
    assert (second.result["asked"]["worker"], second.result["asked"]["memory_limit_bytes"]) == ("exec", 7)


def test_replicas_share_a_server_if_they_need_the_same_libraries(workers, tmp_path):
    """What one sort of replica has imported never counts as another's memory, in whatever order they come."""
    train, ranks = {"workload": {"mode": "train"}}, {"parallel": {"ranks": 2}}
    pids = [ask(workers, tmp_path, config=more).pid for more in ({}, train, ranks, {}, train, ranks)]
    assert len(set(pids)) == 3
    assert pids[:3] == pids[3:]


def test_an_answer_in_pieces_is_waited_for(workers, tmp_path):
    """A large result does not come at once."""
    assert ask(workers, tmp_path, "slow").exit_code == 0


def test_a_server_that_dies_costs_one_replica(workers, tmp_path):
    """The replica in flight has an outcome with the problem; the next one has a new server."""
    before = ask(workers, tmp_path)
    died = ask(workers, tmp_path, "die")
    assert died.result is None
    assert "the worker server ended" in died.problem
    after = ask(workers, tmp_path)
    assert after.exit_code == 0
    assert after.pid != before.pid


def test_a_server_that_never_answers_is_given_up(workers, tmp_path, monkeypatch):
    """At the replica's limit and a grace; meanwhile whoever draws progress is called."""
    monkeypatch.setattr("harness.isolation.workers._GRACE_S", 0.1)
    monkeypatch.setattr("harness.isolation.workers._TICK_S", 0.05)
    monkeypatch.setattr(Workers, "close", _kill)
    ticks = []
    found = ask(workers, tmp_path, "silent", timeout_s=0.2, on_wait=lambda: ticks.append(1))
    assert "did not answer" in found.problem
    assert ticks


def _kill(self) -> None:
    """End the script without the five seconds that a server has to end by itself."""
    if self._server is not None:
        self._server.kill()
        self._server.wait()
        self._socket.close()
    self._server = self._socket = None


def test_closing_ends_the_server(workers, tmp_path):
    """It ends when its socket does; closing twice is no error."""
    ask(workers, tmp_path)
    (server,) = workers._servers.values()
    workers.close()
    assert server.process.poll() == 0
    workers.close()
