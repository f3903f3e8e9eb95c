"""NVRTC through ctypes: compile CUDA C++ at run time, with neither nvcc nor a driver.

Libraries are looked for in this order: NVIDIA's wheels (which a CUDA build of torch brings), torch's own
folder, the system. The first that knows the architecture is taken.
"""

from __future__ import annotations

import ctypes
import importlib.util
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from harness.shim.cuda import cache as image_cache
from harness.shim.errors import CompileError, CompilerMissingError

OPTIONS = ("--std=c++17",)
SYSTEM_NAMES = ("libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so")


class Nvrtc:
    """One loaded NVRTC.

    Args:
        path: Its file, or a name that the loader finds.

    Raises:
        CompilerMissingError: it cannot be loaded.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            # NVRTC 13.0.88 opens its builtins by a bare name, which the loader knows once they are loaded.
            for builtins in sorted(Path(path).parent.glob("libnvrtc-builtins.so*")) if "/" in path else ():
                ctypes.CDLL(str(builtins), ctypes.RTLD_GLOBAL)
            self._lib: Any = ctypes.CDLL(path)
            self._lib.nvrtcGetErrorString.restype = ctypes.c_char_p
            self.version = self._version()
            self.architectures = self._architectures()
        except (OSError, AttributeError) as error:
            raise CompilerMissingError(f"cannot load NVRTC from {path}: {error}") from error

    def knows(self, architecture: str) -> bool:
        """Say whether it compiles for an architecture, e.g. `90a`."""
        return int(architecture.rstrip("af")) in self.architectures

    def compile(
        self, source: str, architecture: str, *, headers: Mapping[str, str], ptx: bool = False
    ) -> bytes:
        """Compile to machine code, or PTX, for an architecture such as `90a`; cached by all that bears on it.

        Raises:
            CompileError: the source was refused; the message holds the first error.
        """
        target = f"--gpu-architecture={'compute' if ptx else 'sm'}_{architecture}"
        name = image_cache.key(
            source, *(f"{n}\0{t}" for n, t in sorted(headers.items())), target, self.version, *OPTIONS
        )
        image = image_cache.load(name)
        if image is None:
            image = self._compile(source, (target, *OPTIONS), headers, "PTX" if ptx else "CUBIN")
            image_cache.store(name, image)
        return image

    def _compile(self, source: str, options: tuple[str, ...], headers: Mapping[str, str], kind: str) -> bytes:
        program = ctypes.c_void_p()
        texts = (ctypes.c_char_p * len(headers))(*(text.encode() for text in headers.values()))
        names = (ctypes.c_char_p * len(headers))(*(name.encode() for name in headers))
        self._check(
            self._lib.nvrtcCreateProgram(
                ctypes.byref(program), source.encode(), b"kernel.cu", len(headers), texts, names
            )
        )
        try:
            arguments = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
            if self._lib.nvrtcCompileProgram(program, len(options), arguments):
                log = self._read(program, "ProgramLog").rstrip(b"\0").decode(errors="replace")
                first = re.search(r"^.*error.*$", log, re.MULTILINE)
                raise CompileError(f"NVRTC {self.version}, {options[0]}: {first[0] if first else log[:300]}")
            return self._read(program, kind)
        finally:
            self._lib.nvrtcDestroyProgram(ctypes.byref(program))

    def _read(self, program: ctypes.c_void_p, what: str) -> bytes:
        size = ctypes.c_size_t()
        self._check(getattr(self._lib, f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
        buffer = ctypes.create_string_buffer(size.value)
        self._check(getattr(self._lib, f"nvrtcGet{what}")(program, buffer))
        return buffer.raw

    def _check(self, code: int) -> None:
        if code:
            raise CompileError(f"NVRTC {self.path}: {self._lib.nvrtcGetErrorString(code).decode()}")

    def _version(self) -> str:
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._check(self._lib.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)))
        return f"{major.value}.{minor.value}"

    def _architectures(self) -> frozenset[int]:
        count = ctypes.c_int()
        self._check(self._lib.nvrtcGetNumSupportedArchs(ctypes.byref(count)))
        known = (ctypes.c_int * count.value)()
        self._check(self._lib.nvrtcGetSupportedArchs(known))
        return frozenset(known)


def candidates() -> Iterator[str]:
    """Yield where NVRTC may be: files of wheels and of torch, then names for the loader."""
    for package, pattern in (("nvidia", "*/lib/libnvrtc.so.*"), ("torch", "lib/libnvrtc*.so*")):
        spec = importlib.util.find_spec(package)
        for root in (spec.submodule_search_locations or ()) if spec else ():
            for file in sorted(Path(root).glob(pattern), reverse=True):
                if "builtins" not in file.name and ".alt." not in file.name:
                    yield str(file)
    yield from SYSTEM_NAMES


@cache
def _loaded(path: str) -> Nvrtc | str:
    try:
        return Nvrtc(path)
    except (CompilerMissingError, CompileError) as error:
        return str(error)


def compiler_for(architecture: str) -> Nvrtc:
    """Return the first NVRTC that knows an architecture.

    Raises:
        CompilerMissingError: there is none; the message says what was found.
    """
    found = []
    for path in candidates():
        compiler = _loaded(path)
        if isinstance(compiler, str):
            continue
        if compiler.knows(architecture):
            return compiler
        found.append(f"{compiler.version} knows up to {max(compiler.architectures)}")
    heard = (
        ", ".join(found)
        if found
        else "none found; a CUDA build of torch or nvidia-cuda-nvrtc-cu12 brings one"
    )
    raise CompilerMissingError(f"no NVRTC for sm_{architecture}: {heard}")
