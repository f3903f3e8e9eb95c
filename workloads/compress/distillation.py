"""Distillation: the workload's model learns from a bigger one of its family, and then runs alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

from workloads import registry
from workloads.base import MODES, TRAINING, Batch, Size, Workload
from workloads.compress.base import LEARNS, PRECISIONS, Compressor
from workloads.transform import Cell, Setting, TransformSpec

if TYPE_CHECKING:
    import torch
    from torch import nn

WIDTHS = ("hidden", "width", "inner", "heads", "kv_heads")
DEPTH = "layers"


class Distill(Compressor):
    """Trains the workload's model, the student, on a teacher's soft targets beside its own loss.

    The loss is hard · L + (1 - hard) · T² · KL(softmax(teacher/T) ‖ softmax(student/T)), the divergence
    a mean over all rows of logits (Hinton et al. 2015, "Distilling the knowledge in a neural network",
    section 2).
    The teacher has random weights: a step is the same work as with a trained one. Outside training only the
    student runs.
    """

    spec: ClassVar[TransformSpec] = TransformSpec(
        name="distill",
        title="Distillation",
        summary="Train a student against a bigger teacher of its family; inference is the student's",
        modes=MODES,
        needs=frozenset({"classes"}),
        settings={
            "wider": Setting(2, "how many times the student's widths and heads the teacher has", (), 1, 16),
            "deeper": Setting(1, "how many times the student's layers the teacher has", (), 1, 16),
            "temperature": Setting(2.0, "T, which softens both distributions", (), 0.1, 100),
            "hard": Setting(0.5, "weight of the student's own loss; the rest is the teacher's", (), 0, 1),
        },
        precisions=(*PRECISIONS, "fp8"),
    )
    unjudged: ClassVar[str | None] = LEARNS
    starts_equal: ClassVar[bool] = True
    own_loss: ClassVar[bool] = True

    @classmethod
    def refusal(cls, cell: Cell) -> str | None:
        """The family must have a bigger member."""
        wider, deeper = int(cell.compress_settings["wider"]), int(cell.compress_settings["deeper"])
        if deeper > 1 and DEPTH not in cell.size:
            return f"deeper={deeper} needs a size {DEPTH!r}, which {cell.workload.name} has not"
        if wider == deeper == 1:
            return "wider=1 deeper=1 makes a teacher as small as its student"
        try:
            registry.get(cell.workload.name)(cell.mode, _teacher_size(cell.size, wider, deeper))
        except ValueError as error:
            return f"its teacher cannot be built: {error}"
        return None

    def compress(self, workload: Workload, model: nn.Module) -> tuple[nn.Module, dict[str, Any]]:
        """Build the teacher beside the student; outside training only its size is of interest."""
        import torch

        from workloads.counting.storage import parameter_count, weights_bytes

        size = _teacher_size(workload.size, int(self.settings["wider"]), int(self.settings["deeper"]))
        bigger = type(workload)(workload.mode, size, seed=workload.seed + 1, data=workload.data)
        training = workload.mode in TRAINING
        torch.manual_seed(bigger.seed)
        with next(model.parameters()).device if training else torch.device("meta"):
            teacher = bigger.build_model().eval().requires_grad_(requires_grad=False)
        self._teacher = teacher
        return model, {
            "teacher_parameters": parameter_count(teacher),
            "student_parameters": parameter_count(model),
            "teacher_bytes": weights_bytes(teacher) if training else 0,
        }

    def loss(self, workload: Workload, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the student's own loss and its divergence from the teacher, weighted."""
        import torch

        student = _Witness(model)
        own = workload.loss(cast("nn.Module", student), batch)
        with torch.no_grad():
            taught = logits(self._teacher(*student.inputs, **student.named))
        temperature, hard = float(self.settings["temperature"]), float(self.settings["hard"])
        return hard * own + (1 - hard) * divergence(logits(student.output), taught, temperature)


class _Witness:
    """A model that remembers what it was last called with and what came of it."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        self.inputs, self.named = inputs, named
        self.output = self._model(*inputs, **named)
        return self.output

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


def _teacher_size(size: Size, wider: int, deeper: int) -> Size:
    """Return the size with its widths and its layers so many times as large."""
    times = dict.fromkeys(WIDTHS, wider) | {DEPTH: deeper}
    return {key: int(value) * times[key] if key in times else value for key, value in size.items()}


def logits(output: Any) -> torch.Tensor:
    """Return the logits in what a model returns: themselves, the first of several, or those by name."""
    found = getattr(output, "logits", output)
    first: torch.Tensor = found[0] if isinstance(found, tuple) else found
    return first


def divergence(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return T² · KL(softmax(teacher/T) ‖ softmax(student/T)), the mean over all rows of logits."""
    from torch.nn import functional as F

    soft, target = (x.float().flatten(0, -2).div(temperature).log_softmax(-1) for x in (student, teacher))
    return temperature**2 * F.kl_div(soft, target, log_target=True, reduction="batchmean")
