"""The sampler as a native thread: `sampler.c`, compiled on first use and kept in the user's cache."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from harness.energy.sampling.trace import ROW
from harness.energy.sensors.base import NativeRead
from harness.system import native


class NoNativeSampler(Exception):  # noqa: N818 - a state of the machine: the other sampler is used
    """The native sampler cannot be built or loaded here; the message says why."""


class _Channel(ctypes.Structure):
    _fields_ = [
        ("op", ctypes.c_int32),
        ("field", ctypes.c_uint32),
        ("field_scope", ctypes.c_uint32),
        ("every", ctypes.c_int32),
        ("scale", ctypes.c_double),
        ("function", ctypes.c_void_p),
        ("handle", ctypes.c_void_p),
        ("path", ctypes.c_char_p),
    ]


class NativeSampler:
    """A running native thread that reads its channels in order, once a period, on absolute deadlines."""

    def __init__(self, reads: Sequence[NativeRead], period_ns: int, capacity_rows: int) -> None:
        """Start the thread.

        Raises:
            NoNativeSampler: no compiler, no memory, or no thread to be had.
        """
        self._lib = load()
        channels = (_Channel * len(reads))(
            *(
                _Channel(
                    r.op,
                    r.field,
                    r.field_scope,
                    max(1, round(r.every_s * 1e9 / period_ns)),
                    r.scale,
                    r.function,
                    r.handle,
                    path,
                )
                for r, path in zip(reads, [os.fsencode(r.path) for r in reads], strict=True)
            )
        )
        self._capacity = capacity_rows
        self._sampler: int | None = self._lib.sampler_start(channels, len(reads), period_ns, capacity_rows)
        if not self._sampler:
            raise NoNativeSampler("no memory or thread for the native sampler")

    def wait_first(self, timeout_s: float) -> bool:
        """Wait until every channel was read once; False when that took too long."""
        give_up = time.monotonic() + timeout_s
        while not self._lib.sampler_rounds(self._sampler):
            if time.monotonic() > give_up:
                return False
            time.sleep(0.0005)
        return True

    def stop(self) -> tuple[bytes, int]:
        """End the thread and return its rows, oldest first, and how many the ring had to drop."""
        self._lib.sampler_stop(self._sampler)
        written = int(self._lib.sampler_written(self._sampler))
        rows = ctypes.create_string_buffer(min(written, self._capacity) * ROW.size)
        kept = int(self._lib.sampler_copy(self._sampler, rows))
        self._lib.sampler_free(self._sampler)
        self._sampler = None
        return rows.raw[: kept * ROW.size], written - kept


@cache
def load() -> ctypes.CDLL:
    """Return the compiled sampler, building it if this source was never built here.

    Raises:
        NoNativeSampler: it cannot be built or loaded.
    """
    try:
        lib = native.load("sampler", [Path(__file__).with_name("sampler.c")], ("-O2",))
    except native.NotBuiltError as error:
        raise NoNativeSampler(str(error)) from error
    lib.sampler_start.restype = ctypes.c_void_p
    lib.sampler_start.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_uint64]
    lib.sampler_written.restype = lib.sampler_rounds.restype = lib.sampler_copy.restype = ctypes.c_uint64
    lib.sampler_rounds.argtypes = lib.sampler_written.argtypes = lib.sampler_stop.argtypes = (
        lib.sampler_free.argtypes
    ) = [ctypes.c_void_p]
    lib.sampler_stop.restype = lib.sampler_free.restype = None
    lib.sampler_copy.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    return lib
