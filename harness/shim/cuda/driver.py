"""The CUDA driver through ctypes: loaded on first use, every return code checked.

Handles, streams and addresses are plain integers, so that torch's streams and tensors' `data_ptr()` go
straight in. The primary context is retained, which is the one that torch works in.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Self

from harness.shim.errors import (
    CudaError,
    DeviceBusyError,
    DriverMissingError,
    DriverTooOldError,
    NotPermittedError,
    OutOfDeviceMemoryError,
    ProfilerAttachedError,
    SymbolMissingError,
)

LIBRARY = "libcuda.so.1"
OLDEST_DRIVER = 12000
"""CUDA 12.0: the first whose drivers all have `cuLaunchKernelEx`."""

ATTRIBUTES = {
    "multiprocessors": 16,
    "l2_bytes": 38,
    "major": 75,
    "minor": 76,
}
"""`CUdevice_attribute` by our names."""

_TYPED = {
    2: OutOfDeviceMemoryError,
    46: DeviceBusyError,
    800: NotPermittedError,
}
_INJECTIONS = ("CUDA_INJECTION64_PATH", "CUDA_INJECTION32_PATH")
_TOOLS = ("libcuinj64", "libToolsInjection", "libcuda-injection", "libsanitizer-collection")

_int, _u32, _u64, _size = ctypes.c_int, ctypes.c_uint, ctypes.c_uint64, ctypes.c_size_t
_out = ctypes.c_void_p
# What each function takes; outputs are addresses. The headers hide the `_v2` of the binary interface.
_PROTOTYPES: dict[str, tuple[Any, ...]] = {
    "cuInit": (_u32,),
    "cuDriverGetVersion": (_out,),
    "cuDeviceGet": (_out, _int),
    "cuDeviceGetCount": (_out,),
    "cuDeviceGetName": (_out, _int, _int),
    "cuDeviceGetAttribute": (_out, _int, _int),
    "cuDeviceCanAccessPeer": (_out, _int, _int),
    "cuDevicePrimaryCtxRetain": (_out, _int),
    "cuDevicePrimaryCtxRelease_v2": (_int,),
    "cuCtxPushCurrent_v2": (_u64,),
    "cuCtxPopCurrent_v2": (_out,),
    "cuCtxSynchronize": (),
    "cuCtxEnablePeerAccess": (_u64, _u32),
    "cuModuleLoadData": (_out, ctypes.c_char_p),
    "cuModuleUnload": (_u64,),
    "cuModuleGetFunction": (_out, _u64, ctypes.c_char_p),
    "cuFuncSetAttribute": (_u64, _int, _int),
    "cuFuncGetAttribute": (_out, _int, _u64),
    "cuOccupancyMaxActiveBlocksPerMultiprocessor": (_out, _u64, _int, _size),
    "cuLaunchKernelEx": (_out, _u64, _out, _out),
    "cuMemAlloc_v2": (_out, _size),
    "cuMemFree_v2": (_u64,),
    "cuMemGetInfo_v2": (_out, _out),
    "cuMemHostAlloc": (_out, _size, _u32),
    "cuMemFreeHost": (_u64,),
    "cuMemHostGetDevicePointer_v2": (_out, _u64, _u32),
    "cuMemsetD8Async": (_u64, ctypes.c_ubyte, _size, _u64),
    "cuMemcpyHtoDAsync_v2": (_u64, _u64, _size, _u64),
    "cuMemcpyDtoHAsync_v2": (_u64, _u64, _size, _u64),
    "cuMemcpyDtoDAsync_v2": (_u64, _u64, _size, _u64),
    "cuMemcpyPeerAsync": (_u64, _u64, _u64, _u64, _size, _u64),
    "cuStreamSynchronize": (_u64,),
    "cuEventCreate": (_out, _u32),
    "cuEventRecord": (_u64, _u64),
    "cuEventSynchronize": (_u64,),
    "cuEventElapsedTime": (_out, _u64, _u64),
    "cuEventDestroy_v2": (_u64,),
}


class Driver:
    """The loaded driver library: `call` raises a typed error unless a function returns 0.

    Raises:
        DriverMissingError: the library is not installed, or it finds no device.
        DriverTooOldError: its version is below `OLDEST_DRIVER`.
        SymbolMissingError: it lacks a function that its version should have.
    """

    def __init__(self, library: str = LIBRARY) -> None:
        try:
            self._lib = ctypes.CDLL(library)
        except OSError as error:
            raise DriverMissingError(f"no NVIDIA driver: {library} is not installed") from error
        self._functions = {"cuDriverGetVersion": self._bind("cuDriverGetVersion")}
        self.version = self.read(ctypes.c_int, "cuDriverGetVersion")
        if self.version < OLDEST_DRIVER:
            raise DriverTooOldError(
                f"the NVIDIA driver speaks CUDA {_dotted(self.version)}; the shim needs "
                f"{_dotted(OLDEST_DRIVER)} or newer: update the driver"
            )
        self._functions |= {name: self._bind(name) for name in _PROTOTYPES}
        code = self._functions["cuInit"](0)
        if code:
            name, text = self._described(code)
            raise DriverMissingError(f"the NVIDIA driver does not start: {name} ({code}): {text}")

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function.

        Raises:
            CudaError: it returned an error; the subclass says which kind.
        """
        code = self._functions[name](*arguments)
        if code:
            self.fail(name, code)

    def read(self, kind: type[Any], name: str, *arguments: Any) -> Any:
        """Call a function whose first argument is an output of type `kind`, and return the output."""
        value = kind()
        self.call(name, ctypes.byref(value), *arguments)
        return value.value

    def function(self, name: str) -> Any:
        """Return the raw function, for a call that checks its code itself."""
        return self._functions[name]

    def fail(self, name: str, code: int) -> None:
        """Raise the error that a code stands for."""
        raise _TYPED.get(code, CudaError)(name, code, *self._described(code))

    def device_count(self) -> int:
        """Return how many devices the driver shows."""
        return int(self.read(ctypes.c_int, "cuDeviceGetCount"))

    def _bind(self, name: str) -> Any:
        try:
            function = getattr(self._lib, name)
        except AttributeError as error:
            raise SymbolMissingError(
                f"the NVIDIA driver has no function {name}: reinstall the driver"
            ) from error
        function.argtypes = _PROTOTYPES[name]
        return function

    def _described(self, code: int) -> tuple[str, str]:
        """Return the driver's name and explanation of a code; one that it does not know says so."""
        answers = []
        for name, unknown in (("cuGetErrorName", "unknown error"), ("cuGetErrorString", "no explanation")):
            text = ctypes.c_char_p()
            self._lib[name](code, ctypes.byref(text))
            answers.append(text.value.decode(errors="replace") if text.value else unknown)
        return answers[0], answers[1]


