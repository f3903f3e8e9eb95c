"""What the workloads' batches share: seeded numbers, a rank's rows, windows of a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from workloads.base import Batch

if TYPE_CHECKING:
    import torch

    from workloads.base import Batch

Ints = np.ndarray[Any, np.dtype[np.int64]]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]


def rng(seed: int, index: int) -> np.random.Generator:
    """Return the generator of batch `index`, independent of every other batch's."""
    return np.random.default_rng([seed, index])


def shard(arrays: dict[str, np.ndarray[Any, Any]], rank: int, world: int) -> Batch:
    """Return this rank's rows of a global batch as tensors; the ranks' rows in order are the global batch.

    Raises:
        ValueError: fewer samples than ranks.
    """
    import torch

    rows = len(next(iter(arrays.values())))
    if not 0 <= rank < world:
        raise ValueError(f"rank {rank} is not one of {world}")
    if rows < world:
        raise ValueError(f"batch {rows} is smaller than the {world} ranks that share it")
    first, last = rank * rows // world, (rank + 1) * rows // world
    return {name: torch.from_numpy(array[first:last].copy()) for name, array in arrays.items()}


def distinct(tokens: torch.Tensor) -> int:
    """Return how many different values there are."""
    return len(np.unique(tokens.numpy()))


def windows(random: np.random.Generator, text: Bytes, rows: int, length: int) -> tuple[Ints, Ints]:
    """Return `rows` random windows of a text as tokens (rows, length), and their starts (rows,)."""
    starts = random.integers(0, len(text) - length + 1, rows)
    return text[starts[:, None] + np.arange(length)].astype(np.int64), starts


def part_of_text(starts: Ints, text: Bytes, classes: int) -> Ints:
    """Return the class of each window: which of `classes` equal parts of the text it starts in."""
    return starts * classes // len(text)


def lengths(random: np.random.Generator, rows: int, longest: int) -> Ints:
    """Return uneven lengths between half of `longest` and `longest`, as real batches have."""
    return random.integers((longest + 1) // 2, longest + 1, rows)


def language(
    random: np.random.Generator,
    text: Bytes | None,
    rows: int,
    length: int,
    vocab: int,
    *,
    targets: bool,
    rank: int,
    world: int,
) -> Batch:
    """Return a language model's batch: `tokens`, and with `targets` the tokens one place later.

    The rows are windows of `text`, bytes as tokens, or uniform over the vocabulary without one.
    """
    drawn = (
        random.integers(0, vocab, (rows, length)) if text is None else windows(random, text, rows, length)[0]
    )
    arrays = {"tokens": drawn[:, :-1], "targets": drawn[:, 1:]} if targets else {"tokens": drawn}
    return shard(arrays, rank, world)


def to_device(batch: Batch, device: torch.device, cast_to: torch.dtype | None = None) -> Batch:
    """Return a batch on a device, its floating-point parts in another format where one is given."""
    return {k: v.to(device, cast_to if v.is_floating_point() else None) for k, v in batch.items()}
