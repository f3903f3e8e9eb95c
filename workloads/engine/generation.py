"""Choose the next token, and continue prompts token by token, without one synchronisation with the device."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from workloads.base import Batch, GenerativeWorkload


def sample(
    logits: torch.Tensor, *, temperature: float, top_k: int | None, generator: torch.Generator
) -> torch.Tensor:
    """Draw one token for each row of logits (B, V), by softmax(logits / temperature) over its `top_k` best.

    `top_k=1` is greedy. The draw is argmax(p / e) with e ~ Exponential(1), which has distribution p:
    `torch.multinomial` would wait for the device to check its input.
    """
    if top_k == 1:
        return logits.argmax(-1)
    scaled = logits.float() / temperature
    if top_k is not None and top_k < scaled.shape[-1]:
        smallest = scaled.topk(top_k, dim=-1).values[:, -1:]
        scaled = scaled.masked_fill(scaled < smallest, -torch.inf)
    probabilities = scaled.softmax(-1)
    noise = torch.empty_like(probabilities).exponential_(generator=generator)
    return (probabilities / noise).argmax(-1)


def generate(
    workload: GenerativeWorkload,
    model: nn.Module,
    batch: Batch,
    new_tokens: int,
    choose: Callable[[torch.Tensor], torch.Tensor],
    mark: Callable[[str], None],
) -> torch.Tensor:
    """Continue the prompts; return (B, new_tokens) tokens. `mark("first_token")` comes after the first."""
    capacity = batch["tokens"].shape[1] + new_tokens - 1
    logits, cache = workload.prefill(model, batch, capacity)
    tokens = [choose(logits)]
    mark("first_token")
    for _ in range(new_tokens - 1):
        logits, cache = workload.decode(model, tokens[-1], cache)
        tokens.append(choose(logits))
    return torch.stack(tokens, 1)


def beam_search(
    workload: GenerativeWorkload,
    model: nn.Module,
    batch: Batch,
    new_tokens: int,
    beams: int,
    mark: Callable[[str], None],
) -> torch.Tensor:
    """Return the likeliest continuation found with `beams` kept, (B, new_tokens).

    All are as long, so that the work is the same every time; nothing ends early.
    """
    samples = len(batch["tokens"])
    logits, cache = workload.prefill(model, batch, batch["tokens"].shape[1] + new_tokens - 1)
    scores, tokens = logits.float().log_softmax(-1).topk(beams)  # (B, beams)
    mark("first_token")
    first = torch.arange(samples, device=tokens.device)[:, None] * beams
    found = tokens[:, :, None]
    cache = workload.reorder(cache, torch.arange(samples, device=tokens.device).repeat_interleave(beams))
    for _ in range(new_tokens - 1):
        logits, cache = workload.decode(model, tokens.flatten(), cache)
        steps = logits.float().log_softmax(-1).view(samples, beams, -1)
        scores, best = (scores[:, :, None] + steps).flatten(1).topk(beams)
        parent, tokens = best // steps.shape[-1], best % steps.shape[-1]
        cache = workload.reorder(cache, (first + parent).flatten())
        kept = found.gather(1, parent[:, :, None].expand(-1, -1, found.shape[2]))
        found = torch.cat((kept, tokens[:, :, None]), 2)
    return found[:, 0]
