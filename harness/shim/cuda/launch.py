"""Modules, functions and launches whose arguments are packed once, so that a launch is one call."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

from harness.shim.cuda.driver import Context
from harness.shim.cuda.images import Image
from harness.shim.errors import CudaError, SymbolMissingError

_MAX_DYNAMIC_SHARED = 8
_LOCAL_BYTES = 3
_NOT_FOUND = 500
Dimensions = int | tuple[int, int, int]


class _Config(ctypes.Structure):
    """`CUlaunchConfig`."""

    _fields_ = [
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("shared_bytes", ctypes.c_uint),
        ("stream", ctypes.c_void_p),
        ("attributes", ctypes.c_void_p),
        ("attribute_count", ctypes.c_uint),
    ]


class Launch:
    """One kernel with its arguments, grid and stream, ready to go; calling it enqueues the kernel.

    The context must be current, as it is when torch works on the same device.
    """

    __slots__ = ("_arguments", "_config", "_driver", "_keep", "_launch")

    def __init__(self, context: Context, function: int, arguments: Sequence[Any], config: _Config) -> None:
        self._driver = context.driver
        self._config = config
        # The driver reads each argument through a pointer; both arrays must live as long as the launch.
        pointers = (ctypes.c_void_p * max(1, len(arguments)))(*(ctypes.addressof(a) for a in arguments))
        self._keep = (tuple(arguments), pointers)
        self._launch = context.driver.function("cuLaunchKernelEx")
        self._arguments = (
            ctypes.addressof(config),
            ctypes.c_uint64(function),
            ctypes.addressof(pointers),
            None,
        )

    def __call__(self) -> None:
        """Enqueue the kernel.

        Raises:
            CudaError: the driver refused it, or earlier work of the context failed.
        """
        code = self._launch(*self._arguments)
        if code:
            self._driver.fail("cuLaunchKernelEx", code)

    def on(self, stream: int) -> None:
        """Change the stream."""
        self._config.stream = stream

    def set(self, position: int, value: int | float) -> None:
        """Change one argument of the launches to come."""
        self._keep[0][position].value = value


class Function:
    """One kernel of a loaded module.

    Args:
        module: Where it is.
        name: As in the source.
        types: ctypes types of its parameters, in order.

    Raises:
        SymbolMissingError: the module has no such kernel.
    """

    def __init__(self, module: Module, name: str, types: Sequence[type[Any]]) -> None:
        self.name = name
        self._context = module.context
        self._types = tuple(types)
        driver = module.context.driver
        try:
            self.handle = int(
                driver.read(ctypes.c_uint64, "cuModuleGetFunction", module.handle, name.encode())
            )
        except CudaError as error:
            if error.code != _NOT_FOUND:
                raise
            image = module.image
            raise SymbolMissingError(
                f"the image {image.unit} for {image.architecture} has no kernel {name}"
            ) from error

    def launch(
        self,
        *arguments: Any,
        grid: Dimensions = 1,
        block: Dimensions = 1,
        stream: int = 0,
        shared_bytes: int = 0,
    ) -> Launch:
        """Pack a launch. Addresses are integers; `stream` is a handle, 0 the default stream.

        Raises:
            TypeError: a number of arguments other than the kernel's, or a value of the wrong type.
        """
        if len(arguments) != len(self._types):
            raise TypeError(f"{self.name} takes {len(self._types)} arguments, not {len(arguments)}")
        packed = [kind(value) for kind, value in zip(self._types, arguments, strict=True)]
        sizes = (_three(grid), _three(block))
        return Launch(self._context, self.handle, packed, _Config(*sizes, shared_bytes, stream, None, 0))

    def allow_shared(self, size: int) -> None:
        """Let a block take `size` bytes of dynamic shared memory."""
        self._context.driver.call("cuFuncSetAttribute", self.handle, _MAX_DYNAMIC_SHARED, size)

    def blocks_per_sm(self, block: int, shared_bytes: int = 0) -> int:
        """Return how many blocks fit one multiprocessor at once."""
        query = "cuOccupancyMaxActiveBlocksPerMultiprocessor"
        return int(self._context.driver.read(ctypes.c_int, query, self.handle, block, shared_bytes))

    @property
    def local_bytes(self) -> int:
        """Local memory that a thread takes: 0 unless registers spill."""
        return int(self._context.driver.read(ctypes.c_int, "cuFuncGetAttribute", _LOCAL_BYTES, self.handle))


class Module:
    """An image loaded into a context.

    Raises:
        CudaError: the driver does not take the image.
    """

    def __init__(self, context: Context, image: Image) -> None:
        self.context = context
        self.image = image
        code = image.code if image.kind == "cubin" else image.code.rstrip(b"\0") + b"\0"
        self.handle = int(context.driver.read(ctypes.c_uint64, "cuModuleLoadData", code))


def _three(size: Dimensions) -> Any:
    return (ctypes.c_uint * 3)(*((size, 1, 1) if isinstance(size, int) else size))
