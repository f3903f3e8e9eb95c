"""JAX and XLA as a device: the CPU, a TPU or a GPU. A step is over when all its outputs are ready.

JAX has no call that waits for a device: the fence waits for the outputs themselves, so `held` keeps those of
every step since the last fence.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from typing import Any, ClassVar

from harness.devices.base import Device, DeviceError, Peak, Step
from harness.devices.cpu import CpuDevice, set_threads, thread_facts
from harness.devices.cuda import LIBRARY, driver_device_count
from harness.devices.peaks import dense_peak
from harness.devices.timeline import FencedTimeline, Now, Timeline, smallest_step
from harness.system import host, pci

MOST_HELD = 32
"""Steps whose outputs are held before the next one waits for them: a queue must not grow without end."""
INSTALL = "pip install 'joulemark[jax]'"
PLUGINS = ("jax_cuda13_plugin", "jax_cuda12_plugin", "jax_rocm7_plugin", "jax_rocm60_plugin")


class XlaDevice(Device):
    """One device of JAX's CPU platform, which holds all processors that this process may use."""

    kind = "xla"
    engine = "jax"
    remedy = INSTALL
    platforms = ("cpu", "tpu", "gpu")
    platform: ClassVar[str] = "cpu"

    def __init__(self, index: int = 0, *, threads: int | None = None) -> None:
        super().__init__(index, threads=threads)
        self._held: list[Any] = []

    @classmethod
    def on(cls, platform: str | None) -> type[Device]:
        """Return the class for a platform; None is the CPU."""
        known = {one.platform: one for one in (XlaDevice, XlaTpuDevice, XlaGpuDevice)}
        if (platform or "cpu") not in known:
            raise ValueError(f"xla runs on the platforms {', '.join(known)}, not {platform}")
        return known[platform or "cpu"]

    @property
    def torch_device(self) -> str:
        """Name it; torch takes no part in its work."""
        return f"{self.kind}-{self.platform}:{self.index}"

    @property
    def metered_as(self) -> str:
        """Whose own sensor meters it."""
        return {"cpu": "cpu", "gpu": "cuda"}.get(self.platform, self.platform)

    @classmethod
    def unavailable_reason(cls, index: int = 0) -> str | None:
        """Look for the packages; a second CPU device exists only as part of a mesh."""
        missing = [name for name in ("jax", "torchax") if importlib.util.find_spec(name) is None]
        if missing:
            return f"{' and '.join(missing)} not installed: {INSTALL}"
        return cls._platform_reason(index)

    @classmethod
    def _platform_reason(cls, index: int) -> str | None:
        return None if index == 0 else "the CPU is one device, index 0 (parallel=mesh makes several of it)"

    def open(self) -> None:
        """Let JAX start this platform and no other; torch, which only builds the model, takes one thread.

        The threads of XLA's CPU client are read from the environment when it starts.
        """
        os.environ["NPROC"] = str(self.threads or host.usable_cores())
        set_threads(1)
        import jax

        jax.config.update("jax_platforms", {"gpu": "cuda"}.get(self.platform, self.platform))
        try:
            found = jax.local_devices()
        except RuntimeError as error:
            raise DeviceError(f"JAX starts no {self.platform}: {str(error).splitlines()[0]}") from error
        if self.index >= len(found):
            raise DeviceError(f"no device {self.index}: JAX shows {len(found)} of platform {self.platform}")
        self._device = found[self.index]

    def held(self, step: Step) -> Step:
        """Return the step such that `synchronize` waits for every output of it."""

        def launch(index: int, mark: Callable[[str], None]) -> object:
            if len(self._held) >= MOST_HELD:
                self.synchronize()
            outputs = step(index, mark)
            self._held.append(outputs)
            return outputs

        return launch

    def fence_problem(self, step: Step) -> str | None:
        """Run a step; behind the fence JAX itself must call every output ready."""
        import jax

        outputs = step(0, lambda _mark: None)
        self.synchronize()
        late = sum(not leaf.is_ready() for leaf in jax.tree.leaves(outputs) if isinstance(leaf, jax.Array))
        return f"the fence returned before {late} outputs were ready" if late else None

    def synchronize(self) -> None:
        """Wait until every output of the steps held is ready.

        What a step handed on to the next one (donated state) is not there any more; that step's outputs are.
        """
        import jax

        held, self._held = self._held, []
        leaves = [leaf for leaf in jax.tree.leaves(held) if isinstance(leaf, jax.Array)]
        jax.block_until_ready([leaf for leaf in leaves if not leaf.is_deleted()])

    def reset_peak_memory(self) -> None:
        """Let the host's peak start from now; JAX's own counts from the process's start."""
        host.reset_peak_rss()

    def memory(self) -> dict[str, int | None]:
        """Return JAX's peaks, which its CPU platform does not keep, and that of the host's memory."""
        found = self._device.memory_stats() or {}
        return {
            "peak_allocated": found.get("peak_bytes_in_use"),
            "peak_reserved": found.get("peak_bytes_reserved"),
            "peak_rss": host.peak_rss_bytes(),
        }

    def facts(self) -> dict[str, Any]:
        """Return the device, JAX's versions, and the host's threads."""
        import jax
        import jaxlib

        own = (
            {}
            if self.platform == "cpu"
            else {"memory_bytes": (self._device.memory_stats() or {}).get("bytes_limit")}
        )
        return {
            "kind": self.kind,
            "platform": self.platform,
            **({"untested_on_hardware": True} if self.untested else {}),
            "name": host.cpu_name() if self.platform == "cpu" else self._device.device_kind,
            "jax": jax.__version__,
            "jaxlib": jaxlib.__version__,
            "platform_version": " ".join(self._device.client.platform_version.split()),
            "devices": len(jax.local_devices()),
            **own,
            **thread_facts(),
            "threads": int(os.environ["NPROC"]),
        }

    def timeline(self, capacity: int, now: Now) -> Timeline:
        """Return a recorder on the host's clock that fences every sample."""
        return FencedTimeline(capacity, now, self.synchronize)

    def tick_ns(self, now: Now) -> int | None:
        """Read the clock 4096 times and take its smallest step."""
        probe = self.timeline(4096, now)
        self.synchronize()
        probe.start()
        for _ in range(4096):
            probe.stamp()
        return smallest_step(probe.durations_ns())

    def dense_peak(self, precision: str) -> Peak:
        """Return the reason: the peak of a CPU depends on clocks that no vendor states."""
        return CpuDevice().dense_peak(precision)


