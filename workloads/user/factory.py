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
from workloads.unrun import UnrunError, advice, unrun
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
        self._name = f"workload.factory={source.name}"
        function = _imported(source)
        signature = inspect.signature(function)
        given = {key: value for key, value in size.items() if key in signature.parameters}
        try:
            signature.bind(**given)
        except TypeError as error:
            raise ValueError(f"{self._name}: {error}, and only batch and seq are given") from error
        self._make = partial(function, **given)
        self._inputs: Inputs | None = None
        self._loss: Loss | None = None
        self._parameters: Mapping[str, inspect.Parameter] = {}
        self._takes_all = False

    def build(self) -> nn.Module:
        """Call the function; the inputs and the loss of the first model that has memory are kept."""
        made = self._make()
        if (what := unrun(made)) is not None:
            raise UnrunError(advice(what, self._name))
        if not isinstance(made, tuple) or len(made) not in {2, 3} or not isinstance(made[0], nn.Module):
            raise ValueError(f"{self._name} does not return (model, inputs) or (model, inputs, loss)")
        model, inputs, loss = made if len(made) == 3 else (*made, None)
        if not (isinstance(inputs, Mapping) or callable(inputs)):
            raise ValueError(  # noqa: TRY004 - what a function returns is a value
                f"{self._name}: inputs are a mapping of names to tensors, or a function from a batch's index "
                f"to one, not of type {type(inputs).__name__}"
            )
        if not (loss is None or callable(loss)):
            raise ValueError(f"{self._name}: loss is a function of model and inputs, not {loss!r}")
        if self._inputs is None and torch.get_default_device().type != "meta":
            self._inputs, self._loss = inputs, loss
            self._parameters = inspect.signature(model.forward).parameters
            kinds = {each.kind for each in self._parameters.values()}
            self._takes_all = inspect.Parameter.VAR_KEYWORD in kinds
        return model  # type: ignore[no-any-return]

    def inputs(self, index: int) -> Mapping[str, torch.Tensor]:
        """Return the mapping, or what the function returns for this batch."""
        if self._inputs is None:
            with torch.random.fork_rng(devices=[]):  # the batch's own numbers come after
                self.build()
        assert self._inputs is not None
        return self._inputs if isinstance(self._inputs, Mapping) else self._inputs(index)

    def run(self, model: nn.Module, batch: Batch) -> Any:
        """Call the model with what its forward takes.

        Raises:
            ValueError: `forward` needs what is not among the inputs.
        """
        given = {name: batch[name] for name in batch if self._takes_all or name in self._parameters}
        try:
            output = model(**given)
        except TypeError as error:
            lacks = [
                each.name
                for each in self._parameters.values()
                if each.default is each.empty and each.name not in batch
                and each.kind in {each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY}
            ]  # fmt: skip
            if not lacks:
                raise
            raise ValueError(
                f"{self._name}: the model's forward needs {', '.join(lacks)}; "
                f"the inputs are named {', '.join(batch)}"
            ) from error
        if not isinstance(output, torch.Tensor) and (what := unrun(output)) is not None:
            raise UnrunError(advice(what, f"{self._name}: the model's forward"))
        return output

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor | None:
        """Call the loss, or take the model's own."""
        if self._loss is not None:
            loss: Any = self._loss(model, batch)
            if not isinstance(loss, torch.Tensor) and (what := unrun(loss)) is not None:
                raise UnrunError(advice(what, f"{self._name}: the loss"))
            return loss  # type: ignore[no-any-return]
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
