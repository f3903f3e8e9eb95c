"""Pruning by magnitude: the smallest weights become zeros, wherever they lie or two in every four."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from workloads.base import MODES, TRAINING, UnsupportedError, Workload
from workloads.compress import layers
from workloads.compress.base import PRECISIONS, Compressor
from workloads.transform import Cell, Setting, TransformSpec

if TYPE_CHECKING:
    import torch
    from torch import nn

GROUP = 4
"""Neighbours along a row, of which 2:4 sparsity keeps the two largest."""


class Prune(Compressor):
    """Zeroes the smallest weights of the chosen layers, of each layer or of all of them together.

    Weights stay dense: zeros cost as much time as other numbers, and the record says so by its bytes. In
    training their gradients are zeroed too, and SGD and AdamW then leave them at zero.
    """

    spec: ClassVar[TransformSpec] = TransformSpec(
        name="prune",
        title="Unstructured pruning",
        summary="Zero the weights of smallest magnitude; storage and time stay those of dense weights",
        modes=MODES,
        settings={
            "sparsity": Setting(0.5, "the share of the chosen layers' weights that become zero", (), 0, 0.99),
            "scope": Setting(
                "layer", "where magnitudes are compared: in each layer, or in all", ("layer", "global")
            ),
            "layers": layers.LAYERS,
        },
        precisions=PRECISIONS,
    )

    @classmethod
    def refusal(cls, cell: Cell) -> str | None:
        """It needs weights to prune."""
        return super().refusal(cell) or layers.weighted_refusal(cell)

    def compress(self, workload: Workload, model: nn.Module) -> tuple[nn.Module, dict[str, Any]]:
        """Bake the masks in; in training, keep them."""
        found = layers.weighted(model, str(self.settings["layers"]))
        weights = {name: layer.weight for name, layer in found.items()}
        return model, _bake(weights, self.masks(weights), train=workload.mode in TRAINING)

    def masks(self, weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return where each weight stays."""
        import torch

        sparsity = float(self.settings["sparsity"])
        if self.settings["scope"] == "layer":
            return {name: largest(weight.detach().abs(), sparsity) for name, weight in weights.items()}
        together = torch.cat([weight.detach().abs().flatten() for weight in weights.values()])
        parts = torch.split(largest(together, sparsity), [weight.numel() for weight in weights.values()])
        return {n: part.view(w.shape) for (n, w), part in zip(weights.items(), parts, strict=True)}


def largest(magnitude: torch.Tensor, sparsity: float) -> torch.Tensor:
    """Return a mask without the round(sparsity · n) smallest of n magnitudes, ties in their order."""
    import torch

    flat = magnitude.flatten()
    mask = torch.ones_like(flat, dtype=torch.bool)
    mask[flat.argsort(stable=True)[: round(sparsity * len(flat))]] = False
    return mask.view(magnitude.shape)


def _bake(
    weights: Mapping[str, torch.Tensor], masks: Mapping[str, torch.Tensor], *, train: bool
) -> dict[str, Any]:
    """Zero the weights outside their masks, and their gradients where it trains; return the sparsity."""
    import torch

    zeros = total = 0
    for name, weight in weights.items():
        mask = masks[name]
        with torch.no_grad():
            weight.mul_(mask)
        if train and weight.requires_grad:
            weight.register_hook(mask.to(weight.dtype).mul)  # type: ignore[no-untyped-call]
        zeros += int((weight == 0).sum())
        total += weight.numel()
    return {"sparsity": zeros / total, "pruned_weights": zeros, "layers": len(weights)}


class TwoInFour(Compressor):
    """Keeps the two largest of every four weights of a row, the pattern that sparse tensor cores run.

    On CUDA, outside training and in a 16-bit precision, the weights are stored in torch's semi-structured
    format and its kernels run; elsewhere zeros are masked only, which saves nothing.
    """

    spec: ClassVar[TransformSpec] = TransformSpec(
        name="prune_2_4",
        title="2:4 pruning",
        summary="Keep two of every four weights of a row; sparse kernels on CUDA in 16 bits, masks elsewhere",
        modes=MODES,
        needs=frozenset({"linear"}),
        settings={"layers": layers.LAYERS},
        precisions=PRECISIONS,
    )
    works_after_cast: ClassVar[bool] = True

    def compress(self, workload: Workload, model: nn.Module) -> tuple[nn.Module, dict[str, Any]]:
        """Bake the pattern in, and pack what this device has kernels for."""
        import torch
        from torch import nn

        found = layers.chosen(model, str(self.settings["layers"]), nn.Linear)
        found = {name: layer for name, layer in found.items() if layer.weight.shape[1] % GROUP == 0}
        if not found:
            raise UnsupportedError(f"no chosen layer has rows of a multiple of {GROUP} weights")
        weights = {name: layer.weight for name, layer in found.items()}
        training = workload.mode in TRAINING
        evidence = _bake(weights, {n: two_in_four(w.detach()) for n, w in weights.items()}, train=training)
        packs = [layer for layer in found.values() if not training and _has_kernel(layer.weight)]
        for layer in packs:
            packed = torch.sparse.to_sparse_semi_structured(layer.weight.detach())
            layer.weight = nn.Parameter(packed, requires_grad=False)
        stored = "torch semi-structured" if packs else "dense with zeros: masks only, no sparse kernel runs"
        return model, evidence | {"stored": stored, "packed_layers": len(packs)}


def two_in_four(weight: torch.Tensor) -> torch.Tensor:
    """Return the mask of the two largest magnitudes in every four neighbours of a row."""
    import torch

    groups = weight.abs().view(-1, GROUP)
    mask = torch.zeros_like(groups, dtype=torch.bool)
    mask.scatter_(1, groups.topk(GROUP // 2, dim=1).indices, value=True)
    return mask.view(weight.shape)


def _has_kernel(weight: torch.Tensor) -> bool:
    """Return whether torch's sparse tensor-core kernels take this weight: 16 bits, sides of 64s, on CUDA."""
    import torch

    sized = all(side % 64 == 0 for side in weight.shape)
    return weight.is_cuda and sized and weight.dtype in {torch.bfloat16, torch.float16}
