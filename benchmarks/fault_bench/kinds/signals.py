"""Signals of every kind, at random moments, to the command, its server, a worker and a rank."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from benchmarks.fault_bench.judge import Fault, Promise, ended, goes_on, recorded
from benchmarks.fault_bench.world import WORDS, Running, World
from harness.system import process

Target = Callable[[World, Running], int | None]
_FATAL = (
    *("KILL", "QUIT", "ABRT", "SEGV", "BUS", "ILL", "FPE", "TRAP", "ALRM", "VTALRM"),
    *("PROF", "USR1", "USR2", "XCPU", "SYS", "IO", "PWR", "STKFLT"),
)
_HARMLESS = ["CHLD", "CONT", "WINCH", "URG", "PIPE", "XFSZ"]
_RANKS = (
    *(word for word in WORDS if not word.startswith(("workload=", "seed="))),
    *("workload=faults", "workload.batch=2", "parallel=replicated", "parallel.ranks=2"),
)


def command(_world: World, running: Running) -> int | None:
    """Return the command's own process."""
    return running.pid


def server(world: World, running: Running) -> int | None:
    """Return its fork server."""
    return world.pids(running)[0]


def worker(world: World, running: Running) -> int | None:
    """Return the worker of the replica that runs."""
    return world.pids(running)[1]


def at_random(world: World, running: Running, whom: Target) -> int | None:
    """Wait for a random moment of a sweep's first half, and return whom to signal then."""
    least = world.random.randrange(2)
    world.until(lambda: len(world.logs()) > least, running)
    time.sleep(world.random.uniform(0, 0.25))
    deadline = time.monotonic() + 5
    while (pid := whom(world, running)) is None and running.wait(0) is None and time.monotonic() < deadline:
        time.sleep(0.002)
    return pid if running.code is None else None


def sent(*names: str, to: Target, pause_s: float = 0.0) -> Callable[[World], Running]:
    """Return what sends these signals, one after the other."""

    def inject(world: World) -> Running:
        running = world.start()
        pid = at_random(world, running, to)
        for name in names if pid is not None else ():
            if running.wait(0) is not None:
                break
            try:
                os.kill(pid or 0, getattr(signal, f"SIG{name}"))
            except ProcessLookupError:
                break
            time.sleep(pause_s)
        running.wait()
        return running

    return inject


def _stopped_for_good(world: World) -> Running:
    running = world.start("run.timeout_s=1")
    pid = at_random(world, running, worker)
    if pid is not None and running.code is None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    running.wait()
    return running


def _server_stopped_then_command_killed(world: World) -> Running:
    running = world.start()
    pid = at_random(world, running, server)
    if pid is not None:
        os.kill(pid, signal.SIGSTOP)
        os.kill(running.pid, signal.SIGKILL)
    running.wait()
    return running


def _server_killed_beside_a_grandchild(world: World) -> Running:
    """The real command: what is executed anew can be found by what its environment holds."""
    running = world.start(real=True)
    pid = at_random(world, running, server)
    if pid is not None:
        os.kill(pid, signal.SIGKILL)
    running.wait()
    return running


def _of_ranks(name: str) -> Callable[[World], Running]:
    def inject(world: World) -> Running:
        running = world.start(words=_RANKS)

        def ranks() -> list[int]:
            found = world.pids(running)[1]
            return process.descendants_of(found) if found else []

        if world.until(lambda: len(ranks()) > 1, running):
            time.sleep(world.random.uniform(0, 0.2))
            if found := ranks():
                os.kill(world.random.choice(found), getattr(signal, f"SIG{name}"))
        running.wait()
        return running

    return inject


def faults() -> Iterator[Fault]:
    """Yield every kind."""
    for name in ("INT", "TERM", "HUP"):
        yield Fault(f"SIG{name} to the command", sent(name, to=command), ended(0, 130), weight=6)
    for names in (["TERM"] * 6, ["INT"] * 6, ["TERM", "INT", "HUP"] * 2, ["STOP", "TERM", "CONT"]):
        kind = f"{' '.join(names)} to the command"
        yield Fault(kind, sent(*names, to=command, pause_s=0.02), ended(0, 130), weight=6)
    for name in _FATAL:
        number = -int(getattr(signal, f"SIG{name}"))
        yield Fault(f"SIG{name} to the command", sent(name, to=command), ended(0, number), weight=2)
        yield Fault(f"SIG{name} to the server", sent(name, to=server), goes_on(), weight=2)
        killed = recorded("crashed", f"killed by SIG{name}|(rank|exited)", also=(0,))
        yield Fault(f"SIG{name} to a worker", sent(name, to=worker), killed, weight=2)
    for name in _HARMLESS:
        for to in (command, server):
            yield Fault(f"SIG{name} to the {to.__name__}", sent(name, to=to), goes_on())
    for name in ("TERM", "HUP"):
        yield Fault(f"SIG{name} to the server", sent(name, to=server), goes_on(), weight=4)
    yield Fault("SIGINT to the server", sent("INT", to=server), goes_on())
    for name in ("TERM", "INT", "HUP"):
        killed = recorded("crashed", f"killed by SIG{name}", also=(0,))
        yield Fault(f"SIG{name} to a worker", sent(name, to=worker), killed, weight=2)
    for name in ("STOP", "TSTP", "TTIN", "TTOU"):
        for to in (command, server, worker):
            kind = f"SIG{name}, then SIGCONT to the {to.__name__}"
            yield Fault(kind, sent(name, "CONT", to=to, pause_s=0.3), goes_on())
    yield Fault("SIGSTOP to the server", sent("STOP", to=server), goes_on(), weight=4)
    stopped = Promise(frozenset({0, 1}), records={"harness": "a signal stopped the worker"})
    yield Fault("SIGSTOP to a worker", _stopped_for_good, stopped, weight=3)
    yield Fault("SIGSTOP, then SIGKILL to the command", sent("STOP", "KILL", to=command), ended(0, -9))
    killed = ended(0, -9)
    yield Fault(
        "SIGSTOP to the server, SIGKILL to the command", _server_stopped_then_command_killed, killed, weight=4
    )
    yield Fault("SIGKILL to the real server", _server_killed_beside_a_grandchild, goes_on(), weight=2)
    for name in ("KILL", "TERM", "SEGV"):
        lost = Promise(frozenset({0, 1}), records={"crashed": "rank [01]: killed by SIG|rank"}, resumes=None)
        yield Fault(f"SIG{name} to a rank", _of_ranks(name), lost)
