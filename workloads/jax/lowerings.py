"""Operators that torchax 0.0.13 lowers not at all, or otherwise than torch: written here once, in JAX."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import torch
from torch.nn import functional as F

from workloads.jax import recurrent

_PRODUCTS = (
    torch.ops.aten.convolution.default,
    torch.ops.aten.mm.default,
    torch.ops.aten.bmm.default,
    torch.ops.aten.addmm.default,
    torch.ops.aten.baddbmm.default,
)


def install(environment: Any) -> None:
    """Put our lowerings into a torchax environment."""
    own: dict[Any, Any] = {
        F.batch_norm: _batch_norm,
        F.embedding_bag: _embedding_bag,
        F.scaled_dot_product_attention: _attention,
        torch.ops.aten.scaled_dot_product_attention: _attention,
        torch.ops.aten._grouped_mm.default: _grouped_mm,  # noqa: SLF001 - what `grouped_mm` arrives as
        torch.Tensor.contiguous: lambda x, **_: x,
    }
    for cell in recurrent.CELLS:
        own[getattr(torch, cell)] = partial(_recurrent, cell)
    for function, lowering in own.items():
        environment.override_op_definition(function, lowering)
    from torchax import amp

    # torchax knows these products by other names than those under which they arrive.
    for product in (F.linear, F.scaled_dot_product_attention, *_PRODUCTS):
        amp.autocast_policy.setdefault(product, amp.CastPolicy.LOWER_PRECISION_FP)
    cross_entropy = F.cross_entropy
    environment.override_op_definition(
        cross_entropy, lambda logits, *rest, **named: cross_entropy(_wide(logits), *rest, **named)
    )


def _wide(tensor: Any) -> Any:
    """Return bf16 in fp32, in which autocast takes losses."""
    return tensor.float() if tensor.dtype == torch.bfloat16 else tensor


def _arrays(*tensors: Any) -> list[Any]:
    return [None if tensor is None else tensor.jax() for tensor in tensors]


def _like(tensor: Any, array: jax.Array) -> Any:
    from torchax.tensor import Tensor

    return Tensor(array, tensor._env)  # noqa: SLF001 - torchax has no public constructor beside a tensor


def _batch_norm(
    x: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Normalise over all but dimension 1; carry the running statistics, the variance unbiased as in torch.

    torchax leaves the statistics as they were, and would take the biased variance.
    """
    values, mean, var, scale, shift = _arrays(x, running_mean, running_var, weight, bias)
    over = (0, *range(2, values.ndim))
    wide = values.astype(jnp.promote_types(values.dtype, jnp.float32))
    if training:
        batch_mean, batch_var = wide.mean(over), wide.var(over)
        if running_mean is not None:
            count = values.size // values.shape[1]
            running_mean.apply_jax_(lambda old: (old + momentum * (batch_mean - old)).astype(old.dtype))
            unbiased = batch_var * (count / (count - 1))
            running_var.apply_jax_(lambda old: (old + momentum * (unbiased - old)).astype(old.dtype))
        mean, var = batch_mean, batch_var
    shape = (1, -1, *([1] * (values.ndim - 2)))
    factor = jax.lax.rsqrt(var + eps) * (1 if scale is None else scale)
    made = (wide - mean.reshape(shape)) * factor.reshape(shape)
    made = made if shift is None else made + shift.reshape(shape)
    return _like(x, made.astype(values.dtype))


