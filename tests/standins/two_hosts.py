"""Run one replica on two namespaces, from within the first: `two_hosts.py NAME ADDRESS FOLDER OVERRIDE…`.

Prints the result as JSON in its last line. NAME2 of NAME1 is `NAME[:-1] + "2"`.
"""

from __future__ import annotations

import json
import subprocess
import sys

from harness.isolation.protocol import ReplicaSpec
from harness.planning.plan import make_plan
from harness.system.nodes import RANK_OF_NODE
from harness.trial import ranks
from harness.trial.replica import preload, run_replica


class Namespaces:
    """Two namespaces of this host that reach each other by one wire alone."""

    def __init__(self, name: str, address: str) -> None:
        self.names = ("host-a", "host-b")
        self._name, self._address = name, address

    def address(self) -> str:
        """Return the first one's address on the wire."""
        return self._address

    def start(self, command, environment):
        """Start a command in the second."""
        there = ["ip", "netns", "exec", self._name[:-1] + "2", *command]
        return [subprocess.Popen(there, env={**environment, RANK_OF_NODE: "1"}, stdin=subprocess.DEVNULL)]


name, address, folder, *overrides = sys.argv[1:]
(trial,) = make_plan(overrides).trials
assert trial.refusal is None, trial.refusal
preload()
ranks.preload()
world = trial.config.parallel.ranks
spec = ReplicaSpec(trial.payload, trial.size, folder=folder)
result = ranks.run(spec, run_replica, lambda _phase: None, world, lambda _n: Namespaces(name, address))
print(json.dumps(result))
