"""Runs `python -m MODULE` in processes that are forked from one that has imported what they import."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

SERVER = Path(__file__).with_name("fork_server.py")


class Forks:
    """The server, started with the first command and ended on leaving."""

    def __init__(self) -> None:
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if self._server is not None and self._control is not None:
            self._control.close()
            self._server.wait(timeout=60)

    def run(
        self,
        module: str,
        arguments: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str],
        timeout_s: float,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end.

        Raises:
            subprocess.TimeoutExpired: it took longer, and was killed.
        """
        request = {
            "module": module,
            "arguments": arguments,
            "folder": str(folder),
            "environment": dict(environment),
        }
        control = self._started()
        status, its_status = os.pipe()
        with (
            tempfile.TemporaryFile("w+") as out,
            tempfile.TemporaryFile("w+") as err,
            os.fdopen(status, "rb") as ended,
        ):
            try:
                files = [out.fileno(), err.fileno(), its_status]
                socket.send_fds(control, [json.dumps(request).encode()], files)
            finally:
                os.close(its_status)
            (pid,) = struct.unpack("i", control.recv(4))
            if not select.select([ended], [], [], timeout_s)[0]:
                os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(arguments, timeout_s)
            (code,) = struct.unpack("i", ended.read(4))
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(arguments, code, out.read(), err.read())

    def _started(self) -> socket.socket:
        if self._control is None:
            self._control, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with its:
                command = [sys.executable, str(SERVER), str(its.fileno())]
                null = subprocess.DEVNULL
                self._server = subprocess.Popen(
                    command, pass_fds=(its.fileno(),), stdin=null, stdout=null, start_new_session=True
                )
        return self._control
