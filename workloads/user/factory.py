"""A model that a function of the user's makes."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from workloads.base import Batch, Size
from workloads.user.source import Source, import_path

Inputs = Mapping[str, torch.Tensor] | Callable[[int], Mapping[str, torch.Tensor]]
Loss = Callable[[nn.Module, Batch], torch.Tensor]


class Factory:
    """Calls `function`, which returns a model, its inputs and, for training, a loss.

    The function gets `batch` and `seq` where it has parameters of these names. Inputs are a mapping of names
    to tensors with the samples first, or a function from a batch's index to one; a loss is called with model
    and batch. The model gets the inputs that `forward` has parameters for.
    """

    def __init__(self, source: Source, size: Size) -> None:
        function = _imported(source)
        wanted = inspect.signature(function).parameters
        self._make = partial(function, **{key: value for key, value in size.items() if key in wanted})
        self._inputs: Inputs | None = None
        self._loss: Loss | None = None
        self._parameters: frozenset[str] | None = None

    def build(self) -> nn.Module:
        """Call the function; the inputs and the loss of the first model that has memory are kept."""
        made = self._make()
        if not isinstance(made, tuple) or len(made) not in {2, 3} or not isinstance(made[0], nn.Module):
            raise ValueError("workload.factory: its function does not return (model, inputs) or (…, loss)")
        model: nn.Module = made[0]
        if self._inputs is None and torch.get_default_device().type != "meta":
            self._inputs = made[1]
            self._loss = made[2] if len(made) == 3 else None
            parameters = inspect.signature(model.forward).parameters.values()
            if not any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters):
                self._parameters = frozenset(each.name for each in parameters)
        return model

    def inputs(self, index: int) -> Mapping[str, torch.Tensor]:
        """Return the mapping, or what the function returns for this batch."""
        if self._inputs is None:
            self.build()
        assert self._inputs is not None
        return self._inputs if isinstance(self._inputs, Mapping) else self._inputs(index)

    def run(self, model: nn.Module, batch: Batch) -> Any:
        """Call the model with what its forward takes."""
        named = self._parameters
        return model(**{name: batch[name] for name in batch if named is None or name in named})

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor | None:
        """Call the loss, or take the model's own."""
        if self._loss is not None:
            return self._loss(model, batch)
        return getattr(self.run(model, batch), "loss", None)


def _imported(source: Source) -> Callable[..., Any]:
    module_name, function_name = source.module_and_function
    for place in reversed(import_path()):
        if place not in sys.path:
            sys.path.insert(0, place)
    module = importlib.import_module(module_name)
    function = getattr(module, function_name, None)
    if not callable(function):
        raise ValueError(f"workload.factory: {module_name} has no function {function_name}")  # noqa: TRY004
    return function  # type: ignore[no-any-return]
