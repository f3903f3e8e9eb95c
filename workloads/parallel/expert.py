"""Expert parallelism: each rank has some experts of every layer, and a share of the batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

from workloads.base import TRAINING, Workload
from workloads.parallel.ddp import DataParallel
from workloads.parallel.owned import OwnedWeights
from workloads.parallel.shares import uneven_batch
from workloads.parallel.traffic import INDEX, NUMBER, Traffic
from workloads.transform import Cell, TransformSpec

if TYPE_CHECKING:
    import torch
    from torch import nn

    from workloads.models.moe import Experts
    from workloads.training import Training


class Expert(OwnedWeights):
    """Tokens travel to the ranks of their experts and back, in all-to-alls of as many rows as were chosen.

    No token is dropped, so the result is the single process's. The number of rows that a rank receives is
    read back from the device, once per layer.
    """

    spec: ClassVar[TransformSpec] = TransformSpec(
        name="expert",
        title="Expert parallel",
        summary="each rank has some experts of every layer; tokens travel to their experts and back",
        modes=(*TRAINING, "prefill", "decode", "generate"),
        needs=frozenset({"experts", "samples"}),
        settings=DataParallel.spec.settings,
        compiles=False,
    )

    @classmethod
    def refusal(cls, cell: Cell) -> str | None:
        """Return which number does not divide by the ranks."""
        if int(cell.size["experts"]) % cell.ranks:
            return f"{cell.size['experts']} experts do not divide by {cell.ranks} ranks"
        if cell.optimize.cuda_graphs:
            return "expert reads back how many tokens arrive, which CUDA graphs do not allow"
        return uneven_batch(cell, cell.ranks)

    def place(self, workload: Workload, model: nn.Module) -> nn.Module:
        """Return the model with this rank's experts in place of all."""
        from workloads.models.moe import Experts

        layers = [module for module in model.modules() if isinstance(module, Experts)]
        for experts in layers:
            self._spread(experts)
        self.own(weight for experts in layers for weight in (experts.gate_up, experts.down))
        return model

    def _spread(self, experts: Experts) -> None:
        """Keep the rank's own experts of a layer."""
        from torch import nn

        from workloads.parallel.exchange import all_to_all

        rank, world, run = self.ranks.rank, self.ranks.world, experts.run
        for name in ("gate_up", "down"):
            whole = cast("nn.Parameter", getattr(experts, name))
            own = whole.detach().chunk(world)[rank].clone()
            setattr(experts, name, nn.Parameter(own, requires_grad=whole.requires_grad))

        def exchanged(x: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
            arriving = all_to_all(counts).view(world, -1)  # rows by rank and by own expert
            sent, received = counts.view(world, -1).sum(1).tolist(), arriving.sum(1).tolist()
            arrived = all_to_all(x, sent, received)
            expert = arriving.new_tensor(range(arriving.shape[1])).repeat(world)
            order = expert.repeat_interleave(arriving.flatten()).argsort(stable=True)
            made = run(arrived.index_select(0, order), arriving.sum(0))
            return all_to_all(made.index_select(0, order.argsort()), received, sent)

        experts.run = exchanged  # type: ignore[method-assign]

    def traffic(self, training: Training) -> list[Traffic]:
        """In each layer the counts, and twice in each pass the rows of the chosen tokens.

        What a rank receives and returns depends on the router: the bytes are the mean over the ranks.
        """
        workload, parts = training.workload, training.ring[0]
        rows = sum(part["tokens"].numel() for part in parts) * workload.n("active")
        layer = 4 * rows * workload.n("hidden") * NUMBER + len(parts) * workload.n("experts") * INDEX
        calls = 5 * workload.n("layers") * len(parts)
        return [*super().traffic(training), Traffic("all_to_all", workload.n("layers") * layer, calls)]

    def evidence(self) -> dict[str, Any]:
        """Report the layout."""
        return {"parallel": {"data": self.ranks.world, "expert": self.ranks.world}}
