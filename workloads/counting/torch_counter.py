"""FLOPs by torch's own counter, with the formulas that it lacks (docs/method.md, section 1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

Shape = tuple[int, ...]


def _cpu_attention(query: Shape, key: Shape, value: Shape, *_args: Any, **_kwargs: Any) -> int:
    """Return q·kᵀ and p·v in full, where torch counts nothing."""
    batch, heads, queries, size = query
    return 2 * batch * heads * queries * key[2] * (size + value[3])


def _cpu_attention_backward(
    _gradient: Shape, query: Shape, key: Shape, value: Shape, *_args: Any, **_kwargs: Any
) -> int:
    """Return the four products of its gradients; the scores, computed a second time, count once."""
    return 2 * _cpu_attention(query, key, value)


def _grouped(rows: Shape, weights: Shape, *_args: Any, **_kwargs: Any) -> int:
    """Return the products of rows (N, in), each with one of the weights (E, in, out).

    Two matrices (in, N) and (N, out) are multiplied part by part: the weights' gradients.
    """
    return 2 * rows[0] * rows[1] * weights[-1]


FORMULAS = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _cpu_attention,  # noqa: SLF001
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _cpu_attention_backward,  # noqa: SLF001
    torch.ops.aten._grouped_mm: _grouped,  # noqa: SLF001
}


def counted(run: Callable[[], object]) -> float:
    """Return the FLOPs of `run()`, two per multiply-add; causal attention counts in full."""
    with FlopCounterMode(display=False, custom_mapping=FORMULAS) as counter:
        run()
    return float(counter.get_total_flops())