@cache
def load(library: str = LIBRARY) -> Driver:
    """Return the driver, loaded once for this process."""
    return Driver(library)


class Context:
    """The primary context of one device, shared with torch; `with context:` makes it current for this thread.

    Args:
        driver: The loaded driver.
        index: Which device, as `CUDA_VISIBLE_DEVICES` leaves them.

    Raises:
        DriverMissingError: there is no such device.
        DeviceBusyError: it is held by another process.
    """

    def __init__(self, driver: Driver, index: int = 0) -> None:
        count = driver.device_count()
        if not 0 <= index < count:
            raise DriverMissingError(f"no device cuda:{index}: the driver shows {count}")
        self.driver = driver
        self.index = index
        self.device = int(driver.read(_int, "cuDeviceGet", index))
        self.attributes = {
            name: int(driver.read(_int, "cuDeviceGetAttribute", number, self.device))
            for name, number in ATTRIBUTES.items()
        }
        name = ctypes.create_string_buffer(256)
        driver.call("cuDeviceGetName", name, 256, self.device)
        self.name = name.value.decode(errors="replace")
        self.handle = int(driver.read(_u64, "cuDevicePrimaryCtxRetain", self.device))

    @property
    def capability(self) -> tuple[int, int]:
        """The device's compute capability."""
        return self.attributes["major"], self.attributes["minor"]

    def __enter__(self) -> Self:
        """Make it current; contexts nest."""
        self.driver.call("cuCtxPushCurrent_v2", self.handle)
        return self

    def __exit__(self, *_exception: object) -> None:
        """Make current again what was so before."""
        self.driver.read(_u64, "cuCtxPopCurrent_v2")

    def close(self) -> None:
        """Give the context back; it lives on while torch holds it."""
        self.driver.call("cuDevicePrimaryCtxRelease_v2", self.device)

    @contextlib.contextmanager
    def memory(self, *sizes: int) -> Iterator[tuple[int, ...]]:
        """Allocate device buffers of these sizes in bytes, and free them at the end.

        Raises:
            OutOfDeviceMemoryError: there is not enough.
        """
        held: list[int] = []
        try:
            for size in sizes:
                address = int(self.driver.read(_u64, "cuMemAlloc_v2", size))
                held.append(address)  # one by one: what was taken is freed when the next one fails
            yield tuple(held)
        finally:
            for address in held:
                self.driver.call("cuMemFree_v2", address)

    def free_bytes(self) -> int:
        """Return how much device memory is free."""
        total = ctypes.c_size_t()
        return int(self.driver.read(_size, "cuMemGetInfo_v2", ctypes.byref(total)))

    def synchronize(self) -> None:
        """Wait for all work of the context."""
        self.driver.call("cuCtxSynchronize")


def attached_profiler(
    environment: dict[str, str] | None = None, maps: Path = Path("/proc/self/maps")
) -> str | None:
    """Return which foreign profiling tool is attached to this process, or None."""
    variables = os.environ if environment is None else environment
    for variable in _INJECTIONS:
        if variables.get(variable):
            return f"{variable}={variables[variable]}"
    try:
        loaded = maps.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return next((tool for tool in _TOOLS if tool in loaded), None)


def refuse_profiler() -> None:
    """Refuse to measure under another profiler.

    Raises:
        ProfilerAttachedError: one is attached.
    """
    tool = attached_profiler()
    if tool is not None:
        raise ProfilerAttachedError(f"another profiler is attached ({tool}): run without it to measure")


def _dotted(version: int) -> str:
    return f"{version // 1000}.{version % 1000 // 10}"
