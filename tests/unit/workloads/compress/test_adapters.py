"""Added weights: nothing changes at first, only they train, and they are counted apart."""

from dataclasses import replace

import pytest
import torch

from workloads.compatibility import refusal
from workloads.optimize import Optimize

NAMES = ("lora", "adalora", "adapters")


def silent(_name):
    """Take no mark."""


def snapshot(model):
    """Copy the numbers that train and those that do not."""
    pairs = list(model.named_parameters())
    trained = {n: p.detach().clone() for n, p in pairs if p.requires_grad}
    return trained, {n: p.detach().clone() for n, p in pairs if not p.requires_grad}


@pytest.mark.parametrize("name", ["lora", "adapters", "adalora"])
@pytest.mark.parametrize(("workload", "mode"), [("gpt", "train"), ("bert", "finetune")])
def test_nothing_changes_at_first(make, compressor, name, workload, mode):
    """What is added is zero: the outputs are those of the frozen model."""
    work = make(workload, mode)
    model = work.build_model().train()
    batch = work.make_batch(0)
    with torch.no_grad():
        before = work.predict(model, batch)
        model, _ = compressor(name).compress(work, model)
        torch.testing.assert_close(work.predict(model, batch), before)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_step_changes_what_was_added_alone(job, name, precision):
    """Frozen weights stay to the bit; the optimizer has a state for each number that trains."""
    made = job("gpt", "train", name, precision=precision)
    trained, frozen = snapshot(made.model)
    for index in range(2):
        made.step(index, silent)
    after_trained, after_frozen = snapshot(made.model)
    assert all(torch.equal(frozen[n], after_frozen[n]) for n in frozen)
    assert any(not torch.equal(trained[n], after_trained[n]) for n in trained)
    evidence = made.evidence()
    assert evidence["trained_parameters"] == sum(map(torch.numel, trained.values()))
    assert made.optimizer_bytes() == 4 * evidence["trained_parameters"]
    assert made.parameters == evidence["parameters"]
    assert made.weights_bytes == 4 * made.parameters
    assert made.check()["output_ok"]


def test_the_ranks_of_lora_are_counted_in_closed_form(job):
    """Each layer adds rank · (in + out) numbers."""
    made = job("gpt", "train", "lora", rank=4, layers="attention")
    assert made.evidence()["trained_parameters"] == 2 * 4 * ((64 + 3 * 64) + (64 + 64))


def test_an_adapter_behind_each_output_is_counted_in_closed_form(job):
    """Two bottlenecks in each of two blocks: weights and biases there and back."""
    made = job("gpt", "train", "adapters", width=8)
    assert made.evidence()["trained_parameters"] == 2 * 2 * (2 * 8 * 64 + 8 + 64)


def test_adalora_ends_with_the_mean_rank_asked_for(job, monkeypatch):
    """At the schedule's end the singular values beyond the budget are zero."""
    made = job("gpt", "train", "adalora", steps=20, initial_rank=6, rank=2)
    for index in range(20):
        made.step(index, silent)
    values = [p for n, p in made.model.named_parameters() if "lora_E" in n]
    assert sum(v.numel() for v in values) == 6 * len(values)
    assert sum(int((v != 0).sum()) for v in values) == 2 * len(values)


def test_a_layer_that_no_output_depends_on_has_no_importance(make, compressor):
    """Without a gradient it weighs nothing, and the others are weighed."""
    work, adalora = make("gpt", "train"), compressor("adalora", layers="blocks.*.up")
    model, _ = adalora.compress(work, work.build_model().train())
    adalora.loss(work, model, work.make_batch(0)).backward()
    unused = model.get_parameter("blocks.0.up.lora_E.default")
    unused.grad = None
    adalora.updated()
    assert not unused.grad.any()


def test_adalora_s_penalty_is_the_distance_from_orthogonal(make, compressor):
    """Orthonormal directions cost nothing: the loss is the workload's."""
    work, batch = make("gpt", "train"), make("gpt", "train").make_batch(0)
    adalora = compressor("adalora", layers="blocks.0.up")
    model, _ = adalora.compress(work, work.build_model().train())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_A" in name or "lora_B" in name:
                torch.nn.init.orthogonal_(parameter)
        assert float(adalora.loss(work, model, batch)) == pytest.approx(float(work.loss(model, batch)), 1e-5)
        parameter = model.get_parameter("blocks.0.up.lora_A.default")
        parameter.mul_(2.0)  # A·Aᵀ is 4·I, and the mean over A and B halves its distance
        penalty = adalora.loss(work, model, batch) - work.loss(model, batch)
    assert float(penalty) == pytest.approx(0.5 * 3 * 12**0.5 / 2, rel=1e-4)


def test_a_prefix_trains_before_a_frozen_model(job):
    """Each position has keys and values of every layer and head."""
    made = job("t5", "train", "prefix", tokens=4)
    _, frozen = snapshot(made.model)
    made.step(0, silent)
    first = float(made.output())
    for _ in range(4):
        made.step(0, silent)
    assert float(made.output()) != first
    assert all(torch.equal(frozen[n], p) for n, p in snapshot(made.model)[1].items())
    assert made.evidence()["trained_parameters"] == 4 * 2 * 2 * 64  # layers, keys and values, hidden


def test_adapters_train_a_model_of_transformers(job):
    """Its feed-forward network looks at the weight of the layer behind which the adapter stands."""
    for name in ("lora", "adapters"):
        made = job("t5", "train", name)
        made.step(0, silent)
        assert made.check()["output_ok"]


def test_what_cannot_be_adapted_is_refused_with_the_reason(cell):
    """Inference, models without linear layers, without a prefix, ranks that would have to rise."""
    assert "no meaning in mode prefill" in refusal(cell("gpt", "prefill", "lora"))
    assert "lacks: linear" in refusal(cell("resnet", "train", "lora"))
    assert "lacks: blocks" in refusal(cell("mlp", "train", "adapters"))
    assert "lacks: prefix" in refusal(cell("gpt", "train", "prefix"))
    assert "ranks only fall" in refusal(cell("gpt", "train", "adalora", initial_rank=4))
    wrapped = replace(cell("t5", "train", "prefix"), optimize=Optimize(checkpoint=True))
    assert "checkpoint" in refusal(wrapped)
