"""Loading data: the next batch of images or texts, from files on disk to tensors on the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from workloads.base import Batch, Size, Units, Workload, WorkloadSpec

if TYPE_CHECKING:
    import torch
    from torch import nn

    from workloads.inputs.files import Decoded, Files

CONTENTS = ("images", "text")


class DataLoading(Workload):
    """The next batch of a torch DataLoader, on the device; a sample is a file of its own.

    The files are made before the first step and kept in the user's cache folder; `shape.samples` is their
    number and `shape.compressed` stores them by zlib. `shape.workers` processes load ahead of the step, none
    of them with 0. With `shape.cached` the system may keep the files in memory; without it every read goes to
    the disk. A folder of images as `workload.data` is decoded by Pillow in place of them.
    """

    spec: ClassVar[WorkloadSpec] = WorkloadSpec(
        name="dataloading",
        title="Data loading",
        family="micro",
        summary="the next batch of shape.content images or text from files, by shape.workers processes",
        unit="samples",
        modes=("infer",),
        sizes={
            size: {
                "batch": batch,
                "content": "images",
                "samples": samples,
                "image": image,
                "seq": seq,
                "compressed": False,
                "workers": 0,
                "pinned": False,
                "cached": True,
            }
            for size, batch, samples, image, seq in (
                ("tiny", 8, 64, 64, 512),
                ("base", 64, 1024, 224, 4096),
                ("large", 256, 8192, 256, 16_384),
            )
        },
        data=("images",),
        precisions=("fp32",),
        traits=frozenset(),
    )

    def __init__(self, mode: str, size: Size, *, seed: int = 0, data: Path | None = None) -> None:
        super().__init__(mode, size, seed=seed, data=data)
        if size["content"] not in CONTENTS:
            raise ValueError(f"dataloading: content {size['content']!r} is not one of {', '.join(CONTENTS)}")
        if data is not None and size["content"] != "images":
            raise ValueError("dataloading: a folder of images needs shape.content=images")
        self._drawn: Callable[[int], Batch]
        self._loader: Iterator[torch.Tensor] | None = None

    def build_model(self) -> nn.Module:
        """Build nothing."""
        from torch import nn

        return nn.Identity()

    @cached_property
    def _samples(self) -> Files | Decoded:
        from workloads.inputs.files import Decoded, Files
        from workloads.inputs.sources import image_files

        side, cached = self.n("image"), bool(self.size["cached"])
        if self.data is not None:
            return Decoded(image_files(self.data), side, cached)
        content, packed = str(self.size["content"]), bool(self.size["compressed"])
        return Files(content, self.n("samples"), side, self.n("seq"), packed, cached)

    def make_batch(self, index: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Return which samples a rank's share of a batch holds, `x` (B,)."""
        from workloads.inputs.files import draw

        self._drawn = partial(draw, self.seed, len(self._samples), self.n("batch"), rank, world)
        return self._drawn(index)

    def infer(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the next batch: uint8 images (B, 3, side, side) or text (B, seq); by Pillow images in fp32.

        Workers load ahead, so the loader draws the batches itself, in the order of their numbers.
        """
        from workloads.inputs.files import load

        if self._loader is None:
            workers, pinned = self.n("workers"), bool(self.size["pinned"])
            self._loader = load(self._samples, self._drawn, workers=workers, pinned=pinned)
        return next(self._loader).to(batch["x"].device, non_blocking=True)

    def units(self, batch: Batch) -> Units:
        """Count samples, and the bytes of their tensors, which are written once."""
        rows = len(batch["x"])
        one = self.n("seq") if self.size["content"] == "text" else 3 * self.n("image") ** 2
        moved = rows * one * (1 if self.data is None else 4)
        return Units(rows, 0, rows, least_bytes=float(moved), bytes=moved)
