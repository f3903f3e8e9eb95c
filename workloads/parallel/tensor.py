"""Tensor parallelism: every matrix of a block is split over the ranks, which all work on the same samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from workloads.base import MODES, TRAINING, Workload
from workloads.parallel.base import Strategy
from workloads.parallel.traffic import NUMBER, Traffic, combined
from workloads.transform import Cell, Setting, TransformSpec

if TYPE_CHECKING:
    import torch
    from torch import nn

    from workloads.training import Training

SEQUENCE = Setting(
    default=False, about="norms and residuals between split layers work on a part of each sequence"
)
WIDTHS = ("heads", "kv_heads", "inner", "width")
"""Sizes that are split."""


class TensorParallel(Strategy):
    """Torch's `parallelize_module` over what the modules say of themselves (`workloads.models.tensor_split`).

    Attention is split by heads, a cache of keys and values with it; a feed-forward network by its inner
    layer. A tied output layer stays whole on every rank, one of its own is split by the vocabulary.
    """

    spreads_weights = True
    spec: ClassVar[TransformSpec] = TransformSpec(
        name="tensor",
        title="Tensor parallel",
        summary="every matrix split over the ranks, with the sequence split between them (Megatron)",
        modes=MODES,
        needs=frozenset({"tensor"}),
        settings={"sequence": SEQUENCE},
        compiles=False,
    )

    @property
    def cache_parts(self) -> int:
        """Each rank has the keys and values of its own heads."""
        return self.ranks.world

    @classmethod
    def refusal(cls, cell: Cell) -> str | None:
        """Return which number does not divide by the ranks."""
        return unsplittable(cell, cell.ranks, sequence=bool(cell.parallel_settings["sequence"]))

    def place(self, workload: Workload, model: nn.Module) -> nn.Module:
        """Split the model in place."""
        from torch.distributed.device_mesh import init_device_mesh

        from workloads.parallel.splitting import split_model

        device = next(model.parameters()).device.type
        mesh = init_device_mesh(device, (self.ranks.world,), mesh_dim_names=("tensor",))
        split_model(model, mesh, workload.blocks(model) if self.settings["sequence"] else [])
        return model

    def optimizer(
        self, make: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer], model: nn.Module
    ) -> torch.optim.Optimizer:
        """Return the optimizer of split and of whole weights."""
        from workloads.parallel.data import spread_optimizer

        return spread_optimizer(make, model)

    def traffic(self, training: Training) -> list[Traffic]:
        """The states between the halves of every block, and the norms' gradients once, before the update."""
        blocks, parts, sequence = (
            training.workload.n("layers"),
            len(training.ring[0]),
            self.settings["sequence"],
        )
        states = split_traffic(training, blocks, self.ranks.world, parts, sequence=bool(sequence))
        return combined(states, norm_traffic(training.model)) if sequence else states

    def evidence(self) -> dict[str, Any]:
        """Report the layout."""
        return {"parallel": {"tensor": self.ranks.world, "sequence": bool(self.settings["sequence"])}}


def split_traffic(
    training: Training, blocks: int, ranks: int, micro_batches: int, *, sequence: bool
) -> list[Traffic]:
    """Return what ranks exchange that share the matrices of some blocks.

    The states (B, seq, hidden) are added up behind attention and network, and their gradients before them. A
    split sequence is gathered and scattered there instead, and gathered once around all blocks in each pass.
    An output layer of its own has its input's gradients added up, and its outputs gathered. Of a workload
    without such states there is no form.

    Args:
        training: On this rank.
        blocks: Blocks that run on this rank.
        ranks: Those that share a matrix.
        micro_batches: Parts of the ring's batches, which follow one another.
        sequence: The sequence is split between the blocks' halves.
    """
    from workloads.models.tensor_split import splits

    workload, split = training.workload, list(splits(training.model))
    if "sequence" not in workload.spec.traits:
        return []
    numbers = NUMBER * sum(part["tokens"].numel() for part in training.ring[0])
    state, heads = numbers * workload.n("hidden"), sum(len(one.gathered) for _, one in split)

    def sent(kind: str, size: int, calls: int) -> Traffic:
        return Traffic(kind, calls * size, calls * micro_batches)

    between = [sent("all_reduce", state, 4 * blocks)]
    if sequence:
        between = [sent("all_gather", state, 4 * blocks + 2), sent("reduce_scatter", state, 4 * blocks)]
    if not heads:
        return between
    padded = -(-workload.n("vocab") // ranks) * ranks
    return combined(between, [sent("all_reduce", state, heads), sent("all_gather", numbers * padded, heads)])


def norm_traffic(model: nn.Module, times: int = 1) -> list[Traffic]:
    """Return the sums of the norms' gradients, where each rank has those of its part of a sequence."""
    from workloads.models.tensor_split import splits

    norms = [module.get_submodule(name) for module, split in splits(model) for name in split.norms]
    sizes = [NUMBER * weight.numel() for norm in norms for weight in norm.parameters()]
    return [Traffic("all_reduce", times * sum(sizes), times * len(sizes))]


def unsplittable(cell: Cell, parts: int, *, sequence: bool) -> str | None:
    """Return which of a workload's sizes does not split into so many parts."""
    for key in WIDTHS:
        if int(cell.size.get(key, parts)) % parts:
            return f"{key} {cell.size[key]} does not divide by {parts} ranks"
    if not sequence:
        return None
    if cell.mode not in TRAINING:
        return "a sequence of one token cannot be split: leave sequence off outside of training"
    if "sequence" not in cell.workload.traits:
        return f"{cell.workload.name} cannot split its sequence"
    if int(cell.size["seq"]) % parts:
        return f"seq {cell.size['seq']} does not divide by {parts} ranks"
    return "layers that share one weight cannot split the sequence" if cell.size.get("shared") else None
