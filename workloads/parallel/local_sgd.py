"""Local SGD: every rank trains on its own share, and the weights are averaged now and then."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from workloads.base import TRAINING
from workloads.parallel.ddp import DataParallel
from workloads.parallel.traffic import Traffic, gradient_bytes, trained
from workloads.transform import Setting, TransformSpec

if TYPE_CHECKING:
    from workloads.training import Mark, Training


class LocalSGD(DataParallel):
    """Averages the weights after every `every` steps, and not the optimizer's state (Stich 2019).

    With 1 and plain or momentum SGD it is synchronous data parallel, whose update is linear in the gradient.
    """

    spec: ClassVar[TransformSpec] = TransformSpec(
        name="local_sgd",
        title="Local SGD",
        summary="each rank trains on its share of the batch; weights are averaged after several steps",
        modes=TRAINING,
        needs=frozenset({"samples"}),
        settings={"every": Setting(8, "steps between two averages of the weights", least=1)},
    )

    def train_step(self, training: Training) -> Callable[[int, Mark], None]:
        """Return one rank's own step, which ends in an average where one is due."""
        import torch.distributed as dist
        from torch.distributed.algorithms.model_averaging.utils import average_parameters

        from workloads.training import train_step

        own, every, done = train_step(training), int(self.settings["every"]), 0
        weights = trained(training.model)

        def step(index: int, mark: Mark) -> None:
            nonlocal done
            own(index, mark)
            done += 1
            if done % every == 0:
                average_parameters(weights, dist.group.WORLD)  # type: ignore[arg-type]

        return step

    def traffic(self, training: Training) -> list[Traffic]:
        """All weights, once in so many steps: the mean over these."""
        size = gradient_bytes(training.model.parameters()) / int(self.settings["every"])
        return [Traffic("all_reduce", size)]

    def evidence(self) -> dict[str, Any]:
        """Report the layout."""
        return {"parallel": {"data": self.ranks.world, "local_steps": self.settings["every"]}}
