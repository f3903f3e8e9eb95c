"""Weight sharing by a codebook: a layer keeps a few values, and an index of some bits for each weight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from workloads.base import MODES, Workload
from workloads.compress import layers
from workloads.compress.base import PRECISIONS, Compressor
from workloads.transform import Cell, Setting, TransformSpec

if TYPE_CHECKING:
    from torch import nn


class Codebook(Compressor):
    """Replaces weights by their cluster's mean, stored as packed indices into a codebook.

    Weights are looked up again in every pass: it saves memory, not time. In training the codebooks learn,
    each value by the sum of its weights' gradients.
    """

    spec: ClassVar[TransformSpec] = TransformSpec(
        name="codebook",
        title="k-means weight sharing",
        summary="Cluster each layer's weights: a codebook and packed indices, looked up in every pass",
        modes=MODES,
        settings={
            "bits": Setting(4, "bits of an index; a codebook has 2 to this power values", (1, 2, 4, 8)),
            "iterations": Setting(20, "rounds of k-means", (), 1, 1000),
            "layers": layers.LAYERS,
        },
        precisions=PRECISIONS,
    )

    @classmethod
    def refusal(cls, cell: Cell) -> str | None:
        """It needs weights to share."""
        return super().refusal(cell) or layers.weighted_refusal(cell)

    def compress(self, workload: Workload, model: nn.Module) -> tuple[nn.Module, dict[str, Any]]:
        """Cluster the weights of each chosen layer on its own."""
        from workloads.counting.storage import weights_bytes
        from workloads.models import packed

        before, bits = weights_bytes(model), int(self.settings["bits"])
        found = layers.weighted(model, str(self.settings["layers"]))
        values = 0
        for layer in found.values():
            flat = layer.weight.detach().flatten()
            codebook = packed.kmeans(flat, 1 << bits, int(self.settings["iterations"]))
            packed.share(layer, codebook, bits)
            values += len(codebook)
        return model, {
            "bits": bits,
            "layers": len(found),
            "codebook_values": values,
            "weights_bytes_before": before,
            "weights_bytes": weights_bytes(model),
        }
