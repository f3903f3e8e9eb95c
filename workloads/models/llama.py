"""A decoder-only transformer after Llama: RMS norms, rotary positions, shared keys and values."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from torch.nn import functional as F

from workloads.models.gpt import AnyCache, Cache, attended, chosen
from workloads.models.tensor_split import Split

NORM_EPS = 1e-5
Rotation = tuple[torch.Tensor, torch.Tensor]
"""Cosine and sine of every position's angles, each (S, head size)."""


def _rotation(start: int | torch.Tensor, seq: int, size: int, theta: float, like: torch.Tensor) -> Rotation:
    """Return the angles of positions `start` to `start + seq`: position · theta^(-2i/size), in fp32.

    `start` is one for all sequences, or (B,); then the angles are (B, 1, S, size).

    They are computed where they are used: a buffer would lose its precision when the weights are cast.
    """
    device = like.device
    frequency = theta ** (-torch.arange(0, size, 2, device=device, dtype=torch.float32) / size)
    if isinstance(start, torch.Tensor):
        at = start[:, None, None] + torch.arange(seq, device=device)
    else:
        at = torch.arange(start, start + seq, device=device)
    angles = torch.cat([at[..., None].float() * frequency] * 2, -1)
    return angles.cos().to(like.dtype), angles.sin().to(like.dtype)


def _rotate(x: torch.Tensor, by: Rotation) -> torch.Tensor:
    """Rotate the pairs (i, i + half) of x (..., S, head size) by their position's angles."""
    first, second = x.chunk(2, -1)
    return x * by[0] + torch.cat((-second, first), -1) * by[1]


class Attention(nn.Module):
    """Causal self-attention, in which `heads / kv_heads` queries share a key and a value."""

    attend = staticmethod(F.scaled_dot_product_attention)

    def __init__(self, hidden: int, heads: int, kv_heads: int) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.size = heads, kv_heads, hidden // heads
        self.qkv = nn.Linear(hidden, (heads + 2 * kv_heads) * self.size, bias=False)
        self.out = nn.Linear(hidden, hidden, bias=False)

    def split(self) -> Split:
        """Split by heads, those of queries and those of keys and values."""
        parts = tuple(heads * self.size for heads in (self.heads, self.kv_heads, self.kv_heads))
        return Split({"qkv": parts}, ("out",), counts=("heads", "kv_heads"))

    def forward(self, x: torch.Tensor, by: Rotation, cache: AnyCache | None, layer: int) -> torch.Tensor:
        """Attend over x (B, S, d): over itself, or with a filled cache over the cached positions and x."""
        heads = torch.unflatten(self.qkv(x), -1, (-1, self.size)).transpose(1, 2)
        q, k, v = torch.split(heads, [self.heads, self.kv_heads, self.kv_heads], 1)
        q, k = _rotate(q, by), _rotate(k, by)
        y = attended(self.attend, cache, layer, q, k, v, enable_gqa=True)
        mapped: torch.Tensor = self.out(y.transpose(1, 2).flatten(2))
        return mapped


class GatedNetwork(nn.Module):
    """down(silu(gate) · up), with gate and up as one product."""

    def __init__(self, hidden: int, inner: int) -> None:
        super().__init__()
        self.gate_up = nn.Linear(hidden, 2 * inner, bias=False)
        self.down = nn.Linear(inner, hidden, bias=False)

    def split(self) -> Split:
        """Split the inner layer, gate and up alike."""
        return Split({"gate_up": (self.down.in_features,) * 2}, ("down",))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (..., d) to (..., d)."""
        gate, up = self.gate_up(x).chunk(2, -1)
        grown: torch.Tensor = self.down(F.silu(gate) * up)
        return grown


class Block(nn.Module):
    """Attention and a feed-forward network, each after its norm and beside its residual."""

    def __init__(self, hidden: int, heads: int, kv_heads: int, network: nn.Module) -> None:
        super().__init__()
        self.norm1 = nn.RMSNorm(hidden, NORM_EPS)
        self.attention = Attention(hidden, heads, kv_heads)
        self.norm2 = nn.RMSNorm(hidden, NORM_EPS)
        self.network = network

    def split(self) -> Split:
        """Its attention and network split themselves."""
        return Split(norms=("norm1", "norm2"))

    def forward(self, x: torch.Tensor, by: Rotation, cache: AnyCache | None, layer: int) -> torch.Tensor:
        """Map (B, S, d) to (B, S, d)."""
        x = x + self.attention(self.norm1(x), by, cache, layer)
        grown: torch.Tensor = x + self.network(self.norm2(x))
        return grown


class Llama(nn.Module):
    """Token embedding, blocks, a norm, and an output layer."""

    entry, exit = ("token",), ("norm", "head")
    first_position = 0
    """Where in the sequence the tokens start that it is given; not 0 on ranks that share a sequence."""

    def __init__(
        self, *, vocab: int, hidden: int, inner: int, layers: int, heads: int, kv_heads: int, theta: int
    ) -> None:
        super().__init__()
        self.head_size, self.kv_heads, self.theta = hidden // heads, kv_heads, float(theta)
        self.token = nn.Embedding(vocab, hidden)
        self.blocks = nn.ModuleList(
            Block(hidden, heads, kv_heads, self.network(hidden, inner)) for _ in range(layers)
        )
        self.norm = nn.RMSNorm(hidden, NORM_EPS)
        self.head = nn.Linear(hidden, vocab, bias=False)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)

    def network(self, hidden: int, inner: int) -> nn.Module:
        """Build one block's feed-forward network."""
        return GatedNetwork(hidden, inner)

    def split(self) -> Split:
        """Split the vocabulary; the cache holds a rank's own heads."""
        return Split(gathered=("head",), counts=("kv_heads",))

    def empty_cache(self, batch: int, capacity: int) -> Cache:
        """Allocate a cache for `batch` sequences of up to `capacity` positions, in the weights' own type."""
        shape = (len(self.blocks), batch, self.kv_heads, capacity, self.head_size)
        weight = self.token.weight
        return Cache(weight.new_zeros(shape), weight.new_zeros(shape), 0)

    def forward(
        self,
        tokens: torch.Tensor,
        cache: AnyCache | None = None,
        *,
        last_only: bool = False,
        of: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return logits (B, S, V) for tokens (B, S), or (B, V) for the last position alone.

        A cache is written in place from its `length` on. `of`, (R,) int64, chooses sequences whose logits are
        wanted; without it all are.
        """
        x = self.through(self.blocks, self.embed(tokens), tokens, cache)
        return self.leave(chosen(x, last_only=last_only, of=of))

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return words, (B, S, d)."""
        embedded: torch.Tensor = self.token(tokens)
        return embedded

    def through(
        self,
        blocks: Iterable[nn.Module],
        x: torch.Tensor,
        _tokens: torch.Tensor,
        cache: AnyCache | None = None,
    ) -> torch.Tensor:
        """Map (B, S, d) to (B, S, d); a cache is that of all blocks."""
        start = 0 if cache is None else cache.length
        if not isinstance(start, torch.Tensor):
            start += self.first_position
        by = _rotation(start, x.shape[1], self.head_size, self.theta, x)
        for layer, block in enumerate(blocks):
            x = block(x, by, cache, layer)
        return x

    def leave(self, x: torch.Tensor, *_inputs: torch.Tensor) -> torch.Tensor:
        """Return logits (..., V) of (..., d)."""
        logits: torch.Tensor = self.head(self.norm(x))
        return logits
