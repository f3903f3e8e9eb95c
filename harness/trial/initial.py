"""What a trial began with: digests of its initial weights and of its first batch."""

from __future__ import annotations

import time
from typing import Any

from harness.devices.base import Device
from harness.records.evidence import declared
from harness.records.schema import Facts
from workloads.base import Workload


class InitialWeights:
    """Takes the digest of a model when it has its first weights, and what that took.

    Args:
        device: The device is open; it is waited for, so that only the digest is timed.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self.sha256: str | None = None
        self.taken_ns = 0
        """How long taking it took: no part of building the model."""

    def __call__(self, model: Any) -> None:
        """Take the digest of the first model that is built."""
        from workloads.engine.digest import weights_sha256

        if self.sha256 is None:
            self._device.synchronize()
            began_ns = time.perf_counter_ns()
            self.sha256 = weights_sha256(model)
            self.taken_ns = time.perf_counter_ns() - began_ns

    def evidence(self, workload: Workload) -> Facts:
        """Return both digests, where it saw a model; the batch is whole, before ranks share it."""
        if self.sha256 is None:
            return {}
        from workloads.engine.digest import tensors_sha256

        batch = tensors_sha256(workload.make_batch(0))
        return declared(__name__, {"initial_weights_sha256": self.sha256, "first_batch_sha256": batch})
