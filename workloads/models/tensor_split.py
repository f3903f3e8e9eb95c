"""How a model's matrices split over ranks: each module that can says so itself, in its `split`.

A layer whose outputs are split feeds one whose inputs are, so that ranks exchange one sum a pair
(Shoeybi et al. 2019, section 3).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from torch import nn


@dataclass(frozen=True, slots=True)
class Split:
    """What of one module is split; layers by name."""

    columns: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Linear layers whose outputs are split, each with the widths of its parts: every rank gets of every part
    an equal share, e.g. of queries, keys and values."""
    rows: tuple[str, ...] = ()
    """Linear layers whose inputs are split; their outputs are added up over ranks."""
    gathered: tuple[str, ...] = ()
    """Linear layers whose outputs are split and put together again right away."""
    counts: tuple[str, ...] = ()
    """Attributes that count heads: of the rank's own, where it is split."""
    norms: tuple[str, ...] = ()
    """Norms between split layers, which treat every position by itself."""


def splits(model: nn.Module) -> Iterator[tuple[nn.Module, Split]]:
    """Yield every module that can be split, with how."""
    for module in model.modules():
        split = getattr(module, "split", None)
        if split is not None:
            yield module, split()
