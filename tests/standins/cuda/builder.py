"""Build the stand-in `libcuda.so.1`, which runs the kernels' own sources as C++."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
KERNELS = HERE.parents[2] / "harness" / "shim" / "cuda" / "kernels"
FLAGS = (
    "-O2",
    "-std=c++17",
    "-shared",
    "-fPIC",
    "-pthread",
    "-ffp-contract=off",
    "-Wall",
    "-Wextra",
    "-Werror",
)


class NoCompilerError(Exception):
    """There is no C++ compiler here."""


def build(folder: Path) -> Path:
    """Compile the library into a folder and return its file.

    Raises:
        NoCompilerError: `c++` was not found.
    """
    compiler = shutil.which(os.environ.get("CXX", "c++"))
    if compiler is None:
        raise NoCompilerError("no C++ compiler to build the CUDA stand-in")
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "libcuda.so.1"
    sources = [str(HERE / name) for name in ("libcuda.cpp", "kernels.cpp")]
    subprocess.run(
        [compiler, *FLAGS, "-Wno-unknown-pragmas", f"-I{KERNELS}", *sources, "-o", str(target)], check=True
    )
    return target
