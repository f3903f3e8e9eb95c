"""Linear layers that call the C kernels for few rows, and torch for many."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional as F

from workloads.kernels.library import library

FEW = {torch.float32: 32, torch.bfloat16: 16}
"""Rows of x up to which the C kernel is no slower than torch's product."""
DTYPES = {torch.float32: "linear_f32", torch.bfloat16: "linear_bf16"}
"""The kernel of each format."""
NO_ROW = -2
"""What a kernel returns that was asked for a row of a table which it has not."""


def linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """Return x (…, in) · weight (out, in)ᵀ + bias."""
    lib, out, width = library(), *weight.shape
    rows = x.numel() // width
    if lib is None or not callable_here(x) or rows > FEW[x.dtype] or x.shape[-1] != width:
        return F.linear(x, weight, bias)
    if not all(_readable(given, x.dtype) for given in (x, weight, bias)):
        return F.linear(x, weight, bias)
    y = x.new_empty((*x.shape[:-1], out))
    shift = None if bias is None else bias.data_ptr()
    run(DTYPES[x.dtype], x.data_ptr(), weight.data_ptr(), shift, y.data_ptr(), rows, out, width,
        torch.get_num_threads())  # fmt: skip
    return y


def _readable(given: torch.Tensor | None, dtype: torch.dtype) -> bool:
    """Return whether C may read a tensor row by row: a quantised one is its own class, without memory."""
    if given is None:
        return True
    plain = type(given) in (torch.Tensor, nn.Parameter) and given.device.type == "cpu"
    return plain and given.dtype == dtype and given.is_contiguous()


def callable_here(x: torch.Tensor) -> bool:
    """Return whether C may read x and write a result: plain memory of the CPU, no gradient, no tracing."""
    plain = type(x) is torch.Tensor and x.device.type == "cpu" and x.dtype in DTYPES
    return plain and not torch.is_grad_enabled() and not torch.compiler.is_compiling()


def run(name: str, *given: Any) -> None:
    """Call a kernel, under its name in a profile.

    Raises:
        MemoryError: the kernel found no memory to work in.
        IndexError: a row of a table was asked for that it has not.
    """
    lib = library()
    assert lib is not None, "asked for no kernel where there is none"
    if torch.autograd._profiler_enabled():  # type: ignore[attr-defined]  # noqa: SLF001 - torch says it nowhere else
        with torch.profiler.record_function(f"joulemark::{name}"):
            failed = getattr(lib, name)(*given)
    else:
        failed = getattr(lib, name)(*given)
    if failed == NO_ROW:
        raise IndexError(f"{name} was asked for a row that the table has not")
    if failed:
        raise MemoryError(f"no memory for the inputs of {name}")


class FewRowsLinear(nn.Linear):
    """A linear layer whose products of few rows are ours; made of one by changing its class."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - torch's own name, which callers may use
        """Map (…, in) to (…, out)."""
        return linear(input, self.weight, self.bias)


class FewRowsTable(nn.Embedding):
    """An embedding that is the output layer too."""

    def project(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (…, V) of (…, d)."""
        return linear(x, self.weight)


def project(x: torch.Tensor, table: nn.Module) -> torch.Tensor:
    """Return logits (…, V) of x (…, d) by an embedding that is the output layer too, whatever stores it."""
    own = getattr(table, "project", None)
    return cast("torch.Tensor", F.linear(x, table.weight) if own is None else own(x))  # type: ignore[arg-type]
