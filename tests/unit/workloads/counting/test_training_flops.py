"""FLOPs of training against torch's counter over a whole step, at the tiny size."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import nn

from workloads import registry
from workloads.counting import flops
from workloads.counting.torch_counter import counted
from workloads.engine.job import prepare
from workloads.engine.setup import Setup

CASES = [
    (name, mode)
    for name, place in registry.BUILT_IN.items()
    for mode in registry.get(name).spec.modes
    if mode in {"train", "finetune"}
    and registry.get(name).spec.family not in {"micro", "selftest", "served", "user"}
    and name != "lstm"  # torch sees one product of a cell where there are many
    and not name.endswith("_jax")  # torch counts nothing of JAX
]
CAUSAL = {
    "gpt": (4, 64, 128, 4),
    "llama": (4, 64, 128, 4),
    "moe": (4, 64, 128, 2),
    "translation": (8, 32, 128, 2),
    "t5": (4, 16, 64, 2),
    "whisper": (2, 16, 64, 2),
    "speecht5": (2, 16, 32, 2),
    "clip": (4, 16, 32, 2),
    "llava": (2, 32, 64, 2),
}
"""Rows, positions, width and layers of causal attention, which torch counts in full and we by half."""


@contextmanager
def first_layers(found: list[float]) -> Iterator[None]:
    """Add up what three forwards count and torch does not, and take off what torch counts and nothing does.

    The inputs' gradients of the first layers are not computed. For the weights' gradients of a convolution in
    groups torch counts the products between groups, too, of which there are none.
    """

    def look(module: nn.Module, given: tuple[torch.Tensor, ...], out: torch.Tensor) -> None:
        if not isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.ConvTranspose2d):
            return
        if not module.weight.requires_grad:
            return
        backwards = isinstance(module, nn.ConvTranspose2d)
        work = 2.0 * (given[0] if backwards else out).numel() * module.weight[0].numel()
        found.append(0.0 if given[0].requires_grad else work)
        found.append(-work * (getattr(module, "groups", 1) - 1))

    handle = nn.modules.module.register_module_forward_hook(look)
    try:
        yield
    finally:
        handle.remove()


@pytest.mark.parametrize(("name", "mode"), CASES)
def test_a_training_step_is_three_times_forward_but_for_its_first_layers(make, name, mode):
    """Counted over a step with its gradients, product by product."""
    job = prepare(make(name, mode), Setup())
    spared: list[float] = []
    with first_layers(spared):
        found = counted(lambda: job.step(0, lambda _mark: None))
    rows, positions, hidden, layers = CAUSAL.get(name, (0, 0, 0, 0))
    upper = 3 * flops.attention(rows, positions, positions, hidden, layers, causal=True)
    assert found == job.units(0).flops - sum(spared) + upper
