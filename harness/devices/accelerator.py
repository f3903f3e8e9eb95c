"""Accelerators that torch reaches by `torch.accelerator` alone: ROCm, XPU and MPS. Untested on hardware.

Nothing here is known to work on such a device: lists, documents and every record say so. Each step is
fenced, and a fence that returns before all outputs can be read refuses the trial.
"""

from __future__ import annotations

import contextlib
import importlib.util
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from harness.devices.base import Device, DeviceError, Peak, Step
from harness.devices.cpu import set_threads, thread_facts
from harness.devices.timeline import FencedTimeline, Now, Timeline, smallest_step
from harness.system import host

FENCE_SHARE = 0.1
"""Of a step's time, the most that a first reading of its outputs may take longer than a second one."""
FENCE_FLOOR_NS = 1_000_000
FENCE_TRIES = 3


class AcceleratorDevice(Device):
    """One device of torch's current accelerator."""

    untested = True
    returns_outputs = True
    torch_type: ClassVar[str]
    """What torch calls such a device."""
    now = staticmethod(time.perf_counter_ns)

    def __init__(self, index: int = 0, *, threads: int | None = None) -> None:
        super().__init__(index, threads=threads)
        self._outputs: object = None

    @property
    def torch_device(self) -> str:
        """Name it as torch does."""
        return f"{self.torch_type}:{self.index}"

    @classmethod
    def unavailable_reason(cls, index: int = 0) -> str | None:
        """Look at torch's version file and the system's device files; torch is not imported."""
        reason = _build_reason(cls.kind)
        if reason is not None:
            return reason
        files = DEVICE_FILES[cls.kind]
        return None if files is None else _file_reason(cls.kind, index, files)

    def open(self) -> None:
        """Choose the device and wait for it once."""
        import torch

        set_threads(self.threads)
        try:
            accelerator = torch.accelerator.current_accelerator()
            if accelerator is None or accelerator.type != self.torch_type:
                raise DeviceError(f"torch's accelerator here is {accelerator}, not {self.torch_type}")
            count = torch.accelerator.device_count()
            if self.index >= count:
                raise DeviceError(f"no device {self.torch_device}: torch shows {count}")
            torch.accelerator.set_device_index(self.index)
            self.synchronize()
        except RuntimeError as error:
            if isinstance(error, DeviceError):
                raise
            raise DeviceError(f"{self.torch_device} does not open: {str(error).splitlines()[0]}") from error

    def held(self, step: Step) -> Step:
        """Return the step such that its outputs live until the fence: one may drop what nobody holds."""

        def launch(index: int, mark: Callable[[str], None]) -> object:
            self._outputs = step(index, mark)
            return self._outputs

        return launch

    def synchronize(self) -> None:
        """Wait for the device."""
        import torch

        torch.accelerator.synchronize(self.index)

    def fence_problem(self, step: Step) -> str | None:
        """Run steps and read their outputs behind the fence, twice: only the first reading may wait for work.

        Several times, so that a busy host is not taken for a fence that does not wait.
        """
        shares = []
        for index in range(FENCE_TRIES):
            began_ns = self.now()
            outputs = step(index, lambda _mark: None)
            self.synchronize()
            fenced_ns = self.now()
            _read(outputs)
            first_ns = self.now()
            _read(outputs)
            waited_ns = (first_ns - fenced_ns) - (self.now() - first_ns)
            if waited_ns < FENCE_FLOOR_NS:
                return None
            shares.append(waited_ns / (first_ns - began_ns))
        if min(shares) < FENCE_SHARE:
            return None
        return (
            f"the fence of {self.torch_device} returns before the outputs are there: reading them waits for"
            f" {min(shares):.0%} of the step more, {FENCE_TRIES} times of {FENCE_TRIES}"
        )

    def reset_peak_memory(self) -> None:
        """Let the peaks start from now, where the back end keeps any."""
        import torch

        with contextlib.suppress(RuntimeError, AttributeError, NotImplementedError):
            torch.accelerator.reset_peak_memory_stats(self.index)
        host.reset_peak_rss()

    def memory(self) -> dict[str, int | None]:
        """Return the peaks of torch's allocator, None where it keeps none, and of the host's memory."""
        import torch

        return {
            "peak_allocated": _kept(torch.accelerator.max_memory_allocated, self.index),
            "peak_reserved": _kept(torch.accelerator.max_memory_reserved, self.index),
            "peak_rss": host.peak_rss_bytes(),
        }

    def facts(self) -> dict[str, Any]:
        """Return what torch reports of it, that it is untested, and the host's threads."""
        return {
            "kind": self.kind,
            "name": self._name(),
            "untested_on_hardware": self.untested,
            **thread_facts(),
        }

    def _name(self) -> str:
        import torch

        module = torch.get_device_module(self.torch_type)
        named = getattr(module, "get_device_name", None)
        return str(named(self.index)) if named is not None else self.torch_type

    def timeline(self, capacity: int, now: Now) -> Timeline:
        """Return a recorder on the host's clock that fences every sample."""
        return FencedTimeline(capacity, now, self.synchronize)

    def tick_ns(self, now: Now) -> int | None:
        """Fence 512 times with nothing to wait for, and take the smallest step."""
        probe = self.timeline(512, now)
        self.synchronize()
        probe.start()
        for _ in range(512):
            probe.stamp()
        return smallest_step(probe.durations_ns())

    def dense_peak(self, precision: str) -> Peak:
        """Return the reason: no peaks of these devices are kept here."""
        return Peak(
            None, reason=f"no published dense {precision} peak is kept for devices of kind {self.kind}"
        )


