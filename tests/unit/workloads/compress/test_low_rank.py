"""Factors of low rank: exact at full rank, exact for what has that rank, thinner else."""

import pytest
import torch


def silent(_name):
    """Take no mark."""


@pytest.mark.parametrize(("name", "mode"), [("gpt", "prefill"), ("llama", "prefill"), ("vit", "infer")])
def test_the_full_rank_gives_the_same_logits(make, compressor, outputs, name, mode):
    """All singular values multiply back to the weight."""
    workload = make(name, mode)
    model = workload.build_model().eval()
    before = outputs(workload, model)
    model, evidence = compressor("svd", rank=10_000).compress(workload, model)
    torch.testing.assert_close(outputs(workload, model), before, rtol=1e-4, atol=1e-5)
    assert evidence["parameters"] > evidence["parameters_before"]
    assert evidence["kept_layers"] == 0


def test_weights_of_rank_two_are_found_by_their_energy(make, compressor, outputs):
    """Two values hold all the energy; the factors are as large as they must be."""
    workload = make("mlp", "infer")
    model = workload.build_model().eval()
    with torch.no_grad():
        for layer in model.hidden:
            layer.weight.copy_(torch.randn(64, 2) @ torch.randn(2, 64))
    before = outputs(workload, model)
    model, evidence = compressor("svd", energy=0.9999999, layers="hidden.*").compress(workload, model)
    torch.testing.assert_close(outputs(workload, model), before, rtol=1e-3, atol=1e-3)
    assert evidence["ranks"] == [2, 2]
    assert evidence["parameters_before"] - evidence["parameters"] == 2 * (64 * 64 - 2 * 128)


def test_a_layer_whose_factors_would_be_larger_stays(job):
    """Random weights spread their energy; all of it needs the full rank."""
    made = job("mlp", "infer", "svd", energy=1.0)
    assert made.evidence()["factored_layers"] == 0
    assert made.evidence()["kept_layers"] == 3


def test_factors_train_and_decode(job):
    """The loss of one batch falls; a decode step runs from the cache."""
    made = job("gpt", "train", "svd", rank=4)
    made.step(0, silent)
    first = float(made.output())
    for _ in range(4):
        made.step(0, silent)
    assert float(made.output()) < first
    made = job("gpt", "generate", "svd", rank=4, precision="bf16")
    made.step(0, silent)
    assert made.check()["output_ok"]
