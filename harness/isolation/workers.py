"""The harness's side of a worker: start the server, ask for a replica, always come back with an outcome."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Self

from harness.isolation.protocol import RESULT_LIMIT_BYTES, Outcome
from harness.system.process import available_memory_bytes

WorkerKind = Literal["warm", "exec"]
_GRACE_S = 30.0
"""How much longer than a worker's own limit the server may take to answer."""
_TICK_S = 0.5


class Workers:
    """Runs replicas one after another, each in a worker process of its own.

    Entering starts nothing; the server starts with the first replica and again if it dies. Leaving ends
    the server and all that it holds.
    """

    def __init__(self, python: str = sys.executable, environment: dict[str, str] | None = None) -> None:
        self._python = python
        self._environment = environment
        self._server: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> None:
        mine, its = socket.socketpair()
        with its:
            self._server = subprocess.Popen(
                [self._python, "-m", "harness.worker", "serve", str(its.fileno())],
                pass_fds=(its.fileno(),),
                stdin=subprocess.DEVNULL,
                env=self._environment,
                start_new_session=True,
            )
        self._socket = mine

    def close(self) -> None:
        """End the server, its worker and all their descendants."""
        if self._socket is not None:
            self._socket.close()
        if self._server is not None:
            try:
                self._server.wait(timeout=5)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._server.pid, signal.SIGKILL)
                self._server.wait()
        self._server = self._socket = None

    def run(
        self,
        spec: dict[str, Any],
        folder: Path,
        *,
        worker: WorkerKind = "warm",
        timeout_s: float,
        memory_limit_bytes: int | None = None,
        on_wait: Callable[[], None] = lambda: None,
    ) -> Outcome:
        """Run one replica and return what became of it; only an interrupt of this process is raised.

        Args:
            spec: what `harness.trial.replica.run_replica` takes, as plain data.
            folder: an existing folder for the worker's log and traces.
            worker: forked warm, or a new interpreter.
            timeout_s: hard limit of the replica.
            memory_limit_bytes: what the worker may take; None is nine tenths of what is available.
            on_wait: called about twice per second while waiting, to draw progress.
        """
        if self._server is None or self._server.poll() is not None:
            self.close()
            self._start()
        assert self._socket is not None
        request = {
            "spec": spec,
            "folder": str(folder.resolve()),
            "worker": worker,
            "timeout_s": timeout_s,
            "memory_limit_bytes": memory_limit_bytes or int(0.9 * available_memory_bytes()),
        }
        try:
            self._socket.sendall(json.dumps(request).encode() + b"\n")
            answer = self._receive(time.monotonic() + timeout_s + _GRACE_S, on_wait)
        except OSError as error:
            answer, problem = None, f"the worker server ended: {error}"
        else:
            problem = "the worker server ended or did not answer"
        if answer is None:
            self.close()
            return Outcome(problem=problem)
        return Outcome(**answer)

    def _receive(self, deadline: float, on_wait: Callable[[], None]) -> dict[str, Any] | None:
        assert self._socket is not None
        self._socket.settimeout(_TICK_S)
        buffer = bytearray()
        while time.monotonic() < deadline and len(buffer) <= RESULT_LIMIT_BYTES:
            try:
                data = self._socket.recv(1 << 20)
            except TimeoutError:
                on_wait()
                continue
            if not data:
                return None
            buffer += data
            if buffer.endswith(b"\n"):
                answer: dict[str, Any] = json.loads(buffer)
                return answer
        return None
