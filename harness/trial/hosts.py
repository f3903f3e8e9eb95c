"""Ranks on several nodes: where their agents meet, what each tells of its failure, and who of them hangs.

The first node's agent holds a key-value store at which torch's static rendezvous meets. Failures are told
there in one order for all nodes. Before the deadline every rank says where it is: one that is not waiting for
others, while others wait, is the one that hangs.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import re
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from harness.system.nodes import interface_towards

NODE_NAME, BOARD = "JOULEMARK_RANK_NODE", "JOULEMARK_BOARD"
"""Where a rank finds its node's name, and the address of the board."""
_COUNT, _FAILURE = "joulemark/failures", "joulemark/failure"
_ASKED, _STACK = "joulemark/asked", "joulemark/stack"
MEETING_S = 120
"""How long the agents wait for each other."""
_LOOK_S, _SILENT_S, _ASK_S = 0.5, 2.5, 5.0
_WAITS = ("torch/distributed/", "torch/autograd/graph.py", "torch/nn/parallel/distributed.py")
"""Where a rank waits for others: in a collective, or for those of its backward pass."""
_FRAME = re.compile(r'^  File "(.+)", line ([0-9]+) in (\S+)$')


@dataclass(frozen=True, slots=True)
class Meeting:
    """How the agents of one trial find each other."""

    address: str
    """Of the first node."""
    port: int
    names: tuple[str, ...]
    """Of the nodes, in the order of their ranks."""
    node: int = 0
    """Which of them this one is."""

    @property
    def name(self) -> str:
        """This node's name."""
        return self.names[self.node]

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for the other nodes."""
        return asdict(self)

    @classmethod
    def of_node(cls, told: Mapping[str, Any], node: int) -> Meeting:
        """Read what the first node sent, on another node."""
        return cls(str(told["address"]), int(told["port"]), tuple(map(str, told["names"])), node)

    def environment(self) -> dict[str, str]:
        """Return what this node's ranks find in their environment."""
        return {NODE_NAME: self.name, BOARD: f"{self.address}:{self.port}"}


def asked_after(limit_s: float) -> float:
    """Return after how many seconds ranks are asked where they are, of a replica's limit in seconds."""
    return max(0.5 * limit_s, limit_s - 10.0)


def interface() -> str:
    """Return the network interface by which this rank meets the others: the loopback where all are here."""
    if BOARD not in os.environ:
        return "lo"
    found = interface_towards(os.environ[BOARD].rpartition(":")[0])
    if found is None:
        raise RuntimeError(f"no network interface leads to {os.environ[BOARD]}")
    return found


def open_board() -> Any:
    """Return the store at which everybody meets, on a free port of this node."""
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    # The rendezvous asks for the same port, and gets the same store.
    return TCPStore(
        "localhost", 0, None, True, timedelta(seconds=60), wait_for_workers=False, multi_tenant=True
    )


def board() -> Any:
    """Return a rank's or an agent's way to the store; None where all ranks are on one node."""
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    if BOARD not in os.environ:
        return None
    address, _, port = os.environ[BOARD].rpartition(":")
    return TCPStore(address, int(port), None, False, timedelta(seconds=20), wait_for_workers=False)


def tell_failure(store: Any, failure: Mapping[str, Any]) -> None:
    """Put a failure on the board, in one order for all nodes; one that cannot be told is in the log."""
    with contextlib.suppress(Exception):  # the store goes with the first node
        number = store.add(_COUNT, 1)
        store.set(f"{_FAILURE}/{number}", json.dumps(dict(failure)))


def told_failures(store: Any) -> list[dict[str, Any]]:
    """Return the failures on the board: ranks that died without a word first, then as they were told."""
    found = []
    for number in range(1, store.add(_COUNT, 0) + 1):
        with contextlib.suppress(Exception):
            store.wait([f"{_FAILURE}/{number}"], timedelta(seconds=1))
            found.append(json.loads(store.get(f"{_FAILURE}/{number}")))
    return sorted(found, key=lambda one: not one.get("silent"))


def show_where_on_signal(folder: str) -> None:
    """Write this rank's stacks to a file of `folder` whenever SIGUSR1 comes."""
    main = threading.main_thread().ident or 0
    path = Path(folder, f"stack-{os.environ['RANK']}-{os.getpid()}-{main:016x}")
    faulthandler.register(signal.SIGUSR1, file=path.open("w"), all_threads=True)


