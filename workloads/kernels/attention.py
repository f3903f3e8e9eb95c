"""Attention of one query a sequence by the C kernel, and by torch where there are more."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from workloads.kernels.linear import callable_here, run

LANES, WIDEST = 16, 256
"""Head sizes are multiples of the one, up to the other."""


def attend(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    *,
    lengths: torch.Tensor | None = None,
    attn_mask: torch.Tensor | None = None,
    is_causal: bool = False,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """Return softmax(q·kᵀ/√size)·v, (B, heads, Q, size), as `scaled_dot_product_attention` does.

    Args:
        q: Queries, (B, heads, Q, size).
        k: Keys, (B, kv heads, S, size).
        v: Values, as the keys.
        lengths: How many keys each sequence has, (B,) int64; all by default. Only for one query a sequence.
        attn_mask: Which keys each query sees.
        is_causal: No query sees a later key.
        enable_gqa: Several queries may share a key.
    """
    heads, queries, size = q.shape[1:]
    lies = k.stride()[2:] == (size, 1) and v.stride() == k.stride()
    lies = lies and type(k) is type(v) is torch.Tensor and k.dtype == v.dtype == q.dtype
    if queries > 1 or attn_mask is not None or not (lies and fits(size) and callable_here(q)):
        if lengths is not None:
            attn_mask = (torch.arange(k.shape[2], device=q.device) < lengths[:, None])[:, None, None]
        return F.scaled_dot_product_attention(
            q, k, v, attn_mask=attn_mask, is_causal=is_causal, enable_gqa=enable_gqa
        )
    q = q.contiguous()
    y = torch.empty_like(q)
    counts = None if lengths is None else lengths.data_ptr()
    run("attend", q.data_ptr(), k.data_ptr(), v.data_ptr(), y.data_ptr(), counts, q.shape[0],
        heads, k.shape[1], size, k.stride(1), k.stride(0), k.shape[2], q.dtype == torch.bfloat16,
        torch.get_num_threads())  # fmt: skip
    return y


def fits(size: int) -> bool:
    """Return whether the kernel takes heads of this size."""
    return size % LANES == 0 and size <= WIDEST
