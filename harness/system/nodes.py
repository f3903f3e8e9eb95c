"""The other nodes of an allocation: their names, the way to them, and how a command is started on each."""

from __future__ import annotations

import fcntl
import os
import re
import socket
import struct
import subprocess
from collections.abc import Mapping, Sequence
from typing import Protocol

from harness.system.errors import ResourceError

RANK_OF_NODE = "JOULEMARK_NODE_RANK"
"""A command that was started on another node finds there which node it is, counted from 1."""
_SIOCGIFADDR = 0x8915
_ASKED_S = 30.0


class Nodes(Protocol):
    """The nodes that one trial runs on; this process is on the first."""

    names: tuple[str, ...]
    """As their scheduler calls them."""

    def address(self) -> str:
        """Return the first node's address, as the others reach it."""
        ...

    def start(
        self, command: Sequence[str], environment: Mapping[str, str]
    ) -> Sequence[subprocess.Popen[bytes]]:
        """Start a command on every other node; its output comes out here, its end is what is returned."""
        ...


class SlurmNodes:
    """The first nodes of a Slurm allocation, in its order."""

    def __init__(self, count: int) -> None:
        said = _ask(["scontrol", "show", "hostnames", os.environ.get("SLURM_JOB_NODELIST", "")])
        self.names = tuple(said.split()[:count])
        if len(self.names) < count:
            raise ResourceError(f"the allocation has {len(self.names)} nodes, and the trial needs {count}")

    def address(self) -> str:
        """Return the first node's address, as the others reach it."""
        said = _ask(["scontrol", "show", "node", self.names[0], "--oneliner"])
        found = re.search(r"\bNodeAddr=(\S+)", said)
        return socket.gethostbyname(found[1] if found else self.names[0])

    def start(
        self, command: Sequence[str], environment: Mapping[str, str]
    ) -> Sequence[subprocess.Popen[bytes]]:
        """Start a command on every other node by one job step."""
        others = len(self.names) - 1
        step = [
            *("srun", f"--nodelist={','.join(self.names[1:])}", f"--nodes={others}", f"--ntasks={others}"),
            *("--ntasks-per-node=1", "--overlap", "--input=none", "--distribution=block", "--unbuffered"),
            "--kill-on-bad-exit=0",
        ]
        return [subprocess.Popen([*step, *command], env=dict(environment), stdin=subprocess.DEVNULL)]


def rank_of_node(environment: Mapping[str, str] = os.environ) -> int:
    """Return which node of the trial this process was started on, counted from 1 behind the first."""
    if RANK_OF_NODE in environment:
        return int(environment[RANK_OF_NODE])
    return int(environment["SLURM_PROCID"]) + 1


def interface_towards(address: str) -> str | None:
    """Return the network interface by which this node reaches an address of the trial; None if unknown."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, 9))  # sends nothing
            mine = probe.getsockname()[0]
        except OSError:
            return None
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode()[:15])
            try:
                said = fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, request)
            except OSError:
                continue
            if socket.inet_ntoa(said[20:24]) == mine:
                return name
    return None


def _ask(command: Sequence[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=_ASKED_S, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise ResourceError(f"{command[0]}: {error}") from error
