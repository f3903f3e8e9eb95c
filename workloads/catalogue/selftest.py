"""Workloads that test the harness itself: nothing, a set amount of work, a fault that was asked for."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, ClassVar

from workloads.base import Batch, Units, Workload, WorkloadSpec

if TYPE_CHECKING:
    import torch
    from torch import nn


class Noop(Workload):
    """An inference step that does nothing: what is left is the harness's own cost."""

    spec: ClassVar[WorkloadSpec] = WorkloadSpec(
        name="noop",
        title="No operation",
        family="selftest",
        summary="does nothing; shows what the harness itself costs",
        unit="samples",
        modes=("infer",),
        sizes={"tiny": {"batch": 1}},
        precisions=("fp32",),
        traits=frozenset(),
        single_threaded=True,
    )

    def build_model(self) -> nn.Module:
        """Build a module without parameters."""
        from torch import nn

        return nn.Identity()

    def make_batch(self, index: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Return one number for each sample, the index."""
        import numpy as np

        from workloads.inputs.batches import shard

        return shard({"x": np.full(self.n("batch"), index + 1, np.float32)}, rank, world)

    def units(self, batch: Batch) -> Units:
        """Count samples; there are no FLOPs."""
        return Units(samples=len(batch["x"]))

    def infer(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the input."""
        return batch["x"]


class Spin(Noop):
    """A set amount of arithmetic on one thread: a tenth more `shape.work` takes a tenth longer."""

    spec: ClassVar[WorkloadSpec] = WorkloadSpec(
        name="spin",
        title="Set amount of work",
        family="selftest",
        summary="shape.work multiply-adds over a small vector, on one thread: known slowdowns",
        unit="samples",
        modes=("infer",),
        sizes={"tiny": {"batch": 1, "work": 500, "width": 8192}},
        precisions=("fp32",),
        traits=frozenset(),
        single_threaded=True,
    )

    def make_batch(self, index: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Return one random vector for each sample: so short that torch shares it among no threads."""
        import numpy as np

        from workloads.inputs.batches import rng, shard

        vectors = rng(self.seed, index).random((self.n("batch"), self.n("width")), np.float32)
        return shard({"x": vectors}, rank, world)

    def units(self, batch: Batch) -> Units:
        """Count a multiplication and an addition for each element and pass."""
        return Units(samples=len(batch["x"]), flops=2.0 * batch["x"].numel() * self.n("work"))

    def infer(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Halve and add, over and over: the sum converges to twice the input."""
        total = batch["x"].clone()
        for _ in range(self.n("work")):
            total.mul_(0.5).add_(batch["x"])
        return total


def _raise() -> None:
    raise RuntimeError("the fault that was asked for")


def _exit() -> None:
    os._exit(7)


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _segfault() -> None:
    ctypes.string_at(0)


def _allocate() -> None:
    import torch

    held = []
    while True:
        held.append(torch.ones(1 << 24))


def _hang() -> None:
    while True:
        time.sleep(3600)


def _orphan() -> None:
    """Leave a grandchild behind that holds every pipe open, then die."""
    if os.fork() == 0:
        os.setsid()
        _hang()
    os._exit(9)


def _flood() -> None:
    line = "x" * 1023 + "\n"
    for _ in range(1 << 20):
        sys.stdout.write(line)


FAULTS = {
    "none": lambda: None,
    "raise": _raise,
    "exit": _exit,
    "kill": _kill,
    "segfault": _segfault,
    "allocate": _allocate,
    "hang": _hang,
    "orphan": _orphan,
    "flood": _flood,
}


class Faults(Noop):
    """A no-op that fails once, at its first step or while it is built; a step on one rank, or on all (-1)."""

    spec: ClassVar[WorkloadSpec] = WorkloadSpec(
        name="faults",
        title="Planted fault",
        family="selftest",
        summary=f"fails as set by shape.fault ({', '.join(FAULTS)}) at shape.at (build, step) on shape.rank",
        unit="samples",
        modes=("infer",),
        sizes={"tiny": {"batch": 1, "fault": "none", "at": "step", "rank": -1}},
        precisions=("fp32",),
        traits=frozenset(),
        single_threaded=True,
    )
    _done = False
    _rank = -1

    def make_batch(self, index: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Return one number, and note which rank this is."""
        self._rank = rank
        return super().make_batch(index, rank=rank, world=world)

    def _strike(self, at: str) -> None:
        if self.size["at"] == at and self.size["rank"] in (-1, self._rank) and not self._done:
            self._done = True
            FAULTS[str(self.size["fault"])]()

    def build_model(self) -> nn.Module:
        """Build nothing, or fail."""
        self._strike("build")
        return super().build_model()

    def infer(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the input, or fail."""
        self._strike("step")
        return super().infer(model, batch)