class XlaTpuDevice(XlaDevice):
    """A TPU through JAX. Untested on hardware."""

    platform = "tpu"
    untested = True
    remedy = "a machine with a TPU, and pip install 'jax[tpu]' beside the extra jax"

    @classmethod
    def _platform_reason(cls, index: int) -> str | None:
        return pci.tpu_reason(index)

    def dense_peak(self, precision: str) -> Peak:
        """Look the chip's kind up."""
        return dense_peak(self._device.device_kind, precision)


class XlaGpuDevice(XlaDevice):
    """A GPU through JAX. Untested on hardware."""

    platform = "gpu"
    untested = True
    remedy = "a GPU with its driver, and pip install 'jax[cuda13]' beside the extra jax"

    @classmethod
    def _platform_reason(cls, index: int) -> str | None:
        if not any(importlib.util.find_spec(name) for name in PLUGINS):
            return "JAX has no GPU plugin here: pip install 'jax[cuda13]'"
        return _gpu_reason(index)

    def dense_peak(self, precision: str) -> Peak:
        """Look the device's name up."""
        return dense_peak(self._device.device_kind, precision)


def _gpu_reason(index: int) -> str | None:
    count = driver_device_count(LIBRARY)
    if isinstance(count, str):
        return count
    return f"no device {index}: the driver shows {count}" if index >= count else None
