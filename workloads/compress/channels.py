"""Structured pruning: whole neurons and channels go, and the matrices are really smaller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from workloads.base import MODES, UnsupportedError, Workload
from workloads.compress.base import PRECISIONS, Compressor
from workloads.transform import Setting, TransformSpec

if TYPE_CHECKING:
    from torch import nn


class PruneChannels(Compressor):
    """Makes feed-forward networks and bottlenecks narrower by their smallest neurons and channels.

    What lies on the residual stream keeps its width: embeddings, attention, and the outputs of blocks.
    """

    spec: ClassVar[TransformSpec] = TransformSpec(
        name="prune_channels",
        title="Structured pruning",
        summary="Drop the neurons and channels of smallest norm inside blocks: smaller matrices, less work",
        modes=MODES,
        needs=frozenset({"narrows"}),
        settings={
            "sparsity": Setting(0.5, "the share of neurons or channels that go", (), 0, 0.99),
            "multiple": Setting(8, "what remains is a multiple of this, as kernels like it", (), 1, 1024),
        },
        precisions=(*PRECISIONS, "fp8"),
    )

    def compress(self, workload: Workload, model: nn.Module) -> tuple[nn.Module, dict[str, Any]]:
        """Narrow the model.

        Raises:
            UnsupportedError: nothing in this model can be narrowed.
        """
        from workloads.counting.storage import parameter_count
        from workloads.models.narrow import narrow

        before = parameter_count(model)
        widths = narrow(model, float(self.settings["sparsity"]), int(self.settings["multiple"]))
        if not widths:
            raise UnsupportedError(f"{workload.spec.name} has no inner layers that can be narrowed")
        wide, narrower = (sum(width) for width in zip(*widths, strict=True))
        return model, {
            "sparsity": 1 - narrower / wide,
            "layers": len(widths),
            "parameters_before": before,
            "parameters": parameter_count(model),
        }