class RocmDevice(AcceleratorDevice):
    """An AMD GPU, which torch calls `cuda`."""

    kind = "rocm"
    torch_type = "cuda"


class XpuDevice(AcceleratorDevice):
    """An Intel GPU."""

    kind = "xpu"
    torch_type = "xpu"


class MpsDevice(AcceleratorDevice):
    """An Apple GPU."""

    kind = "mps"
    torch_type = "mps"


DEVICE_FILES: dict[str, str | None] = {"rocm": "/dev/kfd", "xpu": "/dev/dri/renderD*", "mps": None}
_BUILDS = {"rocm": "hip", "xpu": "xpu"}


def _build_reason(kind: str) -> str | None:
    """Return why the installed torch cannot use a kind of device, from the text of its version file."""
    if kind == "mps":
        return None if sys.platform == "darwin" else "MPS is a device of macOS"
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return "torch is not installed"
    text = (Path(spec.origin).parent / "version.py").read_text(encoding="utf-8")
    if re.search(rf"^{_BUILDS[kind]}\b[^=]*=\s*['\"]", text, re.MULTILINE):
        return None
    return f"the installed torch is built without {kind.upper() if kind == 'xpu' else 'ROCm'}"


def _file_reason(kind: str, index: int, pattern: str) -> str | None:
    path = Path(pattern)
    found = sorted(path.parent.glob(path.name))
    if not found:
        return f"no {kind} device: there is no {pattern}"
    many = kind == "xpu" and index >= len(found)
    return f"no device {kind}:{index}: the system shows {len(found)}" if many else None


def _kept(read: Callable[[int], int], index: int) -> int | None:
    """Return a peak, None where the back end keeps none: it raises, or says 0."""
    try:
        return int(read(index)) or None
    except (RuntimeError, AttributeError, NotImplementedError):
        return None


def _read(outputs: object) -> None:
    """Copy every tensor of a tree to the host."""
    import torch
    from torch.utils._pytree import tree_leaves

    for leaf in tree_leaves(outputs):
        if isinstance(leaf, torch.Tensor):
            leaf.detach().to("cpu", copy=True)
