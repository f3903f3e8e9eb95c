"""A decoder-only transformer after GPT-2: pre-norm blocks, learned positions, tied embeddings.

No dropout: a benchmark step is the same work every time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from workloads.kernels.block import DecoderBlock
from workloads.kernels.linear import project
from workloads.kernels.step import DecoderStep
from workloads.models.tensor_split import Split


class Cache(NamedTuple):
    """Keys and values, each (layers, batch, heads, capacity, head size), filled up to `length`."""

    keys: torch.Tensor
    values: torch.Tensor
    length: int

    def write(self, layer: int, k: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Write positions behind `length`; return all keys and values, each (B, heads, S, head size)."""
        start, end = self.length, self.length + k.shape[2]
        keys, values = self.keys[layer], self.values[layer]
        keys[:, :, start:end] = k
        values[:, :, start:end] = v
        return (keys[:, :, :end], values[:, :, :end]) if start else (k, v)

    def sees(self, queries: int) -> dict[str, Any]:
        """Return attention's options for this many new positions: each sees those before it, and itself."""
        if queries == 1 or not self.length:
            return {"is_causal": queries > 1}
        shape = (queries, self.length + queries)
        mask = torch.ones(shape, dtype=torch.bool, device=self.keys.device).tril(self.length)
        return {"attn_mask": mask}

    def ragged(self, length: torch.Tensor, longest: int, *, masked: bool) -> RaggedCache:
        """Return the first rows as sequences of these lengths, see `RaggedCache`."""
        rows = len(length)
        return RaggedCache(self.keys[:, :rows], self.values[:, :rows], length, longest, masked)

    def mixed(self, rows: RaggedCache | None, parts: Iterable[tuple[int, int, int]]) -> MixedCache:
        """Return sequences that go on, and parts of prompts: each its row, its start and its size."""
        own = tuple(Part(*one) for one in parts)
        device = self.keys.device
        places = [torch.arange(one.start, one.start + one.size, device=device) for one in own]
        before = [] if rows is None else [rows.length]
        return MixedCache(self, rows, own, torch.cat([*before, *places]))


