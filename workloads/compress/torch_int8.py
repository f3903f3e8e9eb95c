"""Torch's packed int8 kernels for the CPU: deprecated since torch 2.13, used as long as torch has them."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from workloads.base import UnsupportedError

NEEDED = ("qint8", "quint8")
"""Types of torch in which they keep weights and activations."""


def removed() -> str | None:
    """Return why the kernels cannot run, None when this torch has them."""
    import torch

    if all(hasattr(torch, name) for name in NEEDED) and importlib.util.find_spec("torch.ao.quantization"):
        return None
    return f"torch {torch.__version__} has no packed int8 kernels, older ones have"


@contextmanager
def packed() -> Iterator[Any]:
    """Give torch's module of quantisation, and keep its announcement of its end to itself.

    torchao is to take its place; what it has for the CPU is slower, and has nothing for recurrent layers.

    Raises:
        UnsupportedError: this torch has it no more.
    """
    if (reason := removed()) is not None:
        raise UnsupportedError(reason)
    from torch.ao import quantization

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield quantization
