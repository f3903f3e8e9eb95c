"""Train the small language model whose perplexity shows what a compression costs, and write its weights.

    python tools/train_reference.py            about seven minutes on one CPU core

The model is `gpt` at its tiny size. It reads the first part of the shipped text; the rest is held out, and
the weights kept are those of the step at which the held-out loss was least. Seeded, on one thread: the same
machine writes the same file again.
"""

from __future__ import annotations

import math

import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from workloads import registry
from workloads.engine.trained import HELD_OUT_SHARE, WEIGHTS, held_out, parts_of_text

STEPS, BATCH, SEQ = 2400, 24, 96
WARMUP, EVERY = 100, 50
RATE, DECAY, DROPPED = 2e-3, 0.3, 0.15
"""Peak learning rate; weight decay; share of the tokens read that are replaced, against learning by heart."""


def loss_of(model: torch.nn.Module, tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy of the next byte."""
    return F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten())


def main() -> None:
    """Train, and keep the best weights."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    kind = registry.get("gpt")
    model = kind("train", kind.spec.sizes["tiny"]).build_model()
    text = torch.frombuffer(bytearray(parts_of_text()[0]), dtype=torch.uint8).long()
    unseen = held_out(SEQ)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY, betas=(0.9, 0.98))
    best = math.inf
    for step in range(STEPS + 1):
        if step % EVERY == 0:
            with torch.inference_mode():
                loss = loss_of(model, unseen["tokens"], unseen["targets"]).item()
            print(f"step {step:5d}  held-out loss {loss:.4f}  perplexity {math.exp(loss):.3f}", flush=True)
            if loss < best:
                best = loss
                state = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        share = min(1.0, (step + 1) / WARMUP) * 0.5 * (1 + math.cos(math.pi * step / STEPS))
        for group in optimizer.param_groups:
            group["lr"] = RATE * share
        starts = torch.randint(0, len(text) - SEQ, (BATCH,))
        windows = torch.stack([text[start : start + SEQ + 1] for start in starts])
        read = windows[:, :-1].clone()
        spoiled = torch.rand(read.shape) < DROPPED
        read[spoiled] = text[torch.randint(0, len(text), (int(spoiled.sum()),))]
        optimizer.zero_grad()
        loss_of(model, read, windows[:, 1:]).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    save_file(state, WEIGHTS, {"perplexity": f"{math.exp(best):.4f}", "held_out": str(HELD_OUT_SHARE)})
    print(f"{WEIGHTS}: perplexity {math.exp(best):.3f}, {WEIGHTS.stat().st_size / 2**20:.2f} MiB")


if __name__ == "__main__":
    main()
