"""Make inner layers narrower: drop whole neurons or channels, with the weights that read them.

What is dropped are the neurons or channels whose incoming weights have the smallest norms. The activations
between the layers map 0 to 0 neuron by neuron, so that this is the model with these set to zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import nn

from workloads.nets.resnet import Bottleneck, ConvNorm

PAIRS = (("up", "down", 1), ("gate_up", "down", 2), ("fc1", "fc2", 1), ("wi", "wo", 1))
"""Names of linear layers that feed one another, and how many outputs of the first make one neuron."""


def narrow(model: nn.Module, share: float, multiple: int) -> list[tuple[int, int]]:
    """Drop this share of every inner layer, leaving a multiple; return widths before and after."""
    widths = []
    for writer, reader, gates in list(_linear_pairs(model)):
        keep = _largest(_norms(writer.weight, reader.in_features), share, multiple)
        widths.append((reader.in_features, len(keep)))
        rows = torch.cat([keep + gate * reader.in_features for gate in range(gates)])
        _take_outputs(writer, rows)
        _take_inputs(reader, keep)
        writer.out_features, reader.in_features = len(rows), len(keep)
    for first, second in list(_convolution_pairs(model)):
        convolution, norm = first
        assert isinstance(convolution, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        keep = _largest(_norms(convolution.weight, convolution.out_channels), share, multiple)
        widths.append((convolution.out_channels, len(keep)))
        _take_outputs(convolution, keep)
        _take_outputs(norm, keep)
        for statistic in ("running_mean", "running_var"):
            setattr(norm, statistic, getattr(norm, statistic)[keep])
        reads = second[0]
        _take_inputs(reads, keep)
        convolution.out_channels = norm.num_features = reads.in_channels = len(keep)
    return widths


def _linear_pairs(model: nn.Module) -> Iterator[tuple[nn.Linear, nn.Linear, int]]:
    for module in model.modules():
        for first, second, gates in PAIRS:
            writer, reader = getattr(module, first, None), getattr(module, second, None)
            if isinstance(writer, nn.Linear) and isinstance(reader, nn.Linear):
                yield writer, reader, gates
    hidden, head = getattr(model, "hidden", None), getattr(model, "head", None)
    if isinstance(hidden, nn.ModuleList) and isinstance(head, nn.Linear):
        for writer, reader in pairwise([*hidden, head]):
            assert isinstance(writer, nn.Linear)
            assert isinstance(reader, nn.Linear)
            yield writer, reader, 1


def _convolution_pairs(model: nn.Module) -> Iterator[tuple[ConvNorm, ConvNorm]]:
    for module in model.modules():
        if isinstance(module, Bottleneck):
            yield module.down, module.middle
            yield module.middle, module.up


def _norms(weight: torch.Tensor, neurons: int) -> torch.Tensor:
    """Return the norm of each neuron's incoming weights, its gate's too."""
    incoming = weight.detach().reshape(-1, neurons, weight[0].numel())
    return incoming.square().sum((0, 2)).sqrt()


def _largest(norms: torch.Tensor, share: float, multiple: int) -> torch.Tensor:
    """Return the indices to keep, ascending: a multiple, never none, never more than there are."""
    keep = round((1 - share) * len(norms) / multiple) * multiple
    count = min(max(keep, multiple), len(norms))
    return norms.topk(count).indices.sort().values


def _take_outputs(layer: nn.Module, rows: torch.Tensor) -> None:
    for name, parameter in layer.named_parameters(recurse=False):
        setattr(layer, name, _part(parameter, 0, rows))


def _take_inputs(layer: nn.Module, columns: torch.Tensor) -> None:
    assert isinstance(layer.weight, nn.Parameter)
    layer.weight = _part(layer.weight, 1, columns)


def _part(parameter: nn.Parameter, dimension: int, index: torch.Tensor) -> nn.Parameter:
    kept = parameter.detach().index_select(dimension, index)
    if kept.dim() == 4:  # convolutions run with channels last
        kept = kept.contiguous(memory_format=torch.channels_last)
    return nn.Parameter(kept, requires_grad=parameter.requires_grad)
