"""Pruning: exact shares of zeros, the 2:4 pattern, masks that training keeps."""

import pytest
import torch

from workloads.compatibility import refusal
from workloads.compress.pruning import largest, two_in_four
from workloads.optimize import Optimize


def silent(_name):
    """Take no mark."""


def zeros(model):
    """Share of zeros in each linear layer and convolution."""
    kinds = (torch.nn.Linear, torch.nn.Conv2d)
    weights = [m.weight for m in model.modules() if isinstance(m, kinds)]
    return [float((w == 0).float().mean()) for w in weights]


def test_the_smallest_magnitudes_go_and_ties_go_in_order():
    """Half of six are the three nearest to zero; of equals the first."""
    magnitudes = torch.tensor([3.0, 1.0, 2.0, 1.0, 1.0, 1.0])
    assert largest(magnitudes, 0.5).tolist() == [True, False, True, False, False, True]
    assert largest(magnitudes, 0.0).all()


@pytest.mark.parametrize(("name", "mode"), [("mlp", "infer"), ("resnet", "infer"), ("gpt", "prefill")])
def test_each_layer_has_exactly_the_sparsity_asked_for(job, name, mode):
    """Three quarters of every layer's weights are zeros, and the record says so."""
    made = job(name, mode, "prune", sparsity=0.75)
    assert zeros(made.model) == pytest.approx([0.75] * len(zeros(made.model)), abs=1e-3)
    assert made.evidence()["sparsity"] == pytest.approx(0.75, abs=1e-3)


def test_a_global_threshold_spares_layers_of_large_weights(job, compressor, make):
    """The share holds over all layers together; one with small weights loses more."""
    workload = make("mlp", "infer")
    model = workload.build_model()
    with torch.no_grad():
        model.hidden[0].weight.mul_(0.01)
    model, evidence = compressor("prune", sparsity=0.5, scope="global").compress(workload, model)
    assert evidence["sparsity"] == pytest.approx(0.5, abs=1e-3)
    first, *others = zeros(model)
    assert first > 0.9
    assert max(others) < 0.5


@pytest.mark.parametrize("name", ["prune", "prune_2_4"])
def test_zeros_stay_zeros_in_training(job, name):
    """Steps move the other weights alone."""
    made = job("mlp", "train", name)
    weight = made.model.hidden[0].weight
    before, mask = weight.detach().clone(), weight.detach() != 0
    for index in range(3):
        made.step(index, silent)
    assert float(mask.float().mean()) == 0.5
    assert torch.equal(weight.detach() != 0, mask)
    assert not torch.equal(weight.detach(), before)


def test_a_compiled_step_keeps_zeros_too(job, monkeypatch):
    """Masks lie on the gradients, behind the compiler's graph."""
    compile_module = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, mode: compile_module(self, backend="eager"))
    made = job("mlp", "train", "prune", optimize=Optimize(compile="default"))
    mask = made.model.head.weight.detach() != 0
    made.step(0, silent)
    assert made.compiled.startswith("compiled")
    assert torch.equal(made.model.head.weight.detach() != 0, mask)


def test_two_of_every_four_neighbours_remain_the_larger_ones(job):
    """The pattern holds in every row, and the record says that no sparse kernel ran."""
    kept = two_in_four(torch.tensor([[1.0, -3.0, 2.0, 0.5, 4.0, 4.5, -5.0, 0.0]]))
    assert kept.tolist() == [[False, True, True, False, False, True, True, False]]
    made = job("llama", "decode", "prune_2_4")
    for module in made.model.modules():
        if isinstance(module, torch.nn.Linear):
            assert ((module.weight.view(-1, 4) != 0).sum(1) == 2).all()
    assert made.evidence()["sparsity"] == 0.5
    assert made.evidence()["stored"].startswith("dense with zeros")


def test_only_the_chosen_layers_are_pruned(job):
    """A name, a part of the model, or all of it."""
    made = job("gpt", "prefill", "prune", layers="attention")
    assert zeros(made.model) == [0.5, 0.5, 0.0, 0.0] * 2
    made = job("gpt", "prefill", "prune", layers="blocks.1.up")
    assert sum(zeros(made.model)) == 0.5


def test_what_has_no_such_layers_is_refused_with_the_reason(cell):
    """A recurrent model has neither linear layers nor convolutions; an MLP does not attend."""
    assert "lstm lacks" in refusal(cell("lstm", "train", "prune"))
    assert "needs attention" in refusal(cell("mlp", "infer", "prune", layers="attention"))
    assert refusal(cell("resnet", "infer", "prune_2_4")) == "prune_2_4 needs what resnet lacks: linear"
