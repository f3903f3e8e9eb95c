"""The encoder-decoder transformer of machine translation: post-norm blocks, sinusoids, one tied embedding.

No dropout: a benchmark step is the same work every time.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import nn
from torch.nn import functional as F

from workloads.models.tensor_split import Split


class Cache(NamedTuple):
    """Of the decoder: keys and values of what it wrote and of the source, (layers, batch, heads, S, size)."""

    keys: torch.Tensor
    values: torch.Tensor
    source_keys: torch.Tensor
    source_values: torch.Tensor
    mask: torch.Tensor
    """True where the source has a token, (batch, 1, 1, S)."""
    length: int

    def rows(self, rows: torch.Tensor) -> Cache:
        """Return the cache of these rows, (R,); an equal number of rows keeps its sources as they are."""
        written = (self.keys.index_select(1, rows), self.values.index_select(1, rows))
        if len(rows) == len(self.mask):  # beams trade places within a sample, which has one source
            return self._replace(keys=written[0], values=written[1])
        sources = (self.source_keys.index_select(1, rows), self.source_values.index_select(1, rows))
        return Cache(*written, *sources, self.mask.index_select(0, rows), self.length)


def _sinusoids(start: int, seq: int, like: torch.Tensor) -> torch.Tensor:
    """Return the positions' sines and cosines, (S, d), of wavelengths 2π to 10000·2π."""
    hidden = like.shape[-1]
    at = torch.arange(start, start + seq, device=like.device, dtype=torch.float32)
    frequency = 10_000.0 ** (-torch.arange(0, hidden, 2, device=like.device, dtype=torch.float32) / hidden)
    angles = torch.outer(at, frequency)
    return torch.stack((angles.sin(), angles.cos()), -1).flatten(1).to(like.dtype)


