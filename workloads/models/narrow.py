"""Make inner layers narrower: drop whole neurons or channels, with the weights that read them.

What is dropped are the neurons or channels whose incoming weights have the smallest norms. The activations
between the layers map 0 to 0 neuron by neuron, so that this is the model with these set to zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import nn

from workloads.models.resnet import Basic, Bottleneck, ConvNorm

NETWORKS = (
    (("up",), "down", 1),
    (("gate_up",), "down", 2),
    (("gate_proj", "up_proj"), "down_proj", 1),
    (("fc1",), "fc2", 1),
    (("wi",), "wo", 1),
    (("intermediate_dense",), "output_dense", 1),
)
"""Names of linear layers that feed another, that one's, and how many outputs of each make one neuron."""


def narrow(model: nn.Module, share: float, multiple: int) -> list[tuple[int, int]]:
    """Drop this share of every inner layer, leaving a multiple; return widths before and after."""
    widths = []
    for writers, reader, gates in list(_networks(model)):
        width = reader.in_features
        norms = torch.stack([_norms(writer.weight, width) for writer in writers]).norm(dim=0)
        keep = _largest(norms, share, multiple)
        widths.append((width, len(keep)))
        rows = torch.cat([keep + gate * width for gate in range(gates)])
        for writer in writers:
            _take_outputs(writer, rows)
            writer.out_features = len(rows)
        _take_inputs(reader, keep)
        reader.in_features = len(keep)
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
        assert isinstance(reads, nn.Conv2d)
        _take_inputs(reads, keep)
        convolution.out_channels = norm.num_features = reads.in_channels = len(keep)
    return widths


def _networks(model: nn.Module) -> Iterator[tuple[list[nn.Linear], nn.Linear, int]]:
    for module in model.modules():
        for names, last, gates in NETWORKS:
            *writers, reader = (getattr(module, name, None) for name in (*names, last))
            linear = [writer for writer in writers if isinstance(writer, nn.Linear)]
            if len(linear) == len(names) and isinstance(reader, nn.Linear):
                yield linear, reader, gates
    hidden, head = getattr(model, "hidden", None), getattr(model, "head", None)
    if isinstance(hidden, nn.ModuleList) and isinstance(head, nn.Linear):
        for writer, reader in pairwise([*hidden, head]):
            assert isinstance(writer, nn.Linear)
            assert isinstance(reader, nn.Linear)
            yield [writer], reader, 1


def _convolution_pairs(model: nn.Module) -> Iterator[tuple[ConvNorm, ConvNorm]]:
    for module in model.modules():
        if isinstance(module, Bottleneck):
            yield module.down, module.middle
            yield module.middle, module.up
        elif isinstance(module, Basic):
            yield module.first, module.second


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
