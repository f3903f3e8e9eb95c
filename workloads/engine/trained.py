"""The small language model that was really trained, and the text that it is judged by.

`python tools/train_reference.py` wrote the weights, for `gpt` at its tiny size, from the shipped text but for
its last part.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file
from torch import nn

from workloads.base import Batch, Workload
from workloads.catalogue.gpt import GPT
from workloads.inputs.sources import SHIPPED

if TYPE_CHECKING:
    from workloads.inputs.batches import Bytes

WEIGHTS = Path(__file__).parents[1] / "data" / "gpt_tiny.safetensors"
HELD_OUT_SHARE = 0.15
"""Share of the text, at its end, that training never read."""


def parts_of_text() -> tuple[bytes, bytes]:
    """Return the bytes of the shipped text that were trained on, and those that were held out."""
    text = SHIPPED.read_bytes()
    cut = len(text) - round(HELD_OUT_SHARE * len(text))
    return text[:cut], text[cut:]


def held_out(seq: int) -> Batch:
    """Return the held-out text as `tokens` and the `targets` behind them, each (B, seq), without overlap."""
    text = torch.frombuffer(bytearray(parts_of_text()[1]), dtype=torch.uint8).long()
    rows = (len(text) - 1) // seq
    return {
        "tokens": text[: rows * seq].view(rows, seq),
        "targets": text[1 : rows * seq + 1].view(rows, seq),
    }


def fits(workload: Workload) -> bool:
    """Return whether the trained weights are those of this workload's model."""
    keys = ("vocab", "positions", "hidden", "layers", "heads")
    tiny = workload.spec.sizes["tiny"]
    return workload.spec.name == "gpt" and all(workload.size[key] == tiny[key] for key in keys)


def load(model: nn.Module) -> None:
    """Put the trained weights into a model for which `fits` holds, on its device."""
    model.load_state_dict(load_file(WEIGHTS))


class _Reader(GPT):
    @cached_property
    def _text(self) -> Bytes:
        import numpy as np

        return np.frombuffer(parts_of_text()[0], dtype=np.uint8)


def reader(workload: Workload) -> Workload:
    """Return a workload for which `fits` holds, its batches windows of the text that was trained on."""
    return _Reader(workload.mode, workload.size, seed=workload.seed)