class Watch(threading.Thread):
    """Looks after one node's ranks: ends them when another node's failed, asks them before the deadline."""

    def __init__(self, meeting: Meeting, world: int, folder: str, ends_s: float) -> None:
        super().__init__(daemon=True)
        self.meeting, self.world, self.folder = meeting, world, Path(folder)
        self.hung: str | None = None
        """Who hangs, in words; found on the first node alone."""
        self.ended = False
        """Whether this node's ranks were ended by this watch: their end is no failure of theirs."""
        self._ends_s = ends_s
        self._done = threading.Event()

    def stop(self) -> None:
        """Look no more."""
        self._done.set()

    def run(self) -> None:
        """Look twice per second."""
        store = board()
        while not self._done.wait(_LOOK_S):
            with contextlib.suppress(Exception):
                if store.add(_COUNT, 0) > 0:
                    if not self._done.wait(_SILENT_S):
                        self._kill()
                    return
            if self._is_asked(store):
                self._ask(store)
                if self.meeting.node == 0:
                    self.hung = self._who(store)
                self._kill()
                return

    def _is_asked(self, store: Any) -> bool:
        """Tell whether the first node's time is up: the others' agents started later."""
        with contextlib.suppress(Exception):
            if self.meeting.node == 0 and time.monotonic() > self._ends_s:
                store.add(_ASKED, 1)
            return bool(store.add(_ASKED, 0))
        return time.monotonic() > self._ends_s

    def _ranks(self) -> list[tuple[int, int, str, Path]]:
        found = []
        for path in self.folder.glob("stack-*-*-*"):
            _, rank, pid, main = path.name.split("-")
            found.append((int(rank), int(pid), main, path))
        return found

    def _kill(self) -> None:
        self.ended = True
        for _, pid, _, _ in self._ranks():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _ask(self, store: Any) -> None:
        ranks = self._ranks()
        for _, pid, _, _ in ranks:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGUSR1)
        time.sleep(_LOOK_S)
        for rank, _, main, path in ranks:
            waits, where = position(path.read_text(), main)
            print(f"[rank {rank}] {where}\n{path.read_text()}", flush=True)
            told = {"node": self.meeting.name, "waits": waits, "where": where}
            with contextlib.suppress(Exception):
                store.set(f"{_STACK}/{rank}", json.dumps(told))

    def _who(self, store: Any) -> str:
        found, until = {}, time.monotonic() + _ASK_S
        for rank in range(self.world):
            with contextlib.suppress(Exception):
                store.wait([f"{_STACK}/{rank}"], timedelta(seconds=max(0.1, until - time.monotonic())))
                found[rank] = json.loads(store.get(f"{_STACK}/{rank}"))
        return who_hangs(found, self.world, self.meeting.names)


def position(stacks: str, main: str) -> tuple[bool, str]:
    """Return whether a rank waits for others, and its innermost line of Python.

    Args:
        stacks: what `faulthandler` wrote of all its threads.
        main: its main thread's identity, in 16 hexadecimal digits.
    """
    frames, within = [], False
    for line in stacks.splitlines():
        if not line.startswith("  "):
            within = f"0x{main}" in line and "most recent call first" in line
        elif within and (found := _FRAME.match(line)):
            frames.append((found[1], found[2], found[3]))
    if not frames:
        return False, "nowhere in Python"
    file, number, name = frames[0]
    waits = any(part in path for path, _, _ in frames for part in _WAITS)
    return waits, f"{'/'.join(Path(file).parts[-2:])}:{number} ({name})"


def who_hangs(found: Mapping[int, Mapping[str, Any]], world: int, names: Sequence[str]) -> str:
    """Say which rank hangs on which node.

    Args:
        found: by rank, its `node`, whether it `waits` for others, and `where` it is.
        world: ranks of the trial.
        names: of the nodes, which have equally many ranks in order.
    """

    def place(rank: int) -> str:
        return f"rank {rank} on {names[rank * len(names) // world]}"

    silent = [f"{place(rank)} does not answer" for rank in range(world) if rank not in found]
    busy = [f"{place(rank)} is at {one['where']}" for rank, one in found.items() if not one["waits"]]
    if silent or (busy and len(busy) < len(found)):
        return f"{'; '.join([*silent, *busy])}; all others wait"
    where = "; ".join(f"{place(rank)} is at {one['where']}" for rank, one in sorted(found.items())[:8])
    return f"no rank stands out: {where}"
