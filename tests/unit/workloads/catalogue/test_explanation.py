"""Explanations by known answers: a linear model, the axiom of completeness, attention in full."""

from __future__ import annotations

import pytest
import torch

from workloads.engine.job import prepare
from workloads.engine.setup import Setup
from workloads.models.explanation import integrated_gradients


def silent(_name: str) -> None:
    """Take a mark and forget it."""


def test_a_linear_model_is_explained_by_its_weights():
    """Each number adds its weight times itself, however few steps; the seen class is that of the image."""
    weight = torch.tensor([[1.0, -2, 3], [2, 2, -1]])
    images = torch.tensor([[1.0, 1, 4], [3, 1, 0.5]])
    for steps in (1, 7):
        found = integrated_gradients(lambda x: x @ weight.T, images, steps)
        torch.testing.assert_close(found, torch.stack((weight[0] * images[0], weight[1] * images[1])))


def test_integrated_gradients_add_up_to_the_logit(make):
    """Completeness (Sundararajan et al. 2017, proposition 1): what the image adds to the logit of nothing."""
    workload = make("explanation", "infer", steps=60)
    torch.manual_seed(0)
    model, images = workload.build_model().eval(), workload.make_batch(0)["images"]
    for block in model.blocks:  # more than a linear function of the image, from the start
        block.attention.qkv.weight.data.mul_(4.0)
    found = workload.infer(model, {"images": images})
    with torch.no_grad():
        logits = model(images)
        seen = logits.argmax(1, keepdim=True)
        added = (logits - model(torch.zeros_like(images))).gather(1, seen)[:, 0]
    torch.testing.assert_close(found.sum((1, 2, 3)), added, rtol=0.05, atol=3e-3)


def test_gradients_are_taken_within_a_step_and_none_is_kept(make):
    """A step runs in inference mode; what it leaves has no graph, and the weights no gradient."""
    job = prepare(make("explanation", "infer"), Setup())
    job.step(0, silent)
    assert job.output().shape == (2, 3, 64, 64)
    assert bool(job.output().abs().sum() > 0)
    assert not job.output().requires_grad
    assert all(parameter.grad is None for parameter in job.model.parameters())


@torch.no_grad()
def test_rollout_is_a_row_of_the_product_of_all_layers(make):
    """Class logits are those of the plain transformer; relevance is what the full matrices give."""
    workload, plain = make("explanation", "infer", method="attention"), make("vit", "infer", batch=2)
    models = []
    for kind in (workload, plain):
        torch.manual_seed(0)
        models.append(kind.build_model().eval())
    images = workload.make_batch(0)["images"]
    logits, relevance = models[0](images)
    torch.testing.assert_close(logits, models[1](images), rtol=1e-4, atol=1e-5)

    x, product = models[1].embed(images), torch.eye(65)
    for block in models[1].blocks:
        q, k, _ = block.attention.qkv(block.norm1(x)).view(2, 65, 3, 4, 32).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(2, 3) / 32**0.5).softmax(-1).mean(1)
        product = 0.5 * (weights + torch.eye(65)) @ product
        x = block(x)
    torch.testing.assert_close(relevance, product[:, 0, 1:])
    assert torch.equal(workload.infer(models[0], {"images": images}), relevance)


@pytest.mark.parametrize("method", ["gradients", "attention"])
def test_equal_seeds_explain_equally(make, method):
    """The same weights, images and result."""
    outputs = []
    for _ in range(2):
        job = prepare(make("explanation", "infer", method=method), Setup())
        job.step(1, silent)
        outputs.append(job.output())
    assert torch.equal(outputs[0], outputs[1])
