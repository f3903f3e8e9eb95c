"""Attacks by known answers: a linear classifier, the bound, and that they work."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from workloads.catalogue.adversarial import BOUND
from workloads.engine.job import prepare
from workloads.engine.setup import Setup
from workloads.models.attack import projected_gradients


def silent(_name: str) -> None:
    """Take a mark and forget it."""


def test_a_linear_classifier_is_attacked_along_its_weights():
    """Each step goes one stride away from the right class; the bound holds what would go further."""
    weight = torch.tensor([[2.0, -1.0, 0.5], [0.0, 0.0, 0.0]])
    images, start = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[0.0, 0.0, 0.09]])
    for steps, changes in ((1, [-0.04, 0.04, 0.05]), (2, [-0.08, 0.08, 0.01]), (9, [-0.1, 0.1, -0.1])):
        found = projected_gradients(
            lambda x: x @ weight.T, images, torch.tensor([0]), start, steps, bound=0.1, stride=0.04
        )
        torch.testing.assert_close(found, images + torch.tensor([changes]), rtol=0, atol=1e-5)


def test_an_attack_makes_the_classifier_err_within_the_bound(make):
    """The loss of the attacked images is higher than that of any random change."""
    workload = make("adversarial", "train", steps=5)
    torch.manual_seed(0)
    model, batch = workload.build_model().eval(), workload.make_batch(0)
    found = workload._attacked(model, batch)["images"]
    assert float((found - batch["images"]).abs().max()) <= BOUND * 1.001
    with torch.no_grad():
        at_random = F.cross_entropy(model(batch["images"] + batch["change"]), batch["labels"])
        attacked = F.cross_entropy(model(found), batch["labels"])
    assert attacked > 1.05 * at_random
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not found.requires_grad


def test_the_attacked_images_are_what_is_learnt_and_classified(make):
    """Both modes see the same images from the same seed, and those alone."""
    train, infer = make("adversarial", "train"), make("adversarial", "infer")
    model, batch = train.build_model().eval(), train.make_batch(0)
    found = train._attacked(model, batch)["images"]
    torch.testing.assert_close(train.loss(model, batch), F.cross_entropy(model(found), batch["labels"]))
    torch.testing.assert_close(infer.infer(model, batch), model(found))


def test_training_against_attacks_lowers_the_loss(make):
    """Forty steps at the workload's own optimizer and rate, over the same four batches."""
    job = prepare(make("adversarial", "train"), Setup())
    for index in range(40):
        job.step(index, silent)
    losses = job.losses()
    assert sum(losses[-4:]) < 0.9 * sum(losses[:4])


def test_a_step_s_attack_ends_in_inference_mode_without_a_graph(make):
    """Inference takes gradients, and keeps none."""
    job = prepare(make("adversarial", "infer"), Setup())
    job.step(0, silent)
    assert job.check()["output_ok"]
    assert not job.output().requires_grad
