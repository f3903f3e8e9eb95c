"""Files to load: images and texts, made once into the user's cache folder, or the user's own images."""

from __future__ import annotations

import os
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workloads.base import Batch
from workloads.inputs import batches
from workloads.inputs.sources import SHIPPED, read_image

if TYPE_CHECKING:
    import torch

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
SEED = 0
"""The files are the same whatever the trial's seed: only which of them are read depends on it."""


@dataclass(frozen=True)
class Files:
    """A set of samples, each in a file of its own."""

    content: str
    """`images`, square and RGB, or `text`, which is the shipped one's."""
    number: int
    side: int
    """Of the images, in pixels."""
    seq: int
    """Length of a text, in bytes."""
    compressed: bool
    """By zlib."""
    cached: bool
    """Whether the system may keep what was read in memory."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a sample."""
        return (3, self.side, self.side) if self.content == "images" else (self.seq,)

    @property
    def folder(self) -> Path:
        """Where these files lie."""
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        size = self.side if self.content == "images" else self.seq
        packed = "zlib" if self.compressed else "raw"
        return cache / "joulemark" / "samples" / f"{self.content}-{self.number}-{size}-{packed}"

    def ensure(self) -> None:
        """Make the files unless they are there, all or none."""
        if self.folder.is_dir():
            return
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder.parent) as scratch:
            fresh = Path(scratch) / "files"
            fresh.mkdir()
            for number in range(self.number):
                contents = self._make(number).tobytes()
                packed = zlib.compress(contents) if self.compressed else contents
                (fresh / self.path(number).name).write_bytes(packed)
            try:
                fresh.rename(self.folder)
            except OSError:
                if not self.folder.is_dir():  # else another process was first
                    raise

    def _make(self, number: int) -> Bytes:
        random = batches.rng(SEED, number)
        if self.content == "text":
            text = np.frombuffer(SHIPPED.read_bytes(), dtype=np.uint8)
            start = int(random.integers(len(text)))
            return np.take(text, range(start, start + self.seq), mode="wrap")
        coarse = random.integers(0, 248, (3, -(-self.side // 8), -(-self.side // 8)))
        smooth = coarse.repeat(8, 1).repeat(8, 2)[:, : self.side, : self.side]
        return (smooth + random.integers(0, 8, self.shape)).astype(np.uint8)

    def __len__(self) -> int:
        return self.number

    def path(self, number: int) -> Path:
        """Where a sample lies."""
        return self.folder / f"{number:08d}"

    def __getitem__(self, number: int) -> Bytes:
        """Read and decompress a sample.

        Raises:
            ValueError: the file is not a sample of this set.
            OSError: it cannot be read.
        """
        path = self.path(number)
        packed = path.read_bytes()
        if not self.cached:
            _forget(path)
        contents = self._unpack(packed) if self.compressed else packed
        if len(contents) != np.prod(self.shape):
            raise ValueError(f"{path} is no sample of this set: remove {self.folder}")
        return np.frombuffer(contents, dtype=np.uint8).reshape(self.shape)

    def _unpack(self, packed: bytes) -> bytes:
        try:
            return zlib.decompressobj().decompress(packed, int(np.prod(self.shape)) + 1)
        except zlib.error:
            return b""


@dataclass(frozen=True)
class Decoded:
    """Images of the user's, decoded by Pillow."""

    paths: Sequence[Path]
    side: int
    cached: bool

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Decode an image, (3, side, side)."""
        path = self.paths[number]
        image = read_image(path, self.side)
        if not self.cached:
            _forget(path)
        return image


def _forget(path: Path) -> None:
    """Let the system forget what it holds of a file in memory: the next read goes to the disk."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def draw(seed: int, count: int, batch: int, rank: int, world: int, index: int) -> Batch:
    """Return which of `count` samples this rank's share of batch `index` holds, `x` (B,)."""
    return batches.shard({"x": batches.rng(seed, index).integers(0, count, batch)}, rank, world)


def load(
    samples: Files | Decoded, drawn: Callable[[int], Batch], *, workers: int, pinned: bool
) -> Iterator[torch.Tensor]:
    """Return the batches that `drawn` names by their number, without end, stacked.

    As many `workers` read ahead, in processes of their own; with 0 this one reads.
    """
    import torch
    from torch.utils.data import DataLoader

    if isinstance(samples, Files):
        samples.ensure()
    loader: DataLoader[Any] = DataLoader(
        samples,  # type: ignore[arg-type]
        batch_sampler=(drawn(index)["x"].tolist() for index in count()),
        num_workers=workers,
        collate_fn=lambda arrays: torch.from_numpy(np.stack(arrays)),
        pin_memory=pinned,
    )
    return iter(loader)