class Attention(nn.Module):
    """Projections of queries, and of keys and values from the same or another sequence."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(hidden, hidden)
        self.kv = nn.Linear(hidden, 2 * hidden)
        self.out = nn.Linear(hidden, hidden)

    def split(self) -> Split:
        """Split by heads."""
        hidden = self.out.in_features
        return Split({"q": (hidden,), "kv": (hidden,) * 2}, ("out",), counts=("heads",))

    def read(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return keys and values of x (B, S, d), each (B, heads, S, head size)."""
        k, v = torch.unflatten(self.kv(x), -1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return k, v

    def forward(
        self,
        x: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        mask: torch.Tensor | None,
        *,
        causal: bool = False,
    ) -> torch.Tensor:
        """Attend from x (B, T, d) to keys and values."""
        q = torch.unflatten(self.q(x), -1, (self.heads, -1)).transpose(1, 2)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
        attended: torch.Tensor = self.out(y.transpose(1, 2).flatten(2))
        return attended


class EncoderBlock(nn.Module):
    """Self-attention and a feed-forward network, each followed by residual and norm."""

    def __init__(self, hidden: int, inner: int, heads: int) -> None:
        super().__init__()
        self.attention = Attention(hidden, heads)
        self.norm1 = nn.LayerNorm(hidden)
        self.up = nn.Linear(hidden, inner)
        self.down = nn.Linear(inner, hidden)
        self.norm2 = nn.LayerNorm(hidden)

    def split(self) -> Split:
        """Split the inner layer."""
        return Split({"up": (self.up.out_features,)}, ("down",))

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Map (B, S, d) to (B, S, d)."""
        x = self.norm1(x + self.attention(x, *self.attention.read(x), mask))
        normed: torch.Tensor = self.norm2(x + self.down(torch.relu(self.up(x))))
        return normed


class DecoderBlock(nn.Module):
    """The encoder's block with attention to the source after its own."""

    entered_by = ("read_source",)
    """Methods beside `forward` that need its weights."""

    def __init__(self, hidden: int, inner: int, heads: int) -> None:
        super().__init__()
        self.attention = Attention(hidden, heads)
        self.norm1 = nn.LayerNorm(hidden)
        self.source = Attention(hidden, heads)
        self.norm2 = nn.LayerNorm(hidden)
        self.up = nn.Linear(hidden, inner)
        self.down = nn.Linear(inner, hidden)
        self.norm3 = nn.LayerNorm(hidden)

    def split(self) -> Split:
        """Split the inner layer."""
        return Split({"up": (self.up.out_features,)}, ("down",))

    def read_source(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Read keys and values of the encoded source (B, S, d), each (B, heads, S, head size)."""
        return self.source.read(x)

    def forward(self, x: torch.Tensor, cache: Cache, layer: int) -> torch.Tensor:
        """Map (B, T, d) to (B, T, d); T is 1 where the cache holds words."""
        start, end = cache.length, cache.length + x.shape[1]
        k, v = self.attention.read(x)
        if cache.keys.shape[3]:
            cache.keys[layer][:, :, start:end], cache.values[layer][:, :, start:end] = k, v
            k, v = cache.keys[layer][:, :, :end], cache.values[layer][:, :, :end]
        x = self.norm1(x + self.attention(x, k, v, None, causal=x.shape[1] > 1))
        source = self.source(x, cache.source_keys[layer], cache.source_values[layer], cache.mask)
        x = self.norm2(x + source)
        normed: torch.Tensor = self.norm3(x + self.down(torch.relu(self.up(x))))
        return normed


class Transformer(nn.Module):
    """Encoder and decoder; one embedding for the words of both and for the output layer."""

    def __init__(self, *, vocab: int, hidden: int, inner: int, layers: int, heads: int) -> None:
        super().__init__()
        self.heads, self.head_size = heads, hidden // heads
        self.token = nn.Embedding(vocab, hidden)
        self.encoder = nn.ModuleList(EncoderBlock(hidden, inner, heads) for _ in range(layers))
        self.decoder = nn.ModuleList(DecoderBlock(hidden, inner, heads) for _ in range(layers))
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        nn.init.normal_(self.token.weight, std=hidden**-0.5)

    def split(self) -> Split:
        """The cache holds a rank's own heads."""
        return Split(counts=("heads",))

    def embed(self, tokens: torch.Tensor, start: int = 0) -> torch.Tensor:
        """Return words and positions, (B, S, d)."""
        x: torch.Tensor = self.token(tokens) * self.token.weight.shape[1] ** 0.5
        return x + _sinusoids(start, tokens.shape[1], x)

    def read(self, tokens: torch.Tensor, mask: torch.Tensor, capacity: int) -> Cache:
        """Encode the source (B, S); return a cache for up to `capacity` words, empty."""
        attend = mask[:, None, None, :]
        x = self.embed(tokens)
        for block in self.encoder:
            x = block(x, attend)
        sources = [cast("DecoderBlock", block).read_source(x) for block in self.decoder]
        keys, values = zip(*sources, strict=True)
        shape = (len(self.decoder), len(tokens), self.heads, capacity, self.head_size)
        return Cache(
            x.new_zeros(shape), x.new_zeros(shape), torch.stack(keys), torch.stack(values), attend, 0
        )

    def forward(
        self, before: torch.Tensor, source: Cache | tuple[torch.Tensor, torch.Tensor], capacity: int = 0
    ) -> tuple[torch.Tensor, Cache]:
        """Return logits (B, T, V) of the words behind `before` (B, T), and the cache that holds those.

        The source is a cache, or tokens and mask (B, S) to read into one for up to `capacity` words; with 0
        it holds none.
        """
        cache = source if isinstance(source, Cache) else self.read(*source, capacity)
        x = self.embed(before, cache.length)
        for layer, block in enumerate(self.decoder):
            x = block(x, cache, layer)
        return F.linear(x, self.token.weight), cache._replace(length=cache.length + before.shape[1])