def _attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """Attend, softmax(q·kᵀ·scale + mask)·v over (..., heads, positions, size), the softmax in fp32 at least.

    Raises:
        NotImplementedError: of dropout, which no workload uses: a step is the same work every time.
    """
    if dropout_p:
        raise NotImplementedError("no lowering of attention with dropout")
    q, k, v, mask = _arrays(query, key, value, attn_mask)
    if enable_gqa:
        k, v = (jnp.repeat(x, q.shape[-3] // x.shape[-3], -3) for x in (k, v))
    scores = jnp.einsum("...qd,...kd->...qk", q, k) * (q.shape[-1] ** -0.5 if scale is None else scale)
    scores = scores.astype(jnp.promote_types(scores.dtype, jnp.float32))
    if is_causal:
        scores = jnp.where(jnp.tri(scores.shape[-2], scores.shape[-1], dtype=bool), scores, -jnp.inf)
    if mask is not None:
        scores = jnp.where(mask, scores, -jnp.inf) if mask.dtype == bool else scores + mask
    weights = jax.nn.softmax(scores, -1).astype(v.dtype)
    return _like(query, jnp.einsum("...qk,...kd->...qd", weights, v))


def _embedding_bag(
    rows: Any,
    weight: Any,
    offsets: Any = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,  # noqa: ARG001 - torch's signature
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,  # noqa: ARG001 - a matter of the gradient's storage
    per_sample_weights: Any = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Any:
    """Add up, or average, the rows of each bag: bags of equal length, or bags that begin at `offsets`.

    Raises:
        NotImplementedError: of what no workload uses: a norm's bound, gradients by frequency, the mode `max`.
    """
    if max_norm is not None or scale_grad_by_freq or mode not in {"sum", "mean"}:
        raise NotImplementedError("no lowering of an embedding bag with max_norm, frequencies or mode max")
    at, table, begins, factors = _arrays(rows, weight, offsets, per_sample_weights)
    if begins is None:
        bags, flat = at.shape[0], at.reshape(-1)
        bag = jnp.repeat(jnp.arange(bags), at.shape[1])
    else:
        bags, flat = len(begins) - include_last_offset, at
        bag = jnp.searchsorted(begins[:bags], jnp.arange(len(at)), side="right") - 1
    looked_up = table[flat]
    counted = jnp.ones(len(flat), looked_up.dtype)
    if padding_idx is not None:
        kept = (flat != padding_idx).astype(looked_up.dtype)
        looked_up, counted = looked_up * kept[:, None], kept
    if factors is not None:
        looked_up = looked_up * factors.reshape(-1)[:, None]
    total = jax.ops.segment_sum(looked_up, bag, bags)
    if mode == "mean":
        total = total / jnp.maximum(jax.ops.segment_sum(counted, bag, bags), 1)[:, None]
    return _like(weight, total)


def _recurrent(
    cell: str,
    x: Any,
    state: Any,
    weights: Any,
    has_biases: bool,
    layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> Any:
    """Run a recurrent network over sequences of one length.

    Raises:
        NotImplementedError: of dropout, two directions or no biases, which no workload uses.
    """
    if (dropout and train) or bidirectional or not has_biases:
        raise NotImplementedError(
            "no lowering of a recurrent network with dropout, two directions or no biases"
        )
    parts = tuple(state) if cell == "lstm" else (state,)
    (given,), begin = _arrays(x), tuple(_arrays(*parts))
    matrices = _arrays(*weights)
    made = recurrent.run(cell, given, begin, matrices, layers=layers, batch_first=batch_first)
    return tuple(_like(x, array) for array in made)


def _grouped_mm(x: Any, weight: Any, offs: Any = None, bias: Any = None, out_dtype: Any = None) -> Any:
    """Multiply rows (N, in), sorted by group, by their group's matrix (G, in, out); groups end at `offs`.

    Raises:
        NotImplementedError: of other shapes, a bias or another result type, which no workload uses.
    """
    if (
        offs is None
        or bias is not None
        or out_dtype is not None
        or len(x.shape) != 2
        or len(weight.shape) != 3
    ):
        raise NotImplementedError("no lowering of a grouped product but of rows (N, in) with (G, in, out)")
    rows, matrices, ends = _arrays(x, weight, offs)
    sizes = jnp.diff(ends, prepend=jnp.zeros(1, ends.dtype))
    return _like(x, jax.lax.ragged_dot(rows, matrices, sizes))
