"""A program that was saved by `torch.export.save`, with the inputs that it was exported with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.export.passes import move_to_device_pass

from workloads.base import Batch, UnsupportedError
from workloads.user.source import Source


class Program:
    """Runs the program forward. Its batch is the one that it was exported with.

    Loading a program can run code that is hidden in it, as torch says of its own loader: a program is as much
    the user's own as a function is.

    Raises:
        ValueError: torch cannot load it.
    """

    def __init__(self, source: Source) -> None:
        try:
            self._program = torch.export.load(Path(source.name).expanduser())
        except Exception as error:  # torch's loader fails in many ways
            raise ValueError(
                f"workload.program={source.name}: not a program that torch.export.save wrote "
                f"({type(error).__name__}: {error})"
            ) from error
        positional, named = self._program.example_inputs or ((), {})
        self._count = len(positional)
        self._inputs = {str(place): each for place, each in enumerate(positional)} | dict(named)

    def build(self) -> nn.Module:
        """Return the program as a module, moved to the default device."""
        device = torch.get_default_device()
        model: nn.Module = move_to_device_pass(self._program, device).module()
        # Its mode was fixed when it was exported; torch raises where it is asked for one.
        model.train = lambda *_: model  # type: ignore[method-assign]
        model.eval = lambda: model  # type: ignore[method-assign]
        return model

    def inputs(self, index: int) -> Mapping[str, torch.Tensor]:
        """Return the inputs that the program was exported with, by place or name."""
        return self._inputs

    def run(self, model: nn.Module, batch: Batch) -> Any:
        """Call the program as it was exported."""
        positional = [batch[str(place)] for place in range(self._count)]
        return model(*positional, **{name: each for name, each in batch.items() if not name.isdigit()})

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor | None:
        """Refuse: what was exported is the forward pass."""
        raise UnsupportedError("a saved program runs forward only: use workload.mode=infer")
