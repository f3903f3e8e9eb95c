"""A checkpoint, weights and an optimizer's two moments: saved to a file on a local disk, or loaded."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, ClassVar

from workloads.base import Batch, Size, Units, Workload, WorkloadSpec

if TYPE_CHECKING:
    import torch
    from torch import nn

DIRECTIONS = ("save", "load")
FORMATS = ("torch", "safetensors")
TENSORS_EACH = 3
"""A weight and two moments."""


class Checkpoint(Workload):
    """`tensors` square fp32 weights, each with two moments, written to one file or read back; a sample.

    The file lies in the folder for temporary files (TMPDIR) and has no name there, so that it is gone with
    the process. With `shape.sync` a save ends when the disk has it, and a load begins without the system's
    cache of the file; without it both may be the memory's speed.
    """

    spec: ClassVar[WorkloadSpec] = WorkloadSpec(
        name="checkpoint",
        title="Checkpoint",
        family="micro",
        summary="shape.direction save or load of weights and optimizer state in one local file",
        unit="samples",
        modes=("infer",),
        sizes={
            size: {
                "batch": 1,
                "tensors": tensors,
                "hidden": hidden,
                "direction": "save",
                "format": "torch",
                "sync": True,
            }
            for size, tensors, hidden in (("tiny", 4, 128), ("base", 128, 1024), ("large", 256, 4096))
        },
        precisions=("fp32",),
        traits=frozenset(),
    )

    def __init__(self, mode: str, size: Size, *, seed: int = 0, data: Path | None = None) -> None:
        super().__init__(mode, size, seed=seed, data=data)
        if self.n("batch") != 1:
            raise ValueError(f"checkpoint: a step is one sample, batch cannot be {self.n('batch')}")
        for key, known in (("direction", DIRECTIONS), ("format", FORMATS)):
            if size[key] not in known:
                raise ValueError(f"checkpoint: {key} {size[key]!r} is not one of {', '.join(known)}")
        self._file: IO[bytes] | None = None

    def build_model(self) -> nn.Module:
        """Build weights and moments."""
        from workloads.models import operators

        return operators.TrainingState(self.n("tensors"), self.n("hidden"))

    def make_batch(self, index: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Return the number of the checkpoint, (1,)."""
        import numpy as np

        from workloads.inputs import batches

        return batches.shard({"x": np.full(1, index)}, rank, world)

    def infer(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Save or load the whole state; return its first row, (1, hidden). The first load saves before."""
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - kept for the steps to come
            if self.size["direction"] == "load":
                self._save(self._file, model)
        if self.size["direction"] == "save":
            self._save(self._file, model)
        else:
            self._load(self._file, model)
        return next(model.parameters()).detach()[:1]

    def _save(self, file: IO[bytes], model: nn.Module) -> None:
        import torch

        file.seek(0)
        if self.size["format"] == "torch":
            torch.save(model.state_dict(), file)
        else:
            import safetensors.torch

            file.write(safetensors.torch.save(model.state_dict()))
        file.truncate()
        file.flush()
        if self.size["sync"]:
            os.fsync(file.fileno())

    def _load(self, file: IO[bytes], model: nn.Module) -> None:
        import torch

        if self.size["sync"]:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        file.seek(0)
        if self.size["format"] == "torch":
            state = torch.load(file, map_location="cpu", weights_only=True)
        else:
            import safetensors.torch

            state = safetensors.torch.load(file.read())
        model.load_state_dict(state)

    def units(self, batch: Batch) -> Units:
        """Count bytes of the tensors, each read once and written once."""
        moved = TENSORS_EACH * 4 * self.n("tensors") * self.n("hidden") ** 2
        return Units(1, 0, 1, least_bytes=2.0 * moved, bytes=moved)
