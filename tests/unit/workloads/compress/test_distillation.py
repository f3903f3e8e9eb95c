"""Distillation: the loss by hand, a teacher that stays, a student that runs alone."""

import math

import pytest
import torch

from workloads.compatibility import refusal
from workloads.compress.distillation import divergence


def silent(_name):
    """Take no mark."""


def test_the_divergence_is_the_formula_by_hand():
    """Two classes at temperature 2: teacher (3/4, 1/4), student (1/2, 1/2)."""
    teacher = torch.tensor([[2 * math.log(3.0), 0.0]])
    student = torch.tensor([[5.0, 5.0]])
    expected = 4 * (0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5))
    assert divergence(student, teacher, 2.0).item() == pytest.approx(expected, rel=1e-5)
    assert divergence(teacher, teacher, 2.0).item() == pytest.approx(0.0, abs=1e-6)


def test_the_divergence_is_a_mean_over_rows():
    """Two rows, one without any."""
    teacher = torch.tensor([[[2.0, 0.0]], [[1.0, 1.0]]])
    student = torch.ones(2, 1, 2)
    assert divergence(student, teacher, 1.0) == divergence(student[:1], teacher[:1], 1.0) / 2


@pytest.mark.parametrize("name", ["mlp", "gpt", "resnet", "bert", "lstm", "t5", "inception"])
def test_the_loss_is_both_parts_by_their_weights(make, compressor, name):
    """hard=1 is the workload's own loss, hard=0 the teacher's; hard=1/2 the mean of both."""
    parts = []
    workload = make(name, "train")
    for hard in (1.0, 0.0, 0.5):
        distill = compressor("distill", hard=hard)
        torch.manual_seed(0)
        model, _ = distill.compress(workload, workload.build_model())
        with torch.no_grad():
            parts.append(float(distill.loss(workload, model, workload.make_batch(0))))
    torch.manual_seed(0)
    with torch.no_grad():
        own = float(workload.loss(workload.build_model().train(), workload.make_batch(0)))
    assert parts[0] == pytest.approx(own)
    assert parts[2] == pytest.approx((parts[0] + parts[1]) / 2)
    assert parts[1] > 0


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_student_learns_and_the_teacher_does_not(job, precision):
    """The loss of one batch falls; optimizer and weights are the student's alone."""
    made = job("gpt", "train", "distill", precision=precision, deeper=2)
    made.step(0, silent)
    first = float(made.output())
    for _ in range(4):
        made.step(0, silent)
    assert float(made.output()) < first
    evidence = made.evidence()
    assert evidence["student_parameters"] == made.parameters < evidence["teacher_parameters"]
    assert made.optimizer_bytes() == made.weights_bytes == 4 * made.parameters
    assert evidence["teacher_bytes"] == 4 * evidence["teacher_parameters"]


def test_inference_is_the_student_s(job, make, outputs):
    """The same weights and outputs as without a teacher, whose size is told."""
    made = job("mlp", "infer", "distill")
    made.step(0, silent)
    workload = make("mlp", "infer")
    torch.manual_seed(0)
    torch.testing.assert_close(made.output(), outputs(workload, workload.build_model().eval()))
    assert made.evidence()["teacher_parameters"] > made.parameters
    assert made.evidence()["teacher_bytes"] == 0


def test_a_family_without_a_bigger_member_is_refused(cell):
    """No layers to add; no teacher at all; no logits."""
    assert "needs a size 'layers'" in refusal(cell("resnet", "train", "distill", deeper=2))
    assert "as small as its student" in refusal(cell("gpt", "train", "distill", wider=1))
    assert "lacks: classes" in refusal(cell("dlrm", "train", "distill"))
    assert refusal(cell("resnet", "train", "distill")) is None
