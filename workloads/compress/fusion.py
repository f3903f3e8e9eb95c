"""Model fusion: several models of one shape become one, by their weights, gradients or answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from workloads.base import MODES, TRAINING, Batch, Workload
from workloads.compress.base import LEARNS, PRECISIONS, Compressor
from workloads.transform import Cell, Setting, TransformSpec

if TYPE_CHECKING:
    import torch
    from torch import nn

UNTRAINED = "no models that were trained apart are at hand, and random ones say nothing of fusion"
MODELS = Setting(3, "models that are fused, the trial's own among them", (), 2, 64)


def others(workload: Workload, model: nn.Module, count: int) -> list[nn.Module]:
    """Build further models, each with its own seed, on the model's device and in its mode."""
    import torch

    built = []
    for number in range(1, count):
        torch.manual_seed(workload.seed + number)
        with next(model.parameters()).device:
            other = workload.build_model()
        built.append(other.train(model.training).requires_grad_(requires_grad=model.training))
    return built


class Average(Compressor):
    """Averages the weights of several models: the cost of one model from then on."""

    spec: ClassVar[TransformSpec] = TransformSpec(
        name="average",
        title="Weight averaging",
        summary="Average the weights of several models of one shape; the result runs as one model",
        modes=MODES,
        settings={"models": MODELS},
        precisions=PRECISIONS,
    )
    unjudged: ClassVar[str | None] = UNTRAINED

    @classmethod
    def refusal(cls, cell: Cell) -> str | None:
        """It needs weights to average."""
        if cell.workload.family in {"micro", "selftest"}:
            return f"{cls.spec.name} needs a model, which {cell.workload.name} is not"
        return None

    def compress(self, workload: Workload, model: nn.Module) -> tuple[nn.Module, dict[str, Any]]:
        """Average the model with others."""
        from workloads.counting.storage import parameter_count
        from workloads.models.fused import average

        count = int(self.settings["models"])
        average([model, *others(workload, model, count)])
        one = parameter_count(model)
        return model, {"models": count, "parameters_before": count * one, "parameters": one}


class Ensemble(Compressor):
    """Asks several models and gives their mean logits, or the share of their votes for each class."""

    spec: ClassVar[TransformSpec] = TransformSpec(
        name="ensemble",
        title="Ensemble",
        summary="Run several models on every batch and combine their answers, by mean or by vote",
        modes=("infer",),
        needs=frozenset({"classes"}),
        settings={
            "models": MODELS,
            "combine": Setting(
                "mean", "the mean of the logits, or each class's share of the votes", ("mean", "vote")
            ),
        },
        precisions=PRECISIONS,
    )
    unjudged: ClassVar[str | None] = UNTRAINED

    def compress(self, workload: Workload, model: nn.Module) -> tuple[nn.Module, dict[str, Any]]:
        """Put the models side by side."""
        from workloads.counting.storage import parameter_count
        from workloads.models.fused import Members

        count, combine = int(self.settings["models"]), str(self.settings["combine"])
        one = parameter_count(model)
        ensemble = Members([model, *others(workload, model, count)], vote=combine == "vote").eval()
        evidence = {"models": count, "combine": combine, "parameters_before": one}
        return ensemble, evidence | {"parameters": parameter_count(ensemble)}


class AggregateGradients(Compressor):
    """Trains one model by the mean gradient of several copies, each over its share of the batch.

    Before every step the copies take the model's weights, and after it their gradients have gone into the
    model's: data parallelism on one device, without its speed. Its cost is what fusing gradients costs.
    """

    spec: ClassVar[TransformSpec] = TransformSpec(
        name="aggregate_gradients",
        title="Gradient aggregation",
        summary="Aggregate the gradients of several copies, each over its share of the batch, in one update",
        modes=TRAINING,
        needs=frozenset({"samples"}),
        settings={"models": Setting(2, "copies, among which the batch is shared out", (), 2, 64)},
        precisions=PRECISIONS,
        compiles=False,
    )
    unjudged: ClassVar[str | None] = LEARNS
    starts_equal: ClassVar[bool] = True

    @classmethod
    def refusal(cls, cell: Cell) -> str | None:
        """The batch must be shared out in equal parts, and checkpoints are the model's own."""
        if cell.optimize.checkpoint:
            return f"{cls.spec.name} keeps all activations of its copies; optimize.checkpoint reaches none"
        models, rows = int(cell.compress_settings["models"]), int(cell.size["batch"])
        parts = models * cell.accumulate * cell.ranks
        if rows % parts:
            return f"a batch of {rows} does not split among {models} models in {parts // models} parts"
        return None

    def compress(self, workload: Workload, model: nn.Module) -> tuple[nn.Module, dict[str, Any]]:
        """Copy the model, and let the copies' gradients flow into its own."""
        from workloads.counting.storage import weights_bytes
        from workloads.models.fused import Copies

        self._copies = Copies(model, int(self.settings["models"]) - 1)
        return model, {
            "models": int(self.settings["models"]),
            "copies_bytes": sum(map(weights_bytes, self._copies.models)),
        }

    def loss(self, workload: Workload, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the mean of the copies' losses, each over its share of the batch."""
        import torch

        models = [model, *self._copies.models]
        rows = len(next(iter(batch.values()))) // len(models)
        parts = [{k: v[i * rows :][:rows] for k, v in batch.items()} for i in range(len(models))]
        losses = [workload.loss(one, part) for one, part in zip(models, parts, strict=True)]
        return torch.stack(losses).mean()

    def updated(self) -> None:
        """Give the copies the new weights."""
        self._copies.follow()
