"""Pipeline parallelism: consecutive blocks on consecutive ranks, a batch in micro-batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, cast

from workloads.base import TRAINING, Workload
from workloads.parallel.base import Ranks, Strategy
from workloads.parallel.traffic import NUMBER, Traffic, gradient_bytes
from workloads.transform import Cell, Setting, TransformSpec

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.distributed import ProcessGroup

    from workloads.parallel.stages import Part
    from workloads.training import Mark, Training

INTERLEAVED = ("interleaved", "zero_bubble")


class Pipeline(Strategy):
    """Torch's own schedules over stages cut at the workload's blocks.

    A stage is a run of blocks; the first has the model's entry too, the last its exit and the loss. Under the
    interleaved schedules rank r has the stages r, r + world, …. A weight that entry and exit share lies on
    both ends, and its gradients are added up. Gradients are the mean over equal micro-batches.
    """

    spec: ClassVar[TransformSpec] = TransformSpec(
        name="pipeline",
        title="Pipeline parallel",
        summary="consecutive blocks on consecutive ranks: GPipe, 1F1B, interleaved 1F1B, zero bubble",
        modes=TRAINING,
        needs=frozenset({"stages", "samples"}),
        settings={
            "schedule": Setting("1f1b", "order of passes", choices=("gpipe", "1f1b", *INTERLEAVED)),
            "micro_batches": Setting(4, "parts of a batch that follow one another", least=1),
            "stages": Setting(2, "stages of a rank, under the interleaved schedules", least=2),
        },
        compiles=False,
    )

    _group: ProcessGroup | None = None
    """The ranks of this pipeline; None is all."""

    @classmethod
    def refusal(cls, cell: Cell) -> str | None:
        """Return which number does not divide, or what cannot be cut."""
        settings, size = cell.parallel_settings, cell.size
        micro, stages = int(settings["micro_batches"]), cell.ranks * _stages_each(settings)
        if cell.ranks < 2:
            return "pipeline needs at least 2 ranks"
        if size.get("shared"):
            return "pipeline cannot cut layers that share one weight (shape.shared)"
        if int(size["layers"]) < stages:
            return (
                f"{cell.workload.name} has {size['layers']} blocks, fewer than the pipeline's {stages} stages"
            )
        if settings["schedule"] == "1f1b" and micro < stages:
            return f"1f1b needs as many micro-batches as stages, {stages}: micro_batches is {micro}"
        if int(size["batch"]) % micro:
            return f"batch {size['batch']} does not split into {micro} equal micro-batches"
        if cell.accumulate > 1:
            return "pipeline has micro-batches of its own: leave workload.accumulate at 1"
        if settings["schedule"] in INTERLEAVED and micro % max(1, micro // cell.ranks):
            return f"{micro} micro-batches do not go round {cell.ranks} ranks in equal rounds"
        return None

    def place(self, workload: Workload, model: nn.Module) -> nn.Module:
        """Return the list of this rank's stages; the memory of all other weights is given back."""
        import torch.distributed as dist
        from torch import nn

        from workloads.parallel import stages

        rank, world = self.line.rank, self.line.world
        count = world * _stages_each(self.settings)
        parts = nn.ModuleList(stages.Part(workload, model, i, count) for i in range(rank, count, world))
        stages.release(model, parts)
        self._shared = stages.shared_by_ends(model) if rank in {0, world - 1} else []
        groups = {tuple(ends): dist.new_group(ends) for ends in self.ends()}  # each by all ranks
        self._ends = next((group for ends, group in groups.items() if self.ranks.rank in ends), None)
        return parts

    @property
    def line(self) -> Ranks:
        """This rank among those of its pipeline."""
        return self.ranks

    def ends(self) -> list[list[int]]:
        """The first and the last rank of every pipeline."""
        return [[0, self.ranks.world - 1]]

    def average(self, model: nn.Module) -> None:
        """Average the gradients of several pipelines."""

    def train_step(self, training: Training) -> Callable[[int, Mark], None]:
        """Return the step that runs one schedule over a batch, then updates the weights."""
        import torch
        import torch.distributed as dist

        from workloads.parallel.stages import make_schedule

        parts = cast("list[Part]", list(training.model.children()))
        for part in parts:
            part.cast = training.cast
        name, micro = str(self.settings["schedule"]), int(self.settings["micro_batches"])
        schedule = make_schedule(name, parts, micro, self._group)
        nothing = torch.zeros((), device=next(parts[0].parameters()).device)

        def step(index: int, _mark: Mark) -> None:
            (batch,) = training.ring[index % len(training.ring)]
            named: dict[str, Any] = dict(batch)
            training.optimizer.zero_grad(set_to_none=True)
            losses: list[torch.Tensor] = []
            target = next(iter(batch.values()))  # the schedule wants one; the last stage has its own
            schedule.step(target=target, losses=losses, return_outputs=False, **named)
            for weight in self._shared:
                dist.all_reduce(weight.grad, group=self._ends)
            self.average(training.model)
            training.optimizer.step()
            training.done(torch.stack(losses).detach().mean() if losses else nothing)

        return step

    def world_losses(self, losses: torch.Tensor) -> torch.Tensor:
        """Return the last rank's losses; the others have none."""
        import torch.distributed as dist

        dist.broadcast(losses, src=self.ranks.world - 1)
        return losses

    def traffic(self, training: Training) -> list[Traffic]:
        """The states between stages, forward and backward, and the gradient of a weight that the ends share.

        The closed form is for workloads whose states are (B, seq, hidden).
        """
        workload, line = training.workload, self.line
        if "sequence" not in workload.spec.traits:
            return []
        ((batch,),) = training.ring[:1]
        state = batch["tokens"].numel() * workload.n("hidden") * NUMBER
        times = 2 * _stages_each(self.settings) - (line.rank == 0) - (line.rank == line.world - 1)
        calls = times * int(self.settings["micro_batches"])
        moved = [Traffic(kind, times * state, calls) for kind in ("send", "recv")]
        if not self._shared:
            return moved
        return [*moved, Traffic("all_reduce", gradient_bytes(self._shared), len(self._shared))]

    def evidence(self) -> dict[str, Any]:
        """Report the layout, and the share of time that a rank waits where all stages take equally long.

        It is (p-1)/(v·m + p-1) for p ranks of v stages and m micro-batches (Narayanan et al. 2021, section
        2.2); of zero bubble there is no such formula.
        """
        ranks, micro, each = self.line.world, int(self.settings["micro_batches"]), _stages_each(self.settings)
        layout = {"pipeline": ranks, "stages": ranks * each, "micro_batches": micro}
        if self.settings["schedule"] == "zero_bubble":
            return {"parallel": layout}
        return {"parallel": layout | {"bubble_share": (ranks - 1) / (each * micro + ranks - 1)}}


def _stages_each(settings: Any) -> int:
    """Return the stages of a rank."""
    return int(settings["stages"]) if settings["schedule"] in INTERLEAVED else 1
