"""Task parallelism: independent models side by side on one device."""

from __future__ import annotations

from typing import Any, ClassVar

from workloads.base import MODES, PRECISIONS
from workloads.compress.registry import BUILT_IN
from workloads.parallel.base import Strategy
from workloads.transform import TransformSpec


class Task(Strategy):
    """Every rank runs the whole work for itself, on the same device, and speaks to no other.

    The trial's work is that of all ranks. What it buys, or costs, shows beside the same trial with one rank.
    """

    spec: ClassVar[TransformSpec] = TransformSpec(
        name="task",
        title="Task parallel",
        summary="independent copies of the whole work side by side on one device",
        modes=MODES,
        precisions=PRECISIONS,
        compress=("none", *BUILT_IN),
        shares_device=True,
    )

    @property
    def counts(self) -> bool:
        """Every rank does work of its own."""
        return True

    def evidence(self) -> dict[str, Any]:
        """Report the layout."""
        return {"parallel": {"tasks": self.ranks.world}}
