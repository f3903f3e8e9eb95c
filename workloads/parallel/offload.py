"""Offload: weights or optimizer state lie in host memory, and come to the device when they are needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from workloads.base import TRAINING, Workload
from workloads.parallel.base import Strategy
from workloads.transform import Cell, Setting, TransformSpec

if TYPE_CHECKING:
    import torch
    from torch import nn

    from workloads.training import Mark, Training


class Offload(Strategy):
    """What does not fit the device's memory, for its price in transfers; of one rank.

    `optimizer`: the update runs on the host, from gradients that are copied there, and the new weights are
    copied back; the device holds weights and gradients alone. `weights`: these lie on the host too, and each
    block's are copied to the device for its passes (FSDP2's offload policy).
    """

    spec: ClassVar[TransformSpec] = TransformSpec(
        name="offload",
        title="Offload to host memory",
        summary="optimizer state, or the weights too, in host memory; copied when they are needed",
        modes=TRAINING,
        settings={
            "what": Setting("optimizer", "what lies in host memory", choices=("optimizer", "weights")),
        },
        compiles=False,
    )

    @classmethod
    def refusal(cls, cell: Cell) -> str | None:
        """Refuse where there is nothing to offload, or nowhere."""
        if cell.device == "cpu":
            return "offload moves to host memory, where everything of a CPU lies already"
        if cell.ranks != 1:
            return f"offload is for one rank, not {cell.ranks}"
        if cell.parallel_settings["what"] == "weights" and "blocks" not in cell.workload.traits:
            return f"offload of weights goes by blocks, which {cell.workload.name} does not list"
        return None

    @property
    def _weights(self) -> bool:
        return self.settings["what"] == "weights"

    def place(self, workload: Workload, model: nn.Module) -> nn.Module:
        """Return the model, its weights on the host where these are to lie there."""
        if self._weights:
            from workloads.parallel.host import offload_weights

            self._module = offload_weights(workload, model, bf16=self.precision == "bf16")
        return model

    def optimizer(
        self, make: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer], model: nn.Module
    ) -> torch.optim.Optimizer:
        """Return an optimizer on the host."""
        from workloads.parallel.data import spread_optimizer
        from workloads.parallel.host import HostOptimizer

        return spread_optimizer(make, model) if self._weights else HostOptimizer(model.parameters(), make)

    def train_step(self, training: Training) -> Callable[[int, Mark], None]:
        """Return the step."""
        from workloads.parallel.data import wrapped_step
        from workloads.training import train_step

        return wrapped_step(training, self._module) if self._weights else train_step(training)

    def evidence(self) -> dict[str, Any]:
        """Report what lies on the host."""
        return {"parallel": {"offload": self.settings["what"]}}
