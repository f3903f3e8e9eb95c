"""Narrower models: really smaller, and the same as with the dropped neurons at zero."""

import pytest
import torch

from workloads.compatibility import refusal
from workloads.models.narrow import narrow


def silent(_name):
    """Take no mark."""


def half_dead(model):
    """Make every other inner neuron and channel so small that it goes, and dead in effect."""
    for module in model.modules():
        for name, gates in (("up", 1), ("gate_up", 2)):
            if isinstance(getattr(module, name, None), torch.nn.Linear):
                layer = getattr(module, name)
                neurons = torch.arange(len(layer.weight)) % (len(layer.weight) // gates)
                layer.weight[neurons % 2 == 0] = 0
                if layer.bias is not None:
                    layer.bias[neurons % 2 == 0] = 0
        if hasattr(module, "middle"):
            for inner in (module.down, module.middle):
                inner[0].weight[::2] = 0
    for layer in getattr(model, "hidden", []):
        layer.weight[::2] = 0
        layer.bias[::2] = 0


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("mlp", "infer"),
        ("gpt", "prefill"),
        ("llama", "prefill"),
        ("vit", "infer"),
        ("bert", "infer"),
        ("resnet", "infer"),
        ("translation", "generate"),
    ],
)
def test_dropping_dead_neurons_changes_nothing_but_the_size(make, compressor, outputs, name, mode):
    """Half of every inner layer goes, with the weights that read it; the outputs stay."""
    workload = make(name, mode)
    model = workload.build_model().eval()
    with torch.no_grad():
        half_dead(model)
    before = outputs(workload, model)
    model, evidence = compressor("prune_channels").compress(workload, model)
    torch.testing.assert_close(outputs(workload, model), before, rtol=1e-4, atol=1e-5)
    assert evidence["sparsity"] == 0.5
    assert evidence["parameters"] == sum(p.numel() for p in model.parameters())
    assert evidence["parameters"] < evidence["parameters_before"]


class Gated(torch.nn.Module):
    """A feed-forward network with its gate in a layer of its own."""

    def __init__(self):
        super().__init__()
        self.gate_proj, self.up_proj = torch.nn.Linear(8, 16), torch.nn.Linear(8, 16)
        self.down_proj = torch.nn.Linear(16, 8)

    def forward(self, x):
        """Map (..., 8) to (..., 8)."""
        return self.down_proj(torch.nn.functional.silu(self.gate_proj(x)) * self.up_proj(x))


@torch.no_grad()
def test_a_gate_of_its_own_goes_with_its_neuron():
    """Dead neurons are dropped from both layers, which lose the same rows."""
    model, x = Gated(), torch.randn(4, 8)
    for layer in (model.gate_proj, model.up_proj):
        layer.weight[1::2] = 0
        layer.bias[1::2] = 0
    before = model(x)
    assert narrow(model, 0.5, 8) == [(16, 8)]
    assert model.gate_proj.weight.shape == model.up_proj.weight.shape == (8, 8)
    torch.testing.assert_close(model(x), before)


def test_a_width_stays_a_multiple_and_is_never_none(make):
    """Of 64 neurons a third is 21, so that with 8s 24 remain; of nearly all, eight."""
    assert narrow(make("mlp", "infer").build_model(), 2 / 3, 8) == [(64, 24), (64, 24)]
    assert narrow(make("mlp", "infer").build_model(), 0.99, 8) == [(64, 8), (64, 8)]
    assert narrow(make("mlp", "infer").build_model(), 0.5, 100) == [(64, 64), (64, 64)]


@pytest.mark.parametrize("name", ["resnet", "gpt"])
def test_a_narrower_model_trains(job, name):
    """Its gradients have the new shapes; the loss of one batch falls."""
    made = job(name, "train", "prune_channels")
    made.step(0, silent)
    first = float(made.output())
    for _ in range(4):
        made.step(0, silent)
    assert float(made.output()) < first
    assert made.parameters == made.evidence()["parameters"]


def test_what_has_no_inner_layers_is_refused(cell):
    """Experts are no pairs of layers."""
    assert refusal(cell("moe", "train", "prune_channels")) == "prune_channels needs what moe lacks: narrows"
