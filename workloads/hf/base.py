"""What the models of transformers share: classes by name, random weights, and the library's own loss."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any, ClassVar

from workloads.base import Batch, Workload

if TYPE_CHECKING:
    import torch
    from torch import nn

LIBRARY = "transformers"
TRAITS = frozenset({"compiles", "linear", "narrows", "attention", "masked", "blocks", "samples", "classes"})
"""Of those whose samples are independent and whose outputs are logits."""


class HuggingFace(Workload):
    """A model of transformers without dropout, so that a step is the same work every time.

    The attention is the library's default, torch's own kernel where the model has it. Losses are the
    library's own; some of them wait for the device, as they do for everyone who trains with them.
    """

    config_class: ClassVar[str]
    model_class: ClassVar[str]
    block_lists: ClassVar[tuple[str, ...]]
    """Where in the model its lists of repeated blocks are."""

    @abc.abstractmethod
    def config(self) -> dict[str, Any]:
        """Fields of the model's configuration; those of a part of it are a mapping under its name."""

    def build_model(self) -> nn.Module:
        """Build the model from its configuration."""
        import transformers

        config = getattr(transformers, self.config_class)(**self.config())
        model: nn.Module = getattr(transformers, self.model_class)(config)
        return model

    def blocks(self, model: nn.Module) -> list[nn.Module]:
        """Return the repeated blocks."""
        return [block for path in self.block_lists for block in model.get_submodule(path).children()]

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the model's own loss of a batch that has its words for inputs."""
        loss: torch.Tensor = model(**batch).loss
        return loss

    def check_divides(self, whole: str, part: str) -> None:
        """Raise ValueError unless the size `whole` is a multiple of the size `part`."""
        if self.n(whole) % self.n(part):
            raise ValueError(
                f"{self.spec.name}: {whole} {self.n(whole)} does not divide by {part} {self.n(part)}"
            )


def nbytes(batch: Batch) -> float:
    """Return the bytes of a batch."""
    return float(sum(tensor.numel() * tensor.element_size() for tensor in batch.values()))
