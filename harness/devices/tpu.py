"""TPUs by torch_tpu on `torch.accelerator`, one device a process. Untested on hardware.

torch_tpu's entry point runs at every `import torch`, ends the process where libtpu is missing, and prints on
standard output: every worker has `TORCH_DEVICE_BACKEND_AUTOLOAD=0`, and only `open` here loads it. Its events
are host times. Its fence was a no-op, or did not wait for compiled outputs, until July 2026: steps are fenced
with their outputs held, and `fence_problem` refuses a fence that does not wait.
"""

from __future__ import annotations

import importlib.util
import os
import threading
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from typing import Any

from harness.devices.accelerator import AcceleratorDevice
from harness.devices.base import DeviceError, Peak, Watch
from harness.devices.peaks import dense_peak
from harness.system import pci

INSTALL = "pip install 'joulemark[tpu]' into an environment of its own"
DEADLINE_S = 2.0
"""Of one question to libtpu's monitoring, which off a TPU machine waits for minutes."""
HBM, THROTTLE = "hbm_capacity_usage", "tpu_throttle_score"
Ask = Callable[[str], Sequence[str]]


class TpuDevice(AcceleratorDevice):
    """One TPU chip."""

    kind = "tpu"
    remedy = INSTALL
    torch_type = "tpu"
    forks = False

    @classmethod
    def unavailable_reason(cls, index: int = 0) -> str | None:
        """Look at the PCI bus, vfio and the packages; nothing is imported."""
        reason = pci.tpu_reason(index)
        if reason is not None:
            return reason
        missing = missing_packages()
        return f"{' and '.join(missing)} not installed: {INSTALL}" if missing else None

    def open(self) -> None:
        """Show this process one chip and load torch_tpu; torch numbers that chip 0."""
        os.environ["TPU_VISIBLE_CHIPS"] = str(self.index)
        os.environ["TPU_SKIP_MDS_QUERY"] = "1"
        self._chip, self.index = self.index, 0
        load_backend()
        super().open()

    def memory(self) -> dict[str, int | None]:
        """Return what libtpu says is in use now, as the allocator keeps no peak; and the host's."""
        return super().memory() | {"in_use": _number(asked(HBM), int)}

    def facts(self) -> dict[str, Any]:
        """Return the generation, and that the energy is unknown."""
        return super().facts() | {"chip": self._chip, "energy": "libtpu exposes no power metric"}

    def _name(self) -> str:
        chips = pci.tpu_chips()
        return chips[self._chip] if self._chip < len(chips) else "TPU"

    def watch(self) -> Watch:
        """Return a watch over libtpu's score of throttling."""
        return ThrottleWatch()

    def dense_peak(self, precision: str) -> Peak:
        """Look the generation up."""
        return dense_peak(self._name(), precision)


def missing_packages() -> list[str]:
    """Return which of the packages are not installed; none is imported."""
    return [name for name in ("torch_tpu", "libtpu") if importlib.util.find_spec(name) is None]


class ThrottleWatch(Watch):
    """Asks libtpu after the span how much the chip was throttled; 0 says not at all."""

    score: float | None = None

    def __exit__(self, *_exception: object) -> None:
        """Ask, the span being over."""
        self.score = _number(asked(THROTTLE), float)

    def evidence(self, soak_hz: float | None = None) -> dict[str, Any]:  # noqa: ARG002
        """Return whether it was throttled; nothing where libtpu did not answer."""
        return {} if self.score is None else {"throttled": self.score > 0}


def load_backend() -> None:
    """Register torch_tpu with torch, by the entry point that torch itself would have called.

    Raises:
        DeviceError: there is none, or it fails.
    """
    points = [p for p in entry_points(group="torch.backends") if p.value.startswith("torch_tpu")]
    if not points:
        raise DeviceError(f"torch_tpu is not installed: {INSTALL}")
    try:
        points[0].load()()
    except Exception as error:
        raise DeviceError(f"torch_tpu does not load: {type(error).__name__}: {error}") from error


def asked(metric: str, ask: Ask | None = None) -> Sequence[str] | None:
    """Return libtpu's values of a metric, None where there is no answer within the deadline.

    Args:
        metric: By libtpu's name.
        ask: What asks; libtpu's monitoring.
    """
    answers: list[Sequence[str]] = []

    def question() -> None:
        try:
            answers.append((ask or _libtpu)(metric))
        except Exception:  # noqa: BLE001 - whatever libtpu raises is no answer
            return

    thread = threading.Thread(target=question, daemon=True)
    thread.start()
    thread.join(DEADLINE_S)
    return answers[0] if answers else None


def _libtpu(metric: str) -> Sequence[str]:
    from libtpu.sdk import tpumonitoring

    values: Sequence[str] = tpumonitoring.get_metric(metric).data()
    return values


def _number(values: Sequence[str] | None, kind: type[int | float]) -> Any:
    """Return the greatest of libtpu's values, which are texts; None where there is none."""
    try:
        return max(kind(float(value)) for value in values or ())
    except ValueError:
        return None
