"""Build the stand-in `libnvidia-ml.so.1` and run Python against it, behind the real NVML bindings."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).with_name("nvml.c")
ROOT = Path(__file__).parents[3]


class NoCompilerError(Exception):
    """There is no C compiler here."""


def build(folder: Path, *defines: str) -> Path:
    """Compile the library into a folder and return that folder, which belongs on LD_LIBRARY_PATH.

    Raises:
        NoCompilerError: `cc` was not found.
    """
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise NoCompilerError("no C compiler to build the NVML stand-in")
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "libnvidia-ml.so.1"
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-std=gnu11", "-shared", "-fPIC", "-pthread"]
    subprocess.run(
        [compiler, *flags, *(f"-D{d}" for d in defines), str(SOURCE), "-o", str(target), "-lm"], check=True
    )
    return folder


def environment(library: Path, script: Path, cache: Path) -> dict[str, str]:
    """Return the environment in which NVML is the stand-in, playing a script."""
    return {
        **os.environ,
        "LD_LIBRARY_PATH": str(library),
        "NVML_STANDIN_SCRIPT": str(script),
        "XDG_CACHE_HOME": str(cache),
        "PYTHONPATH": str(ROOT),
    }


def run(code: str, env: dict[str, str], timeout_s: float = 60.0) -> Any:
    """Run Python code in a new interpreter and return what its last printed line holds as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=timeout_s, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
