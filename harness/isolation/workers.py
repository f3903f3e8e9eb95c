"""The harness's side of a worker: start the server, ask for a replica, always come back with an outcome."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from harness.isolation.protocol import (
    RESULT_LIMIT_BYTES,
    Libraries,
    Outcome,
    ReplicaSpec,
    Request,
    WorkerKind,
)
from harness.system import process
from harness.system.process import available_memory_bytes
from harness.system.threads import ACTIVE, wait_environment

IMPORT_FROM = "JOULEMARK_IMPORT_FROM"
"""The folder from which `workload.factory` is imported, as `workloads.user.source` reads it."""
_GRACE_S = 30.0
"""How much longer than a worker's own limit the server may take to answer."""
_TICK_S = 0.5
_MARK = "JOULEMARK_SERVER"

_NO_BACKENDS = {"TORCH_DEVICE_BACKEND_AUTOLOAD": "0"}
"""No other package's back end loads itself at `import torch`: torch_tpu's ends the process without a TPU."""


class Workers:
    """Runs replicas one after another, each in a worker process of its own.

    Entering starts nothing; a server starts with the first replica and again if it dies, one for each way in
    which threads wait, since that is fixed when a thread library loads, and for each set of libraries, since
    a fork has what the one before it made its server import. Leaving ends the servers and all that they hold.
    """

    def __init__(self, python: str = sys.executable, environment: dict[str, str] | None = None) -> None:
        self._python = python
        self._environment = environment
        self._servers: dict[tuple[str, Libraries], _Server] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the servers, their workers and all their descendants."""
        while self._servers:
            self._servers.popitem()[1].close()

    def run(
        self,
        spec: ReplicaSpec,
        folder: Path,
        *,
        worker: WorkerKind = "warm",
        wait: str = ACTIVE,
        timeout_s: float,
        memory_limit_bytes: int | None = None,
        on_wait: Callable[[], None] = lambda: None,
    ) -> Outcome:
        """Run one replica and return what became of it; only an interrupt of this process is raised.

        Args:
            spec: what to run.
            folder: an existing folder for the worker's log and traces.
            worker: forked warm, or a new interpreter.
            wait: how its threads wait at barriers, `active`, `passive` or `spin:N`.
            timeout_s: hard limit of the replica.
            memory_limit_bytes: what the worker may take; None is nine tenths of what is available.
            on_wait: called about twice per second while waiting, to draw progress.
        """
        key = (wait, spec.libraries)
        server = self._servers.get(key)
        if server is None or not server.is_alive():
            if server is not None:
                server.close()
            try:
                server = self._servers[key] = self._start(wait)
            except OSError as error:
                return Outcome(problem=f"no worker server can be started: {error}", harness=True)
        limit = memory_limit_bytes or int(0.9 * available_memory_bytes())
        request = Request(spec, str(folder.resolve()), worker, timeout_s, limit)
        answer, end = None, ""
        try:
            server.socket.sendall(json.dumps(request.as_dict()).encode() + b"\n")
            answer = server.receive(time.monotonic() + timeout_s + _GRACE_S, on_wait)
        except TimeoutError:
            end = "did not answer"
        except OSError:
            pass  # it has ended
        if answer is None:
            self._servers.pop(key).close()
            return Outcome(problem=f"the worker server {end or server.end()}", harness=True)
        outcome = Outcome.from_dict(answer)
        if outcome.harness:
            self._servers.pop(key).close()
        return outcome

    def _start(self, wait: str) -> _Server:
        process.adopt_orphans()  # what outlives a server that was killed, comes to this process
        mine, its = socket.socketpair()
        inherited = os.environ if self._environment is None else self._environment
        mark = f"{_MARK}={secrets.token_hex(8)}"
        with its:
            started = subprocess.Popen(
                [self._python, "-P", "-m", "harness.worker", "serve", str(its.fileno())],
                pass_fds=(its.fileno(),),
                stdin=subprocess.DEVNULL,
                env={
                    **inherited,
                    **self._own_folder(),
                    **wait_environment(wait),
                    **_NO_BACKENDS,
                    _MARK: mark.partition("=")[2],
                },
                start_new_session=True,
            )
        return _Server(started, mine, mark)

    def _own_folder(self) -> dict[str, str]:
        """Name the folder of the user's own models: a worker looks for nothing of its own where it starts.

        Another environment's processes never looked there.
        """
        if self._environment is not None or sys.flags.safe_path or IMPORT_FROM in os.environ:
            return {}
        return {IMPORT_FROM: str(Path.cwd())}


@dataclass(frozen=True, slots=True)
class _Server:
    """A process that forks workers, and the socket to it."""

    process: subprocess.Popen[bytes]
    socket: socket.socket
    mark: str
    """In the environment of all that it starts."""

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def close(self) -> None:
        """End it, its worker and all their descendants."""
        self.socket.close()
        self.process.send_signal(signal.SIGCONT)  # one that is stopped does not see that it is to end
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        process.kill_marked(self.mark)

    def end(self) -> str:
        """Say how it ended, once it is closed."""
        code = self.process.returncode
        if code is not None and code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"ended with code {code}"

    def receive(self, deadline: float, on_wait: Callable[[], None]) -> dict[str, Any] | None:
        """Return the answer to a request; None where the server ends.

        Raises:
            TimeoutError: there is none by the deadline.
        """
        self.socket.settimeout(_TICK_S)
        buffer = bytearray()
        while time.monotonic() < deadline and len(buffer) <= RESULT_LIMIT_BYTES:
            try:
                data = self.socket.recv(1 << 20)
            except TimeoutError:
                if process.state_of(self.process.pid) == "T":
                    self.process.send_signal(signal.SIGCONT)
                on_wait()
                continue
            if not data:
                return None
            buffer += data
            if buffer.endswith(b"\n"):
                answer: dict[str, Any] = json.loads(buffer)
                return answer
        raise TimeoutError
