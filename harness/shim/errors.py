"""Why the shim refuses: one type a reason, each with one line for the user that says what to do."""

from __future__ import annotations

from harness.system.errors import JoulemarkError


class ShimError(JoulemarkError, RuntimeError):
    """The shim cannot do what was asked. The message is one line."""


class CudaError(ShimError):
    """A driver call failed.

    Args:
        call: The function of the driver.
        code: What it returned.
        name: The driver's name of the code, e.g. `CUDA_ERROR_INVALID_VALUE`.
        text: The driver's explanation.
    """

    advice = ""

    def __init__(self, call: str, code: int, name: str, text: str) -> None:
        self.call, self.code, self.name, self.text = call, code, name, text
        super().__init__(f"{call}: {name} ({code}): {text}{self.advice}")


class OutOfDeviceMemoryError(CudaError):
    """The device has not enough free memory."""

    advice = "; free device memory or end what else runs on the device"


class NotPermittedError(CudaError):
    """The driver does not allow this user to do it."""

    advice = (
        "; performance counters need administrator rights, or the driver option "
        "NVreg_RestrictProfilingToAdminUsers=0"
    )


class DeviceBusyError(CudaError):
    """The device is held by another process or by its compute mode."""

    advice = "; another process holds the device, or its compute mode is exclusive or prohibited"


class ArchitectureError(ShimError):
    """No image fits the device's architecture, and none can be made."""


class DriverMissingError(ShimError):
    """There is no NVIDIA driver to load."""


class DriverTooOldError(ShimError):
    """The driver is older than what the shim calls."""


class SymbolMissingError(ShimError):
    """A library or a module lacks a function."""


class ProfilerAttachedError(ShimError):
    """Another profiler is attached to this process: what would be measured is the profiler."""


class CompilerMissingError(ShimError):
    """No NVRTC was found, or none that knows the architecture."""


class CompileError(ShimError):
    """NVRTC refused a kernel's source."""


class GateExpiredError(ShimError):
    """The gate's deadline passed before the host opened it: what ran behind it was not gated."""
