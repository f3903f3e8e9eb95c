"""Weight sharing between layers: consecutive blocks become one, run several times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from workloads.base import MODES, UnsupportedError, Workload
from workloads.compress.base import PRECISIONS, Compressor
from workloads.compress.layers import put
from workloads.transform import Cell, Setting, TransformSpec

if TYPE_CHECKING:
    from torch import nn


class TieBlocks(Compressor):
    """Gives every `group` consecutive blocks of equal shape one set of weights, the mean of theirs.

    As many blocks run as before: it saves memory, and in training optimizer state, not time.
    """

    spec: ClassVar[TransformSpec] = TransformSpec(
        name="tie_blocks",
        title="Tied layers",
        summary="Share one set of weights, their mean, among consecutive blocks",
        modes=MODES,
        needs=frozenset({"blocks"}),
        settings={"group": Setting(2, "consecutive blocks that share their weights", (), 2, 1024)},
        precisions=PRECISIONS,
    )

    @classmethod
    def refusal(cls, cell: Cell) -> str | None:
        """Convolutional networks grow from block to block; numbered blocks share no place in a cache."""
        if "convolution" in cell.workload.traits:
            return f"{cls.spec.name} needs blocks of one shape, and {cell.workload.name} is convolutional"
        if "numbered" in cell.workload.traits:
            name = cell.workload.name
            return f"{cls.spec.name} would make several layers of {name} write one place in its cache"
        return None

    def compress(self, workload: Workload, model: nn.Module) -> tuple[nn.Module, dict[str, Any]]:
        """Tie the blocks.

        Raises:
            UnsupportedError: no two consecutive blocks have equal shapes.
        """
        from workloads.counting.storage import parameter_count

        names = {module: name for name, module in model.named_modules()}
        before = parameter_count(model)
        groups = _runs(workload.blocks(model), int(self.settings["group"]))
        for first, *others in groups:
            for ours, *theirs in zip(*(block.parameters() for block in (first, *others)), strict=True):
                ours.data.copy_(sum((other.data for other in theirs), ours.data) / (1 + len(theirs)))
            put(model, [(names[other], first) for other in others])
        tied = sum(len(group) - 1 for group in groups)
        if not tied:
            raise UnsupportedError(f"{workload.spec.name} has no two consecutive blocks of equal shape")
        return model, {
            "tied_blocks": tied,
            "parameters_before": before,
            "parameters": parameter_count(model),
        }


def _runs(blocks: list[nn.Module], most: int) -> list[list[nn.Module]]:
    """Cut the blocks into runs of equal shapes, at most so long; one that is already shared stands alone."""
    runs: list[list[nn.Module]] = []
    for block in blocks:
        alike = runs and len(runs[-1]) < most and _shapes(runs[-1][0]) == _shapes(block)
        if alike and all(block is not other for other in runs[-1]):
            runs[-1].append(block)
        else:
            runs.append([block])
    return runs


def _shapes(block: nn.Module) -> list[tuple[str, tuple[int, ...]]]:
    return [(name, tuple(parameter.shape)) for name, parameter in block.named_parameters()]
