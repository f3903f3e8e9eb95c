"""A graph pass: batch norm at inference is one multiplication and addition, which the convolution can do."""

from __future__ import annotations

import inspect

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold(model: nn.Module) -> tuple[fx.GraphModule, int, int]:
    """Trace a model in evaluation mode and fold each batch norm into the convolution that feeds it alone.

    Inputs that may be None are taken for None: they are those of training.

    Returns:
        The model as a graph, which shares what was not folded; its nodes before; how many norms went.
    """
    inputs = inspect.signature(model.forward).parameters.values()
    graph = fx.symbolic_trace(model, {one.name: None for one in inputs if one.default is None})
    before, layers = len(graph.graph.nodes), 0
    modules = dict(graph.named_modules())
    for node in list(graph.graph.nodes):
        source = node.args[0] if node.op == "call_module" else None
        if not isinstance(source, fx.Node) or source.op != "call_module" or len(source.users) > 1:
            continue
        norm, convolution = modules[str(node.target)], modules[str(source.target)]
        transposed = isinstance(convolution, nn.ConvTranspose2d)
        if isinstance(norm, nn.BatchNorm2d) and (transposed or isinstance(convolution, nn.Conv2d)):
            fused = fuse_conv_bn_eval(convolution, norm, transposed)
            fused.to(memory_format=torch.channels_last)
            graph.set_submodule(str(source.target), fused)
            node.replace_all_uses_with(source)
            graph.graph.erase_node(node)
            layers += 1
    graph.delete_all_unused_submodules()
    graph.recompile()
    return graph, before, layers
