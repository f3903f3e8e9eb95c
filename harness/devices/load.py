"""A steady load on a device, switched on and off: it shows a sensor's lag and what it does not look at."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Protocol

from harness.devices.base import DeviceError
from harness.devices.cuda import CudaDevice
from harness.shim.errors import ShimError

Switch = Callable[[bool], None]
"""Turns a load on or off."""


class Metered(Protocol):
    """What a meter says of the device that it reads."""

    @property
    def source(self) -> str:
        """The name of the power source, such as `nvml`."""

    @property
    def device(self) -> str:
        """The device's id by that source."""


@contextmanager
def load_of(meter: Metered) -> Iterator[Switch | None]:
    """Give a switch for a load on the very device that a meter reads; None where it cannot be loaded."""
    with ExitStack() as stack:
        switch: Switch | None = None
        if meter.source == "rapl":
            switch = stack.enter_context(busy_cpu())
        elif meter.source == "nvml" and (index := cuda_index(meter.device)) is not None:
            try:
                switch = stack.enter_context(busy_cuda(index))
            except ShimError:
                switch = None
        yield switch


def cuda_index(uuid: str) -> int | None:
    """Return by which number CUDA knows a GPU here; None where it does not show it."""
    index = 0
    while CudaDevice.unavailable_reason(index) is None:
        try:
            if CudaDevice(index).hardware_id() == uuid:
                return index
        except (DeviceError, RuntimeError, AssertionError):  # torch asserts that it was built with CUDA
            return None
        index += 1
    return None


@contextmanager
def busy_cuda(index: int, library: str | None = None) -> Iterator[Switch]:
    """Give a switch for arithmetic on every multiprocessor of a GPU, by the shim.

    Raises:
        ShimError: the GPU cannot be used.
    """
    from harness.shim.cuda import CudaShim  # loads kernels

    with CudaShim(index, **({} if library is None else {"library": library})) as shim:
        shim.arithmetic("fp32")  # loads its kernel, and wakes the device
        with busy_thread(lambda: shim.arithmetic("fp32")) as switch:
            yield switch


@contextmanager
def busy_cpu() -> Iterator[Switch]:
    """Give a switch for a load on every CPU that this process may use."""
    running: list[subprocess.Popen[bytes]] = []

    def switch(on: bool) -> None:
        while running:
            process = running.pop()
            process.kill()
            process.wait()
        if on:
            code = "print(flush=True)\nwhile True: pass"
            command = [sys.executable, "-I", "-S", "-c", code]
            running.extend(subprocess.Popen(command, stdout=subprocess.PIPE) for _ in os.sched_getaffinity(0))
            for process in running:
                assert process.stdout is not None
                process.stdout.readline()  # it spins now
                process.stdout.close()

    try:
        yield switch
    finally:
        switch(False)


@contextmanager
def busy_thread(work: Callable[[], object]) -> Iterator[Switch]:
    """Give a switch for a load that repeats `work` in a thread; `work` waits for its own end."""
    stop = threading.Event()
    threads: list[threading.Thread] = []

    def repeat() -> None:
        while not stop.is_set():
            work()

    def switch(on: bool) -> None:
        stop.set()
        while threads:
            threads.pop().join()
        if on:
            stop.clear()
            threads.append(threading.Thread(target=repeat, daemon=True))
            threads[0].start()

    try:
        yield switch
    finally:
        switch(False)
