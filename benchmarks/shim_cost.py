"""What the shim costs the host: its import, and a pre-packed launch against the stand-in driver.

    python benchmarks/shim_cost.py

The stand-in counts the launch and returns, so what is left is ours: ctypes and the check of the return code.
Beside it in the same run: a bare ctypes call of a function that does nothing. Exit code 1 when a bound is
missed: 50 ms of CPU time for the import, 2 µs for the launch.
"""

from __future__ import annotations

import ctypes
import importlib.util
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from harness.shim.cuda.driver import Context, Driver
from harness.shim.cuda.images import image_for
from harness.shim.cuda.launch import Function, Module

ROOT = Path(__file__).parents[1]
LOOP = 2000


def standin(folder: Path) -> str:
    """Build the stand-in driver."""
    path = ROOT / "tests" / "standins" / "cuda" / "builder.py"
    spec = importlib.util.spec_from_file_location("standin_builder", path)
    assert spec is not None
    assert spec.loader is not None
    builder = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(builder)
    return str(builder.build(folder))


def import_ms(module: str) -> float:
    """Return the least CPU time of several fresh interpreters to import a module, their own start taken off.

    CPU time, because an import is one thread's work and others may be at work on this machine.
    """
    code = f"import time; t = time.process_time(); import {module}; print((time.process_time() - t) * 1e3)"
    runs = [
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        for _ in range(7)
    ]
    return min(float(run.stdout) for run in runs)


def call_us(call: Callable[[], object]) -> float:
    """Return the median over 15 loops of the time of one call."""
    samples = []
    for _ in range(15):
        begin = time.perf_counter_ns()
        for _ in range(LOOP):
            call()
        samples.append((time.perf_counter_ns() - begin) / LOOP / 1e3)
    return median(samples)


def main() -> int:
    """Measure and print; 1 when a bound is missed."""
    with tempfile.TemporaryDirectory() as folder:
        library = standin(Path(folder))
        controls = ctypes.CDLL(library)
        controls.standin_set(b"no_launch", 1)
        context = Context(Driver(library))
        with context:
            module = Module(context, image_for("memory", context.capability))
            types = (ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64)
            launch = Function(module, "copy_sweep", types).launch(0, 0, 0, grid=4, block=512)
            bare = controls.standin_contexts
            launch_us, bare_us = call_us(launch), call_us(bare)
    imports = {name: import_ms(name) for name in ("harness.shim", "harness.shim.cuda")}
    print(f"pre-packed launch      {launch_us:7.2f} us   (a bare ctypes call: {bare_us:.2f} us)")
    for name, took_ms in imports.items():
        print(f"import {name:18}{took_ms:5.1f} ms")
    return int(launch_us > 2.0 or max(imports.values()) > 50.0)


if __name__ == "__main__":
    sys.exit(main())
