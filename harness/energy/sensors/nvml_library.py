"""NVIDIA's management library through its own Python bindings, loaded on first use and once per process."""

from __future__ import annotations

import ctypes
import os
from functools import cache
from types import ModuleType
from typing import Any

from harness.energy.sensors.base import SensorUnavailable

_REINSTALL = "pip uninstall -y pynvml && pip install --force-reinstall nvidia-ml-py"
_MENDS = {
    "LIBRARY_NOT_FOUND": "install NVIDIA's driver; in a container, expose it (`--gpus all`)",
    "DRIVER_NOT_LOADED": "load the kernel module: `modprobe nvidia`",
    "LIB_RM_VERSION_MISMATCH": "the driver was updated while loaded: reboot",
    "NO_PERMISSION": "run as a user that may open /dev/nvidia*",
}


def library() -> Any:  # the bindings carry no types
    """Return the bindings, initialised in this process.

    Raises:
        SensorUnavailable: no bindings, the wrong ones, no driver or no permission.
    """
    return _initialised(os.getpid())  # a forked child initialises for itself


@cache
def _initialised(_pid: int) -> ModuleType:
    nvml = bindings()
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        raise unavailable(nvml, "NVML", error) from error
    return nvml


def bindings() -> ModuleType:
    """Import the bindings and make sure that they are NVIDIA's.

    Raises:
        SensorUnavailable: they are missing, or another package of the same name hides them.
    """
    try:
        import pynvml
    except ImportError as error:
        raise SensorUnavailable("nvidia-ml-py is not installed", "pip install nvidia-ml-py") from error
    # NVIDIA's bindings are one module; the abandoned package `pynvml` was a folder and lacks newer fields.
    if hasattr(pynvml, "__path__") or not hasattr(pynvml, "NVML_FI_DEV_POWER_INSTANT"):
        where = getattr(pynvml, "__file__", "?")
        raise SensorUnavailable(f"an old package pynvml hides nvidia-ml-py ({where})", _REINSTALL)
    return pynvml  # type: ignore[no-any-return, unused-ignore]


def untold(nvml: Any) -> tuple[type[Exception], ...]:
    """Return the errors of what this driver or these bindings are too old for, or do not allow.

    The bindings raise an error of their own for a function whose versions an old driver lacks.
    """
    mismatch = getattr(nvml, "NVMLLibraryMismatchError", nvml.NVMLError)
    return (nvml.NVMLError, mismatch, AttributeError)


def unavailable(nvml: Any, what: str, error: Exception) -> SensorUnavailable:
    """Turn an NVML error into a reason in one line, and what to do about it."""
    code = getattr(error, "value", None)
    name = next((n for n in _MENDS if getattr(nvml, f"NVML_ERROR_{n}", object()) == code), "")
    return SensorUnavailable(f"{what}: {error}", _MENDS.get(name))


@cache
def address(function: str) -> int:
    """Return a library function's address for native code, or 0 where the driver is too old to have it."""
    loaded = ctypes.CDLL("libnvidia-ml.so.1")  # the bindings hold it already: the same copy
    pointer = getattr(loaded, function, None)
    return (ctypes.cast(pointer, ctypes.c_void_p).value or 0) if pointer is not None else 0
