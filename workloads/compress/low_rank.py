"""Low rank: a linear layer becomes a product of two thinner ones, by its singular values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from workloads.base import MODES, Workload
from workloads.compress import layers
from workloads.compress.base import PRECISIONS, Compressor
from workloads.transform import Setting, TransformSpec

if TYPE_CHECKING:
    import torch
    from torch import nn


class SVD(Compressor):
    """Cuts weights to their largest singular values, as many as `rank` or as hold a share of the energy.

    A given rank is obeyed, up to the full one. By energy, a layer whose factors would be larger than itself
    stays as it is.
    """

    spec: ClassVar[TransformSpec] = TransformSpec(
        name="svd",
        title="Low rank by SVD",
        summary="Factor linear layers by their largest singular values: two thinner products for one",
        modes=MODES,
        needs=frozenset({"linear"}),
        settings={
            "rank": Setting(0, "singular values to keep in every layer; 0 goes by energy", (), 0),
            "energy": Setting(0.9, "share of the squared singular values to keep, by layer", (), 0.01, 1),
            "layers": layers.LAYERS,
        },
        precisions=PRECISIONS,
    )

    def compress(self, workload: Workload, model: nn.Module) -> tuple[nn.Module, dict[str, Any]]:
        """Factor the chosen layers."""
        import torch
        from torch import nn

        from workloads.counting.storage import parameter_count
        from workloads.models.packed import LowRankLinear

        before, ranks = parameter_count(model), []
        found = layers.chosen(model, str(self.settings["layers"]), nn.Linear)
        for name, layer in found.items():
            factors = torch.linalg.svd(layer.weight.detach(), full_matrices=False)
            rank = self._rank(factors.S, layer)
            if rank:
                layers.put(model, [(name, LowRankLinear(layer, rank, factors))])
                ranks.append(rank)
        return model, {
            "factored_layers": len(ranks),
            "kept_layers": len(found) - len(ranks),
            "ranks": ranks,
            "parameters_before": before,
            "parameters": parameter_count(model),
        }

    def _rank(self, values: torch.Tensor, layer: nn.Linear) -> int:
        """Return the rank to cut a layer to; 0 leaves it as it is."""
        if rank := int(self.settings["rank"]):
            return min(rank, len(values))
        energy = values.double().square().cumsum(0)
        rank = 1 + int((energy < float(self.settings["energy"]) * energy[-1]).sum())
        shrinks = rank * (layer.in_features + layer.out_features) < layer.weight.numel()
        return rank if shrinks else 0
