"""A torch model as a pure function of its parameters and buffers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import torch
from torch import nn
from torch.func import functional_call

from workloads.base import UnsupportedError
from workloads.jax.bridge import environment

Arrays = dict[str, jax.Array]


class _Holder(nn.Module):
    """Calls a function with the model, so that `functional_call` swaps the weights for all that it does."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, run: Callable[..., Any], *arguments: Any) -> Any:
        """Run it."""
        return run(self.model, *arguments)


@dataclass(frozen=True, slots=True)
class State:
    """The tensors of a model: what trains, and what does not (buffers, frozen weights)."""

    trained: Arrays
    carried: Arrays


class Stateless:
    """A torch model whose tensors are arguments.

    Args:
        model: On the CPU, with its weights.
    """

    def __init__(self, model: nn.Module) -> None:
        self._environment = environment()
        self._holder = _Holder(model)
        self.model = model

    def state(self) -> State:
        """Copy the model's tensors; tied ones come once."""
        parameters = dict(self.model.named_parameters())
        trained = {name: self.array(p.detach()) for name, p in parameters.items() if p.requires_grad}
        rest = {name: p.detach() for name, p in parameters.items() if not p.requires_grad}
        carried = {name: self.array(t) for name, t in (rest | dict(self.model.named_buffers())).items()}
        return State(trained, carried)

    def array(self, tensor: torch.Tensor) -> jax.Array:
        """Copy a torch tensor on the CPU into an array; int64 becomes int32 unless x64 is on.

        The array is of a copy that no one else holds: torchax copies nothing where JAX takes numpy's memory
        as its own (jax 0.10.0 does, of fp32), and what torch then writes in place would be in the array.
        """
        made: jax.Array = self._environment.t2j_copy(tensor.detach().clone())
        return made

    def arrays(self, tensors: dict[str, torch.Tensor]) -> Arrays:
        """Copy the tensors of a batch, in their order, which JAX keeps of an OrderedDict alone."""
        return OrderedDict((name, self.array(tensor)) for name, tensor in tensors.items())

    def unwrapped(self, tensor: Any) -> jax.Array:
        """Return the array in a tensor of the bridge."""
        return self._environment.t2j_iso(tensor)

    def call(
        self,
        run: Callable[..., Any],
        trained: Arrays,
        carried: Arrays,
        *arguments: Any,
        autocast: torch.dtype | None = None,
    ) -> tuple[Any, Arrays]:
        """Return `run(model, *arguments)` as a tree of arrays, and the carried tensors as it left them.

        Args:
            run: Of the model and torch tensors, e.g. a workload's `loss`.
            trained: Parameters by name.
            carried: Buffers and frozen weights by name.
            arguments: Trees of arrays.
            autocast: The type that products are to be in, None leaves them as they are.

        Raises:
            UnsupportedError: torch does something here that JAX cannot trace.
        """
        env = self._environment
        tensors = env.j2t_iso({f"model.{name}": array for name, array in (trained | carried).items()})
        given = env.j2t_iso(arguments)
        from torchax.tensor import OperatorNotFound

        try:
            with env, env.override_property(autocast_dtype=autocast):
                made = functional_call(self._holder, tensors, (run, *given))
        except (OperatorNotFound, jax.errors.JAXTypeError, NotImplementedError) as error:
            words = str(error).strip().splitlines()[0]
            raise UnsupportedError(f"XLA cannot trace this model: {type(error).__name__}: {words}") from error
        return env.t2j_iso(made), {name: env.t2j_iso(tensors[f"model.{name}"]) for name in carried}
