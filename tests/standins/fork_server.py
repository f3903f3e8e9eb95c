"""Forks a process for each command that tests start, from one that has imported what the commands import.

`python fork_server.py FD` reads requests from socket FD, one packet of JSON each with three files: the
command's output, its errors, and a pipe for its exit status. A child has the environment, the folder, the
arguments and the import path that `python -m MODULE` gives; imports and the interpreter's start alone are
shared. What concerns these, or a library's own environment, is tested with a new interpreter.
"""

from __future__ import annotations

import gc
import json
import os
import pkgutil
import runpy
import signal
import socket
import struct
import sys
import tempfile
from multiprocessing import get_context
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path


def _preload() -> None:
    """Import what commands import; run nothing of it."""
    import pytest

    with tempfile.TemporaryDirectory() as empty:
        # Plugins are imported as pytest does it: it rewrites their assertions, and warns where it cannot.
        pytest.main(["-qq", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", empty, empty])
    import torch._dynamo  # noqa: F401 - with torch, what its first optimizer imports

    import harness.cli.commands as verbs
    import harness.pytest_plugin.fixture
    import harness.trial.replica  # noqa: F401

    for each in pkgutil.iter_modules(verbs.__path__, f"{verbs.__name__}."):
        __import__(each.name)
    gc.collect()
    gc.freeze()


def _become(packet: bytes, files: list[int]) -> None:
    """Turn this child into the command."""
    request = json.loads(packet)
    for source, target in zip(files[:2], (1, 2), strict=True):
        os.dup2(source, target, inheritable=True)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    tempfile.tempdir = None  # the environment names it
    sys.argv = ["", *request["arguments"]]
    added = [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]
    sys.path[:0] = [request["folder"], *added]
    runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


def _serve(control: socket.socket) -> None:
    """Answer until the other end closes, and end with it."""
    running: dict[int, tuple[BaseProcess, int]] = {}
    while True:
        for ready in wait([control, *running]):
            if ready is not control:
                process, status = running.pop(ready)
                process.join()
                os.write(status, struct.pack("i", process.exitcode))
                os.close(status)
                continue
            packet, files, _, _ = socket.recv_fds(control, 1 << 18, 3)
            if not packet:
                os._exit(0)  # without the clean-up of all that was imported
            process = get_context("fork").Process(target=_become, args=(packet, files))
            process.start()
            control.send(struct.pack("i", process.pid))
            for fd in files[:2]:
                os.close(fd)
            running[process.sentinel] = (process, files[2])


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[2])
    _preload()
    del sys.path[0]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _serve(socket.socket(fileno=int(sys.argv[1])))
