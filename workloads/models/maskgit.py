"""Masked generative transformer over a picture's tokens (Chang et al. 2022, section 3).

As published but for the norms, which lie before attention and network; no dropout: a benchmark step is the
same work every time.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from workloads.models.vit import NORM_EPS, Block


class MaskGIT(nn.Module):
    """Predicts the tokens that are masked, from those that are not and the picture's class.

    One embedding holds the codes, the mask, which is token `codes`, and the classes behind it; its codes are
    the output layer too.
    """

    def __init__(
        self, *, codes: int, classes: int, positions: int, hidden: int, layers: int, heads: int
    ) -> None:
        super().__init__()
        self.codes = codes
        self.token = nn.Embedding(codes + 1 + classes, hidden)
        self.position = nn.Parameter(torch.empty(1, positions + 1, hidden))
        self.norm1 = nn.LayerNorm(hidden, NORM_EPS)
        self.blocks = nn.ModuleList(Block(hidden, heads) for _ in range(layers))
        self.transform = nn.Linear(hidden, hidden)
        self.norm2 = nn.LayerNorm(hidden, NORM_EPS)
        self.bias = nn.Parameter(torch.zeros(codes))
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.trunc_normal_(parameter, std=0.02)

    def forward(self, tokens: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return logits of the codes (B, S, codes) for tokens (B, S) of pictures of these classes (B,)."""
        words = torch.cat((labels[:, None] + self.codes + 1, tokens), 1)
        x = self.norm1(self.token(words) + self.position)
        for block in self.blocks:
            x = block(x)
        x = self.norm2(F.gelu(self.transform(x[:, 1:])))
        return F.linear(x, self.token.weight[: self.codes], self.bias)


def _masked_after(share: float, positions: int) -> int:
    """Return how many of the positions are masked after this share of the rounds: S·cos(π/2·share)."""
    return int(positions * math.cos(math.pi / 2 * share))


def unmask(
    model: nn.Module,
    tokens: torch.Tensor,
    labels: torch.Tensor,
    noise: torch.Tensor,
    *,
    mask: int,
    temperature: float,
) -> torch.Tensor:
    """Return pictures' tokens (B, S), all masked before, in as many rounds as noise (B, rounds, S) has.

    Every round takes the likeliest token of each masked position, and masks again those of which it is least
    sure; the noise, which fades over the rounds, lets chance decide (Chang et al. 2022, section 3.2).
    """
    _, rounds, positions = noise.shape
    for turn in range(rounds):
        chance, found = model(tokens, labels).float().log_softmax(-1).max(-1)
        masked = tokens == mask
        sure = chance + temperature * (1 - (turn + 1) / rounds) * noise[:, turn]
        tokens = torch.where(masked, found, tokens)
        if turn < rounds - 1:
            count = _masked_after((turn + 1) / rounds, positions)
            least = torch.where(masked, sure, torch.inf).topk(count, 1, largest=False).indices
            tokens = tokens.scatter(1, least, mask)
    return tokens
