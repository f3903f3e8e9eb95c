"""Batch-norm folding: what batch norm does at inference goes into the convolution before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from workloads.base import UnsupportedError, Workload
from workloads.compress.base import PRECISIONS, Compressor
from workloads.transform import Cell, TransformSpec

if TYPE_CHECKING:
    from torch import nn


class FoldBatchNorm(Compressor):
    """Multiplies batch norm's scale into the weights before it and drops it from the graph."""

    spec: ClassVar[TransformSpec] = TransformSpec(
        name="fold_batch_norm",
        title="Batch-norm folding",
        summary="Fold batch norm into the convolutions before it: fewer operators, equal outputs",
        modes=("infer",),
        needs=frozenset({"batch_norm"}),
        precisions=PRECISIONS,
    )

    @classmethod
    def refusal(cls, cell: Cell) -> str | None:
        """GoogLeNet came before batch norm."""
        if cell.workload.name == "inception" and cell.size["version"] == 1:
            return "inception has no batch norm in version 1, which is GoogLeNet; version 3 has"
        return None

    def compress(self, workload: Workload, model: nn.Module) -> tuple[nn.Module, dict[str, Any]]:
        """Trace the model and fold.

        Raises:
            UnsupportedError: no convolution feeds batch norm alone.
        """
        from workloads.counting.storage import parameter_count
        from workloads.models.folded import fold

        parameters = parameter_count(model)
        folded, before, layers = fold(model)
        if not layers:
            raise UnsupportedError(f"{workload.spec.name} has no convolution that feeds batch norm alone")
        one = {"name": "fold_batch_norm", "nodes_before": before, "nodes_after": len(folded.graph.nodes)}
        return folded, {
            "passes": [one],
            "layers": layers,
            "parameters_before": parameters,
            "parameters": parameter_count(folded),
        }
