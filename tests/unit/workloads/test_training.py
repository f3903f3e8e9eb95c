"""Training steps: losses, accumulated gradients, the optimizer and what is kept of them."""

from __future__ import annotations

import pytest
import torch

from workloads import registry
from workloads.engine.job import prepare
from workloads.engine.setup import Setup
from workloads.inputs.sources import SHIPPED
from workloads.training import LOSSES_KEPT, LossHistory, make_optimizer

CPU = torch.device("cpu")


def silent(_name: str) -> None:
    """Take a mark and forget it."""


def job_of(workload, precision="fp32", **options):
    """Prepare a workload on the CPU with its own defaults."""
    return prepare(workload, Setup(precision=precision, **options))


@pytest.mark.parametrize("name", ["gpt", "lstm", "bert", "ner", "mlp", "llama", "moe", "mamba"])
def test_the_loss_on_the_shipped_text_falls(make, name):
    """Thirty steps at the workload's own optimizer and rate."""
    job = job_of(make(name, "finetune" if name == "ner" else "train", data=SHIPPED))
    for index in range(30):
        job.step(index, silent)
    losses = job.losses()
    assert len(losses) == 30
    assert sum(losses[-4:]) < 0.95 * sum(losses[:4])


@pytest.mark.parametrize("name", ["gpt", "lstm", "mlp"])
def test_accumulated_gradients_are_those_of_the_full_batch(make, name):
    """Four micro-batches give the gradient, the loss and the units of the batch that they split."""
    whole, split = (job_of(make(name, "train", batch=8), accumulate=n) for n in (1, 4))
    for job in (whole, split):
        job.step(0, silent)
    for one, other in zip(whole.model.parameters(), split.model.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-6)
    assert whole.losses() == pytest.approx(split.losses(), rel=1e-5)
    one, other = whole.units(0), split.units(0)
    assert (one.samples, one.tokens, one.flops) == (other.samples, other.tokens, pytest.approx(other.flops))


def test_a_batch_that_does_not_split_evenly_is_refused(make):
    """Micro-batches of different sizes would weigh their samples differently."""
    with pytest.raises(ValueError, match="batch 4 does not split into 3 equal micro-batches"):
        job_of(make("gpt", "train", batch=4), accumulate=3)


def test_accumulation_without_training_is_refused(make):
    """It has no meaning there."""
    with pytest.raises(ValueError, match="accumulate 2 has no meaning in mode infer"):
        job_of(make("bert", "infer"), accumulate=2)


@pytest.mark.parametrize(("optimizer", "states"), [("sgd", 1), ("adamw", 2)])
def test_optimizer_state_is_counted(make, optimizer, states):
    """SGD keeps a momentum, AdamW two moments, and a step counter a parameter."""
    job = job_of(make("mlp", "train"), optimizer=optimizer, lr=0.01)
    assert job.optimizer_bytes() == 0
    job.step(0, silent)
    counters = 4 * len(list(job.model.parameters())) if optimizer == "adamw" else 0
    assert job.optimizer_bytes() == states * job.weights_bytes + counters


def test_the_learning_rate_that_is_given_is_used(make):
    """Twice the rate, twice the first SGD step."""
    start = job_of(make("mlp", "train"), optimizer="sgd", lr=0.1).model.head.weight.detach().clone()
    moves = []
    for rate in (0.1, 0.2):
        job = job_of(make("mlp", "train"), optimizer="sgd", lr=rate)
        job.step(0, silent)
        moves.append(job.model.head.weight.detach() - start)
    torch.testing.assert_close(2 * moves[0], moves[1], rtol=1e-3, atol=1e-7)


def test_losses_are_bounded_and_keep_the_first():
    """A long run forgets the middle, never the beginning."""
    losses = LossHistory()
    assert losses.stacked().tolist() == []
    for value in range(LOSSES_KEPT + 10):
        losses.append(torch.tensor(float(value)))
    kept = losses.stacked().tolist()
    assert len(kept) == LOSSES_KEPT + 1
    assert kept[:2] == [0.0, 10.0]
    assert kept[-1] == LOSSES_KEPT + 9


def test_losses_of_a_lower_precision_are_read_in_fp32():
    """Ranks exchange them: one that has none, and waits in fp32, must get what the others send."""
    losses = LossHistory()
    losses.append(torch.tensor(0.5, dtype=torch.bfloat16))
    assert losses.stacked().dtype == torch.float32
    assert losses.stacked().tolist() == [0.5]


def test_a_training_step_keeps_no_graph_alive(make):
    """Losses are detached: the step's activations are free once it is over."""
    job = job_of(make("mlp", "train"))
    job.step(0, silent)
    assert job.output().grad_fn is None
    assert not job.output().requires_grad


def test_training_without_any_default_optimizer_is_refused(make, monkeypatch):
    """A workload that names none needs one from the configuration."""
    workload = make("mlp", "train")
    monkeypatch.setattr(type(workload), "spec", registry.get("noop").spec)
    with pytest.raises(ValueError, match="noop has no training defaults"):
        make_optimizer(workload, None, None, fused=False)
