"""BERT: an encoder with post-norm blocks, and its pre-training and classification heads.

No dropout: a benchmark step is the same work every time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from workloads.models.tensor_split import Split

NORM_EPS = 1e-12


class Block(nn.Module):
    """Self-attention and a feed-forward network, each followed by residual and norm."""

    attend = staticmethod(F.scaled_dot_product_attention)

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.out = nn.Linear(hidden, hidden)
        self.norm1 = nn.LayerNorm(hidden, NORM_EPS)
        self.up = nn.Linear(hidden, 4 * hidden)
        self.down = nn.Linear(4 * hidden, hidden)
        self.norm2 = nn.LayerNorm(hidden, NORM_EPS)

    def split(self) -> Split:
        """Split by heads, and the inner layer."""
        columns = {"qkv": (self.out.in_features,) * 3, "up": (self.up.out_features,)}
        return Split(columns, ("out", "down"), counts=("heads",), norms=("norm1", "norm2"))

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Map (B, S, d) to (B, S, d); mask (B, 1, 1, S) is true where there is a token to attend to."""
        q, k, v = torch.unflatten(self.qkv(x), -1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        y = self.attend(q, k, v, attn_mask=mask)
        x = self.norm1(x + self.out(y.transpose(1, 2).flatten(2)))
        normed: torch.Tensor = self.norm2(x + self.down(F.gelu(self.up(x))))
        return normed


class Encoder(nn.Module):
    """Word, position and segment embeddings, blocks or one of them again and again, and the pooler."""

    def __init__(
        self, *, vocab: int, positions: int, hidden: int, layers: int, heads: int, shared: bool
    ) -> None:
        super().__init__()
        self.word = nn.Embedding(vocab, hidden)
        self.position = nn.Embedding(positions, hidden)
        self.segment = nn.Embedding(2, hidden)
        self.norm = nn.LayerNorm(hidden, NORM_EPS)
        blocks = [Block(hidden, heads) for _ in range(1 if shared else layers)]
        self.blocks = nn.ModuleList(blocks * layers if shared else blocks)
        self.pooler = nn.Linear(hidden, hidden)

    def forward(self, tokens: torch.Tensor, segments: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return hidden states (B, S, d); inputs are (B, S)."""
        return self.through(self.blocks, self.embed(tokens, segments), mask)

    def embed(self, tokens: torch.Tensor, segments: torch.Tensor) -> torch.Tensor:
        """Return words, positions and segments, (B, S, d)."""
        at = torch.arange(tokens.shape[1], device=tokens.device)
        embedded: torch.Tensor = self.norm(self.word(tokens) + self.position(at) + self.segment(segments))
        return embedded

    def through(self, blocks: Iterable[nn.Module], x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Map (B, S, d) to (B, S, d); mask (B, S) is true where there is a token to attend to."""
        attend = mask[:, None, None, :]
        for block in blocks:
            x = block(x, attend)
        return x

    def pooled(self, x: torch.Tensor) -> torch.Tensor:
        """Return (B, d) of the first position."""
        return torch.tanh(self.pooler(x[:, 0]))


class BertWithHead(nn.Module):
    """An encoder under a head."""

    entry = ("encoder.word", "encoder.position", "encoder.segment", "encoder.norm")
    encoder: Encoder

    def embed(self, tokens: torch.Tensor, segments: torch.Tensor, *_inputs: torch.Tensor) -> torch.Tensor:
        """Return words, positions and segments, (B, S, d)."""
        return self.encoder.embed(tokens, segments)

    def through(self, blocks: Iterable[nn.Module], x: torch.Tensor, *inputs: torch.Tensor) -> torch.Tensor:
        """Map (B, S, d) to (B, S, d)."""
        return self.encoder.through(blocks, x, inputs[2])


class BertForPreTraining(BertWithHead):
    """Masked language model, its output layer tied to the word embedding, and next-sentence prediction."""

    exit = ("encoder.pooler", "encoder.word", "transform", "norm", "bias", "next_sentence")

    def __init__(
        self, *, vocab: int, positions: int, hidden: int, layers: int, heads: int, shared: bool
    ) -> None:
        super().__init__()
        self.encoder = Encoder(
            vocab=vocab, positions=positions, hidden=hidden, layers=layers, heads=heads, shared=shared
        )
        self.transform = nn.Linear(hidden, hidden)
        self.norm = nn.LayerNorm(hidden, NORM_EPS)
        self.bias = nn.Parameter(torch.zeros(vocab))
        self.next_sentence = nn.Linear(hidden, 2)
        self.apply(_initialise)

    def forward(
        self, tokens: torch.Tensor, segments: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the words' logits (B, P, V) at `positions` (B, P), and next-sentence logits (B, 2)."""
        return self.leave(self.encoder(tokens, segments, mask), tokens, segments, mask, positions)

    def leave(self, x: torch.Tensor, *inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return both logits of hidden states (B, S, d)."""
        words = x.gather(1, inputs[3][:, :, None].expand(-1, -1, x.shape[-1]))
        words = self.norm(F.gelu(self.transform(words)))
        following: torch.Tensor = self.next_sentence(self.encoder.pooled(x))
        return F.linear(words, self.encoder.word.weight, self.bias), following


class BertForClassification(BertWithHead):
    """The encoder and one linear layer over its pooled first position."""

    exit: tuple[str, ...] = ("encoder.pooler", "head")

    def __init__(
        self, *, vocab: int, positions: int, hidden: int, layers: int, heads: int, shared: bool, classes: int
    ) -> None:
        super().__init__()
        self.encoder = Encoder(
            vocab=vocab, positions=positions, hidden=hidden, layers=layers, heads=heads, shared=shared
        )
        self.head = nn.Linear(hidden, classes)
        self.apply(_initialise)

    def forward(self, tokens: torch.Tensor, segments: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return class logits (B, classes); inputs are (B, S)."""
        return self.leave(self.encoder(tokens, segments, mask))

    def leave(self, x: torch.Tensor, *_inputs: torch.Tensor) -> torch.Tensor:
        """Return class logits (B, classes) of hidden states (B, S, d)."""
        logits: torch.Tensor = self.head(self.encoder.pooled(x))
        return logits


class BertForTagging(BertForClassification):
    """The encoder without its pooler, and one linear layer over every position."""

    exit = ("head",)

    def __init__(self, **sizes: Any) -> None:
        super().__init__(**sizes)
        del self.encoder.pooler

    def leave(self, x: torch.Tensor, *_inputs: torch.Tensor) -> torch.Tensor:
        """Return class logits (B, S, classes) of hidden states (B, S, d)."""
        logits: torch.Tensor = self.head(x)
        return logits


def _initialise(module: nn.Module) -> None:
    """Draw weights from N(0, 0.02²) and zero the biases, as BERT was."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