class RaggedCache(NamedTuple):
    """Keys and values of sequences of unlike lengths, each (layers, batch, heads, capacity, head size).

    It takes one position of each sequence at a time.
    """

    keys: torch.Tensor
    values: torch.Tensor
    length: torch.Tensor
    """Positions of each sequence so far, (batch,) int64."""
    longest: int
    """The largest of them, known to the host."""
    masked: bool
    """Whether attention takes a mask; else it takes lengths."""

    def write(self, layer: int, k: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Write a position behind each sequence; return all keys and values, (B, heads, longest, size)."""
        rows = torch.arange(len(self.length), device=k.device)
        keys, values = self.keys[layer], self.values[layer]
        keys[rows, :, self.length] = k[:, :, 0]
        values[rows, :, self.length] = v[:, :, 0]
        return keys[:, :, : self.longest + 1], values[:, :, : self.longest + 1]

    def sees(self, _queries: int) -> dict[str, Any]:
        """Return attention's options: every query sees its own sequence, and itself."""
        if not self.masked:
            return {"lengths": self.length + 1}
        places = torch.arange(self.longest + 1, device=self.length.device)
        return {"attn_mask": (places <= self.length[:, None])[:, None, None]}


class GrowingCache(NamedTuple):
    """Keys and values of each layer, (B, heads, length, head size), appended to at every token."""

    keys: list[torch.Tensor]
    values: list[torch.Tensor]
    length: int

    def write(self, layer: int, k: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Append positions; return all keys and values, each (B, heads, S, head size)."""
        if self.length:
            k, v = torch.cat((self.keys[layer], k), 2), torch.cat((self.values[layer], v), 2)
        self.keys[layer], self.values[layer] = k, v
        return k, v

    def sees(self, queries: int) -> dict[str, Any]:
        """Return attention's options: a first pass is causal, one token behind it sees all."""
        return {"is_causal": queries > 1}

    def rewound(self, length: int) -> GrowingCache:
        """Return a cache of the first `length` positions, which leaves this one as it is."""
        return GrowingCache(
            [k[:, :, :length] for k in self.keys], [v[:, :, :length] for v in self.values], length
        )


class Part(NamedTuple):
    """The next positions of a prompt that is being read."""

    row: int
    """Of the cache."""
    start: int
    """Positions that were read before."""
    size: int
    """Positions now."""


class MixedCache(NamedTuple):
    """One position each of some sequences, and behind them parts of prompts, each position a sequence of one.

    So that one pass reads prompts and continues answers: every weight is read once for all of them.
    """

    whole: Cache
    rows: RaggedCache | None
    """The sequences that go on; None without any."""
    parts: tuple[Part, ...]
    length: torch.Tensor
    """Where each position is in its own sequence, (positions,) int64."""

    def attended(self, attend: Attend, layer: int, *qkv: torch.Tensor, **options: Any) -> torch.Tensor:
        """Write keys and values, and attend; q, k and v are (positions, heads, 1, head size)."""
        done, found = 0, []
        if self.rows is not None:
            done = len(self.rows.length)
            found.append(attended(attend, self.rows, layer, *(one[:done] for one in qkv), **options))
        for row, start, size in self.parts:
            own = Cache(self.whole.keys[:, row : row + 1], self.whole.values[:, row : row + 1], start)
            side_by_side = (one[done : done + size].transpose(0, 2) for one in qkv)
            found.append(attended(attend, own, layer, *side_by_side, **options).transpose(0, 2))
            done += size
        return torch.cat(found)


AnyCache = Cache | RaggedCache | GrowingCache | MixedCache
Attend = Callable[..., torch.Tensor]
"""`scaled_dot_product_attention`, or what takes its place."""


def attended(
    attend: Attend, cache: AnyCache | None, layer: int, *qkv: torch.Tensor, **options: Any
) -> torch.Tensor:
    """Attend from queries to keys and values, each (B, heads, S, head size), and to those in the cache."""
    if isinstance(cache, MixedCache):
        return cache.attended(attend, layer, *qkv, **options)
    q, k, v = qkv
    if cache is None:
        return attend(q, k, v, is_causal=q.shape[2] > 1, **options)
    return attend(q, *cache.write(layer, k, v), **cache.sees(q.shape[2]), **options)


def chosen(x: torch.Tensor, *, last_only: bool, of: torch.Tensor | None) -> torch.Tensor:
    """Return what of x (B, S, d) goes into the output layer."""
    x = x if of is None else x.index_select(0, of)
    return x[:, -1] if last_only else x


class Attention(nn.Module):
    """Causal self-attention."""

    attend = staticmethod(F.scaled_dot_product_attention)

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.out = nn.Linear(hidden, hidden)

    def split(self) -> Split:
        """Split by heads."""
        return Split({"qkv": (self.out.in_features,) * 3}, ("out",), counts=("heads",))

    def forward(self, x: torch.Tensor, cache: AnyCache | None, layer: int) -> torch.Tensor:
        """Attend over x (B, S, d): over itself, or with a filled cache over the cached positions and x."""
        # (3, B, heads, S, head size)
        q, k, v = torch.unflatten(self.qkv(x), -1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        y = attended(self.attend, cache, layer, q, k, v)
        mapped: torch.Tensor = self.out(y.transpose(1, 2).flatten(2))
        return mapped


class Block(nn.Module):
    """Attention and a feed-forward network, each after its norm and beside its residual."""

    one_call: DecoderBlock | None = None
    """Runs a decode step of few sequences at once, where kernels of our own do."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(hidden)
        self.attention = Attention(hidden, heads)
        self.norm2 = nn.LayerNorm(hidden)
        self.up = nn.Linear(hidden, 4 * hidden)
        self.down = nn.Linear(4 * hidden, hidden)

    def split(self) -> Split:
        """Split the inner layer."""
        return Split({"up": (self.up.out_features,)}, ("down",), norms=("norm1", "norm2"))

    def forward(self, x: torch.Tensor, cache: AnyCache | None, layer: int) -> torch.Tensor:
        """Map (B, S, d) to (B, S, d)."""
        if self.one_call is not None and cache is not None:
            y = self.one_call(self, x, cache, layer)
            if y is not None:
                return y
        x = x + self.attention(self.norm1(x), cache, layer)
        inner = F.gelu(self.up(self.norm2(x)), approximate="tanh")
        grown: torch.Tensor = x + self.down(inner)
        return grown


class GPT(nn.Module):
    """Token and position embeddings, blocks, a norm, and the token embedding again as the output layer."""

    entry, exit = ("token", "position"), ("norm", "token")
    tied = "token"
    """The embedding that is the output layer too."""
    one_step: DecoderStep | None = None
    """Runs a whole decode step of few sequences, where kernels of our own do."""
    first_position = 0
    """Where in the sequence the tokens start that it is given; not 0 on ranks that share a sequence."""

    def __init__(self, *, vocab: int, positions: int, hidden: int, layers: int, heads: int) -> None:
        super().__init__()
        self.heads, self.head_size = heads, hidden // heads
        self.token = nn.Embedding(vocab, hidden)
        self.position = nn.Embedding(positions, hidden)
        self.blocks = nn.ModuleList(Block(hidden, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(hidden)
        for name, parameter in self.named_parameters():
            if name.endswith(("out.weight", "down.weight")):
                # The residual stream adds 2·layers terms; this keeps its variance that of one.
                nn.init.normal_(parameter, std=0.02 / (2 * layers) ** 0.5)
            elif parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def split(self) -> Split:
        """The cache holds a rank's own heads."""
        return Split(counts=("heads",))

    def empty_cache(self, batch: int, capacity: int) -> Cache:
        """Allocate a cache for `batch` sequences of up to `capacity` positions, in the weights' own type."""
        weight = self.norm.weight  # an embedding may be stored in another format
        shape = (len(self.blocks), batch, self.heads, capacity, self.head_size)
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
        if self.one_step is not None and cache is not None and last_only and of is None:
            logits = self.one_step(self, tokens, cache)
            if logits is not None:
                return logits
        x = self.embed(tokens, 0 if cache is None else cache.length)
        x = self.through(self.blocks, x, tokens, cache)
        return self.leave(chosen(x, last_only=last_only, of=of))

    def embed(self, tokens: torch.Tensor, start: int | torch.Tensor = 0) -> torch.Tensor:
        """Return words and positions, (B, S, d); `start` is one for all sequences, or (B,)."""
        if isinstance(start, torch.Tensor):
            at = start[:, None] + torch.arange(tokens.shape[1], device=tokens.device)
        else:
            start += self.first_position
            at = torch.arange(start, start + tokens.shape[1], device=tokens.device)
        embedded: torch.Tensor = self.token(tokens) + self.position(at)
        return embedded

    def through(
        self,
        blocks: Iterable[nn.Module],
        x: torch.Tensor,
        _tokens: torch.Tensor,
        cache: AnyCache | None = None,
    ) -> torch.Tensor:
        """Map (B, S, d) to (B, S, d); a cache is that of all blocks."""
        for layer, block in enumerate(blocks):
            x = block(x, cache, layer)
        return x

    def leave(self, x: torch.Tensor, *_inputs: torch.Tensor) -> torch.Tensor:
        """Return logits (..., V) of (..., d)."""
        return project(self.norm(x), self.token)
