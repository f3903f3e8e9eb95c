"""Bytes and counts of weights as they are stored, whatever holds them."""

import warnings

import pytest
import torch
from torch import nn

from workloads.counting.storage import nbytes, parameter_count, tree_bytes, weights_bytes


@pytest.mark.parametrize(("dtype", "width"), [(torch.float32, 4), (torch.bfloat16, 2), (torch.int8, 1)])
def test_a_plain_tensor_takes_its_numbers_widths(dtype, width):
    """Elements times their width."""
    assert nbytes(torch.zeros(3, 5, dtype=dtype)) == 15 * width


def test_a_tensor_of_several_parts_takes_theirs():
    """A quantised tensor says fp32 and stores int8 with a scale and a zero for each row."""
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    layer = nn.Sequential(nn.Linear(16, 8))
    quantize_(layer, Int8WeightOnlyConfig(set_inductor_config=False))
    assert layer[0].weight.dtype == torch.float32
    assert nbytes(layer[0].weight) == 16 * 8 + 8 * (4 + 1)
    assert weights_bytes(layer) == 16 * 8 + 8 * 5 + 8 * 4
    assert parameter_count(layer) == 16 * 8 + 8


def test_scales_of_rows_count_with_torch_s_own_quantised_tensors():
    """One scale and one zero of eight bytes each for a row, or for the whole tensor."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scales, zeros = torch.ones(4, dtype=torch.double), torch.zeros(4, dtype=torch.int64)
        rows = torch.quantize_per_channel(torch.ones(4, 6), scales, zeros, 0, torch.qint8)
        whole = torch.quantize_per_tensor(torch.ones(4, 6), 1.0, 0, torch.qint8)
    assert nbytes(rows) == 24 + 4 * (8 + 8)
    assert nbytes(whole) == 24 + 8 + 8


def test_packed_weights_that_are_no_parameters_count_once():
    """Torch's dynamic int8 layers hold weight and bias in an object of their own."""
    model = nn.Sequential(nn.Linear(16, 8), nn.LSTM(8, 4))
    before = parameter_count(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        packed = torch.ao.quantization.quantize_dynamic(model, {nn.Linear, nn.LSTM}, torch.qint8)
    assert not list(packed.parameters())
    weights, biases = 16 * 8 + 4 * 4 * (8 + 4), 8 + 2 * 4 * 4
    assert parameter_count(packed) == before == weights + biases
    scales = (8 + 8) * (1 + 2)  # the linear layer's weight, and the two of the LSTM
    assert weights_bytes(packed) == weights + 4 * biases + scales


def test_what_is_shared_counts_once_and_buffers_are_no_parameters():
    """One weight in two layers, and a batch norm's statistics."""
    one, two = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
    two.weight = one.weight
    model = nn.Sequential(one, two, nn.BatchNorm1d(4))
    assert parameter_count(model) == 16 + 8
    assert weights_bytes(model) == 4 * (16 + 8 + 8) + 8  # the count of batches is an int64


def test_nested_containers_are_added_up():
    """Tensors in tuples and mappings; other leaves are nothing."""
    assert tree_bytes({"a": (torch.zeros(2), 3), "b": [torch.zeros(1, dtype=torch.int64)]}) == 16
