"""The compiled kernels, where somebody said how to compile them."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

Build = Callable[[str, Sequence[Path], Sequence[str]], ctypes.CDLL]
"""Makes a library of a name, C sources and flags; an exception says why it cannot."""
FLAGS = ("-O3", "-march=native", "-Wno-psabi")
"""Wide vectors pass between inlined functions alone, so that nobody else need know how."""
_FOLDER = Path(__file__).parent
_builders: list[Build] = []


def build_with(build: Build | None) -> None:
    """Say how this process compiles C; None: not at all, so that torch's own kernels run.

    What is loaded stays loaded for the same `build`: a forked process has it from its parent.
    """
    builders = [] if build is None else [build]
    if builders != _builders:
        _builders[:] = builders
        _loaded.cache_clear()


def library() -> ctypes.CDLL | None:
    """Return the kernels; None where they are not to be had, see `missing`."""
    return _loaded()[0]


def missing() -> str | None:
    """Return why there are no kernels of our own; None where there are."""
    return _loaded()[1]


def packs() -> bool:
    """Return whether the kernels for packed weights are there, which need AVX-512 VNNI."""
    lib = library()
    return lib is not None and bool(lib.packed_kernels())


@cache
def _loaded() -> tuple[ctypes.CDLL | None, str | None]:
    if not _builders:
        return None, "nobody said how to compile C here"
    try:
        lib = _builders[0]("kernels", sorted(_FOLDER.glob("*.[ch]")), FLAGS)
    except Exception as error:  # noqa: BLE001 - whatever a compiler does, torch's kernels are there
        return None, str(error)
    _join_torch_threads(lib)
    _declare(lib)
    return lib, None


def _join_torch_threads(lib: ctypes.CDLL) -> None:
    """Hand the kernels torch's OpenMP; without it they run on one thread."""
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return
    paths = dict.fromkeys(line.split()[-1] for line in lines if "/torch/lib/libgomp" in line)
    for path in paths:
        gomp = ctypes.CDLL(path)
        lib.set_team(
            ctypes.cast(gomp.GOMP_parallel, ctypes.c_void_p),
            ctypes.cast(gomp.omp_get_thread_num, ctypes.c_void_p),
        )
        return


def _declare(lib: ctypes.CDLL) -> None:
    pointer, size, number = ctypes.c_void_p, ctypes.c_long, ctypes.c_int
    for plain in (lib.linear_f32, lib.linear_bf16):
        plain.argtypes, plain.restype = [pointer] * 4 + [size] * 3 + [number], None
    lib.attend.argtypes = [pointer] * 5 + [size] * 7 + [number] * 2
    lib.decoder_block.argtypes = [pointer] * 6 + [size] * 4 + [number] * 2
    lib.decoder_step.argtypes = [*[pointer] * 5, size, pointer, *[size] * 4, *[number] * 2]
    if lib.packed_kernels():
        lib.linear_i8.argtypes = [pointer] * 5 + [size] * 3 + [number] * 2
        lib.rows_i8.argtypes = [pointer] * 4 + [size] * 3 + [number]
        lib.linear_i4.argtypes = [pointer] * 6 + [size] * 4 + [number] * 2
