"""Our C sources, compiled on first use with the machine's own compiler and kept in the user's cache."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from harness.system.errors import JoulemarkError

_SHARED = ("-std=gnu11", "-shared", "-fPIC", "-pthread")
_BUILD_LIMIT_S = 60.0


class NotBuiltError(JoulemarkError):
    """A library cannot be built or loaded here; the message says why."""


def load(name: str, sources: Sequence[Path], flags: Sequence[str]) -> ctypes.CDLL:
    """Return the library made of `sources`, building it if these were never built here.

    The cached file is keyed by the sources' contents, the flags and the compiler, and with `-march=native` by
    the processor's features too: a home folder may be shared by unlike machines.

    Args:
        name: stem of the cached file.
        sources: C files, and the headers that they include from their own folder.
        flags: of the compiler, beside those of a shared library.

    Raises:
        NotBuiltError: no compiler, no place to keep it, or an error of the compiler.
    """
    compiler = compiler_path()
    if compiler is None or sys.platform != "linux":
        raise NotBuiltError(f"no C compiler for the {name} library")
    built = Path(compiler).stat()
    key = hashlib.sha256(
        repr(
            (
                [path.read_bytes() for path in sources],
                (*_SHARED, *flags),
                (os.path.realpath(compiler), built.st_size, built.st_mtime_ns),
                (platform.machine(), platform.libc_ver()),
                _cpu_features() if "-march=native" in flags else None,
            )
        ).encode()
    ).hexdigest()[:16]
    target = cache_folder() / f"{name}-{key}.so"
    if not _is_whole(target):
        _build(name, compiler, flags, [path for path in sources if path.suffix == ".c"], target)
    try:
        return ctypes.CDLL(str(target))
    except OSError as error:
        raise NotBuiltError(f"cannot load {target}: {error}") from error


def compiler_path() -> str | None:
    """Return the C compiler: `$CC`, else `cc`; None where there is none."""
    return shutil.which(os.environ.get("CC", "cc"))


def cache_folder() -> Path:
    """Return the folder of everything that is built once for this user."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "joulemark"


def _build(name: str, compiler: str, flags: Sequence[str], sources: Sequence[Path], target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            made = Path(folder) / target.name
            subprocess.run(
                [compiler, *_SHARED, *flags, *map(str, sources), "-o", str(made)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=True,
                timeout=_BUILD_LIMIT_S,
            )
            # Two builders at once end with a pair that does not fit at worst, and the next one builds again.
            digest = made.with_suffix(".sha256")
            digest.write_text(_digest(made))
            made.replace(target)
            digest.replace(target.with_suffix(".sha256"))
    except (OSError, subprocess.SubprocessError) as error:
        output = getattr(error, "stderr", None) or b""
        raise NotBuiltError(
            f"cannot build the {name} library: {error} {output[-200:].decode(errors='replace')}"
        ) from error


def _is_whole(target: Path) -> bool:
    """Return whether a library is there as it was built: loading a damaged one may end the process."""
    try:
        return target.with_suffix(".sha256").read_text() == _digest(target)
    except (OSError, UnicodeDecodeError):
        return False


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _cpu_features() -> str:
    """Return what the kernel says of the processor's instruction sets, which `-march=native` follows."""
    try:
        text = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return platform.processor()
    found = re.findall(r"^(?:model name|CPU part|flags|Features)\s*:.*$", text, re.MULTILINE)
    return "\n".join(dict.fromkeys(found))
