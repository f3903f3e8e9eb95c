"""Rules that strategies share, over plain data."""

from __future__ import annotations

from workloads.transform import Cell


def uneven_batch(cell: Cell, shares: int) -> str | None:
    """Return why a batch cannot be shared: the mean over uneven shares is not the batch's."""
    batch = int(cell.size["batch"])
    if batch % (shares * cell.accumulate) == 0:
        return None
    micro = f" of {cell.accumulate} micro-batches each" if cell.accumulate > 1 else ""
    return f"batch {batch} does not divide into {shares} equal shares{micro}"
