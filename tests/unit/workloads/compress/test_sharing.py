"""Shared weights: exact codebooks, bytes as stored, tied blocks."""

import pytest
import torch

from workloads.compatibility import refusal
from workloads.counting.storage import weights_bytes
from workloads.models.packed import Lookup, kmeans, share


def silent(_name):
    """Take no mark."""


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_as_many_distinct_values_as_the_codebook_has_are_kept_exactly(bits):
    """Indices survive their packing, an odd number of them too."""
    values = torch.randn(1 << bits)
    weight = values[torch.randint(1 << bits, (7, 11))]
    codebook = kmeans(weight.flatten(), 1 << bits, 5)
    lookup = Lookup(weight, codebook, bits)
    assert torch.equal(lookup(codebook), weight)
    assert len(lookup.packed) == -(-77 * bits // 8)


def test_means_are_those_of_their_clusters():
    """Two heaps far apart have their own means."""
    low, high = torch.randn(100), torch.randn(300) + 50
    means = kmeans(torch.cat([low, high])[torch.randperm(400)], 2, 10)
    torch.testing.assert_close(means, torch.stack([low.mean(), high.mean()]), rtol=1e-5, atol=1e-5)


def test_more_rounds_bring_the_means_nearer():
    """The squared distance falls from round to round."""
    values = torch.randn(5000)

    def error(rounds):
        codebook = kmeans(values, 8, rounds)
        return (values[:, None] - codebook).square().min(1).values.mean()

    assert error(30) < error(5) < error(1)


def test_a_layer_takes_its_indices_and_its_codebook(job):
    """Half a byte for each weight and 16 values for each layer, beside what is not shared."""
    made, plain = job("mlp", "infer", "codebook"), job("mlp", "infer", "codebook", layers="head", bits=8)
    hidden = 2 * (64 * 64 // 2 + 16 * 4 + 2)
    head = 4 * 64 // 2 + 16 * 4 + 2
    dense = 4 * (512 * 64 + 64 + 64 + 4)
    assert made.weights_bytes == made.evidence()["weights_bytes"] == dense + hidden + head
    assert plain.evidence()["weights_bytes_before"] == dense + 4 * (2 * 64 * 64 + 4 * 64)


def test_a_layer_of_few_values_gives_the_same_outputs(make, compressor, outputs):
    """Sixteen values in four bits lose nothing; a convolution's neither."""
    for name in ("mlp", "resnet"):
        workload = make(name, "infer")
        model = workload.build_model().eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_((parameter * 20).round().clamp(-7, 8) / 20)
        before = outputs(workload, model)
        model, _ = compressor("codebook").compress(workload, model)
        torch.testing.assert_close(outputs(workload, model), before)


def test_in_training_the_codebook_learns_by_the_sum_of_its_weights_gradients():
    """Weights stay shared: a value's gradient is all of theirs."""
    layer = torch.nn.Linear(4, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 2.0, 1.0, 2.0], [1.0, 1.0, 2.0, 2.0]]))
    share(layer, torch.tensor([1.0, 2.0]), 1)
    layer(torch.tensor([[1.0, 10.0, 100.0, 1000.0]])).sum().backward()
    assert layer.parametrizations.weight.original.grad.tolist() == [112.0, 2110.0]


def test_a_codebook_trains(job):
    """The loss of one batch falls, and no more values come of it."""
    made = job("mlp", "train", "codebook")
    made.step(0, silent)
    first = float(made.output())
    for _ in range(5):
        made.step(0, silent)
    assert float(made.output()) < first
    assert len(made.model.hidden[0].weight.unique()) == 16


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_codebook_is_cast_and_its_indices_are_not(job, precision):
    """Two bytes for each value in bf16."""
    made = job("gpt", "decode", "codebook", precision=precision)
    made.step(0, silent)
    assert made.check()["output_ok"]
    values = made.evidence()["codebook_values"]
    width = {"fp32": 4, "bf16": 2}[precision]
    assert made.parameters == values + sum(
        p.numel() for n, p in made.model.named_parameters() if "original" not in n
    )
    assert made.weights_bytes == width * made.parameters + sum(b.numel() for b in made.model.buffers())


def test_equal_blocks_are_tied_without_a_change(make, compressor, outputs):
    """The mean of equal weights is the weights; half the blocks' parameters go."""
    workload = make("gpt", "prefill", layers=4)
    model = workload.build_model().eval()
    for block in model.blocks[1:]:
        block.load_state_dict(model.blocks[0].state_dict())
    before, block = outputs(workload, model), sum(p.numel() for p in model.blocks[0].parameters())
    model, evidence = compressor("tie_blocks").compress(workload, model)
    assert torch.equal(outputs(workload, model), before)
    assert evidence["tied_blocks"] == 2
    assert evidence["parameters_before"] - evidence["parameters"] == 2 * block
    assert weights_bytes(model) == 4 * evidence["parameters"]


def test_tied_blocks_take_their_mean_and_stay_one(job, make):
    """Blocks 0 and 1 have the mean of both; a training step moves them together."""
    plain = make("bert", "train")
    torch.manual_seed(0)
    blocks = plain.blocks(plain.build_model())
    made = job("bert", "train", "tie_blocks")
    tied = plain.blocks(made.model)
    torch.testing.assert_close(tied[0].up.weight, (blocks[0].up.weight + blocks[1].up.weight) / 2)
    made.step(0, silent)
    assert tied[0] is tied[1]
    assert made.parameters == sum(p.numel() for p in made.model.parameters())


def test_blocks_of_different_shapes_are_refused(cell):
    """A convolutional network's blocks grow."""
    assert "needs blocks of one shape" in refusal(cell("fasterrcnn", "infer", "tie_blocks"))
