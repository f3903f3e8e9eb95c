"""A state-space language model after Mamba-2: its recurrence runs in chunks, as products of matrices.

Dao and Gu 2024, "Transformers are SSMs", section 6. No dropout: a benchmark step is the same work every time.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn
from torch.nn import functional as F

from workloads.kernels.linear import project

NORM_EPS = 1e-5
KERNEL = 4
"""Positions that the convolution before the recurrence sees."""
LayerState = tuple[torch.Tensor, torch.Tensor]
"""The convolution's last inputs (B, KERNEL-1, channels), and the state (B, heads, size, state)."""


def _decays(steps: torch.Tensor) -> torch.Tensor:
    """Return exp of the sum of steps j+1 to i as a lower triangle (..., L, L), for log decays (..., L)."""
    total = steps.cumsum(-1)
    between = total[..., :, None] - total[..., None, :]
    later = torch.ones(between.shape[-2:], dtype=torch.bool, device=steps.device).triu(1)
    return between.masked_fill(later, -torch.inf).exp()


def _scan(
    x: torch.Tensor,
    log_decay: torch.Tensor,
    b: torch.Tensor,
    c: torch.Tensor,
    chunk: int,
    past: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run s[t] = exp(log_decay[t])·s[t-1] + x[t]⊗b[t], y[t] = s[t]·c[t] from zeros, or a past (B, H, P, N).

    x (B, S, H, P), log_decay (B, S, H), b and c (B, S, N), S a multiple of `chunk`. Return y, and the last
    state (B, H, P, N). Within a chunk it is masked attention; between chunks states are handed on.
    """
    batch, seq, heads, size = x.shape
    count = seq // chunk
    # (B, chunks, H, L, P), (B, chunks, H, L) and (B, chunks, 1, L, N)
    x = x.view(batch, count, chunk, heads, size).transpose(2, 3)
    steps = log_decay.view(batch, count, chunk, heads).transpose(2, 3)
    b, c = (t.view(batch, count, 1, chunk, -1) for t in (b, c))
    total = steps.cumsum(-1)

    y = ((c @ b.transpose(-1, -2)) * _decays(steps)) @ x
    left = (total[..., -1:] - total).exp()  # what remains of each position at its chunk's end
    made = (x * left[..., None]).transpose(-1, -2) @ b  # (B, chunks, H, P, N)
    # Row i of the triangle hands on the states of chunks before i; the last row gives the final state.
    whole = F.pad(total[..., -1].transpose(1, 2), (1, 0))  # (B, H, 1 + chunks)
    states = F.pad(made.flatten(3).transpose(1, 2), (0, 0, 1, 0))  # (B, H, 1 + chunks, P·N)
    if past is not None:
        states[:, :, 0] = past.flatten(2)
    before = (_decays(whole) @ states).view(batch, heads, count + 1, size, -1)
    entering = before[:, :, :-1].transpose(1, 2)
    y = y + (c @ entering.transpose(-1, -2)) * total.exp()[..., None]
    return y.transpose(2, 3).reshape(batch, seq, heads, size), before[:, :, -1]


def _without_autocast(kind: str) -> AbstractContextManager[object]:
    if torch.amp.is_autocast_available(kind):
        return torch.autocast(kind, enabled=False)
    return nullcontext()


class Mixer(nn.Module):
    """Projection, short convolution, recurrence, gate with norm, projection."""

    def __init__(self, hidden: int, state: int, head_size: int, chunk: int) -> None:
        super().__init__()
        self.inner, self.state, self.size, self.chunk = 2 * hidden, state, head_size, chunk
        self.heads = self.inner // head_size
        self.mixed = self.inner + 2 * state
        self.project = nn.Linear(hidden, self.inner + self.mixed + self.heads, bias=False)
        self.convolution = nn.Conv1d(self.mixed, self.mixed, KERNEL, groups=self.mixed)
        low, high = math.log(1e-3), math.log(1e-1)
        step = (torch.rand(self.heads) * (high - low) + low).exp()
        self.step_bias = nn.Parameter(step + torch.log(-torch.expm1(-step)))  # softplus's inverse
        self.log_rate = nn.Parameter(torch.arange(1, self.heads + 1, dtype=torch.float32).log())
        self.skip = nn.Parameter(torch.ones(self.heads))
        self.norm = nn.RMSNorm(self.inner, NORM_EPS)
        self.out = nn.Linear(self.inner, hidden, bias=False)

    def forward(self, x: torch.Tensor, past: LayerState | None) -> tuple[torch.Tensor, LayerState]:
        """Map (B, S, d) to (B, S, d) from nothing or behind a past; return the new past too.

        A sequence that is not whole chunks is one chunk.
        """
        batch, seq, _ = x.shape
        parts = [self.inner, self.mixed, self.heads]
        gate, mixed, step = torch.split(self.project(x), parts, -1)
        seen = F.pad(mixed, (0, 0, KERNEL - 1, 0)) if past is None else torch.cat((past[0], mixed), 1)
        mixed = F.silu(self.convolution(seen.transpose(1, 2)).transpose(1, 2))
        values, b, c = torch.split(mixed, [self.inner, self.state, self.state], -1)
        values = values.view(batch, seq, self.heads, self.size)
        # The recurrence multiplies thousands of decays: in fp32, whatever the weights are.
        step = F.softplus(step.float() + self.step_bias.float())
        log_decay = -self.log_rate.float().exp() * step
        inputs, b, c = values.float() * step[..., None], b.float(), c.float()
        if past is None or seq > 1:
            chunk = seq if seq % self.chunk else self.chunk
            with _without_autocast(x.device.type):
                y, state = _scan(inputs, log_decay, b, c, chunk, None if past is None else past[1])
        else:
            added = inputs[:, 0, :, :, None] * b[:, :, None]
            state = past[1] * log_decay[:, 0].exp()[:, :, None, None] + added
            y = (state * c[:, :, None]).sum(-1)[:, None]
        y = (y + values.float() * self.skip[:, None].float()).flatten(2)
        mixed_out: torch.Tensor = self.out(self.norm((y * F.silu(gate.float())).to(x.dtype)))
        return mixed_out, (seen[:, -(KERNEL - 1) :], state)


class Block(nn.Module):
    """A mixer after its norm and beside its residual."""

    def __init__(self, hidden: int, state: int, head_size: int, chunk: int) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(hidden, NORM_EPS)
        self.mixer = Mixer(hidden, state, head_size, chunk)

    def forward(self, x: torch.Tensor, past: LayerState | None) -> tuple[torch.Tensor, LayerState]:
        """Map (B, S, d) to (B, S, d); return the new past too."""
        mixed, past = self.mixer(self.norm(x), past)
        return x + mixed, past


class Mamba(nn.Module):
    """Token embedding, blocks, a norm, and the token embedding again as the output layer."""

    tied = "token"
    """The embedding that is the output layer too."""

    def __init__(
        self, *, vocab: int, hidden: int, layers: int, state: int, head_size: int, chunk: int
    ) -> None:
        super().__init__()
        self.token = nn.Embedding(vocab, hidden)
        self.blocks = nn.ModuleList(Block(hidden, state, head_size, chunk) for _ in range(layers))
        self.norm = nn.RMSNorm(hidden, NORM_EPS)
        nn.init.normal_(self.token.weight, std=0.02)
        for name, parameter in self.named_parameters():
            if name.endswith("out.weight"):
                nn.init.normal_(parameter, std=0.02 / layers**0.5)

    def forward(
        self, tokens: torch.Tensor, past: list[LayerState] | None = None, *, last_only: bool = False
    ) -> tuple[torch.Tensor, list[LayerState]]:
        """Return logits (B, S, V) for tokens (B, S), or (B, V) of the last position, and the new past."""
        x = self.token(tokens)
        states = []
        for layer, block in enumerate(self.blocks):
            x, state = block(x, None if past is None else past[layer])
            states.append(state)
        if last_only:
            x = x[:, -1]
        return project(self.norm(x), self.token), states
