"""Our models beside those of transformers: the same shape, format, batch and threads, step by step in turn.

    python benchmarks/model_speed.py [--threads 1] [--pairs 24] [--case gpt]

Ours run through `workloads.engine.job.prepare`, as every trial does; theirs by the plain loop that their
documentation shows, with torch's own attention, without dropout. Within a pair the order turns each time.
The ratio is their time ÷ ours, so that above 1 ours is faster; its interval is over the pairs of this one
process. Exit code 1 where an interval lies below 1.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable
from functools import partial
from statistics import median

import torch
import transformers

from harness.stats import interval
from workloads import registry
from workloads.engine.job import prepare
from workloads.engine.setup import Setup
from workloads.sizes import resolve_size

Step = Callable[[], object]
WARMUP = 2


def ours(name: str, mode: str, **sizes: int) -> Step:
    """Return a step of our model at its base size, with these sizes in place of its own."""
    kind = registry.get(name)
    job = prepare(kind(mode, resolve_size(kind.spec, "base", sizes)), Setup())
    turn = iter(range(1_000_000))
    return lambda: job.step(next(turn), lambda _name: None)


def trained(model: torch.nn.Module, inputs: dict[str, torch.Tensor], lr: float, *, fused: bool) -> Step:
    """Return a training step of theirs: zero the gradients, loss, backward, AdamW, `fused` as in ours."""
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, fused=fused)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        model(**inputs).loss.backward()
        optimizer.step()

    return step


def gpt(*, fused: bool = False) -> tuple[Step, Step]:
    """GPT-2 small, a training step of one sequence of 128 tokens."""
    config = transformers.GPT2Config(resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
    tokens = torch.randint(config.vocab_size, (1, 128))
    inputs = {"input_ids": tokens, "labels": tokens}
    theirs = trained(transformers.GPT2LMHeadModel(config), inputs, 3e-4, fused=fused)
    return ours("gpt", "train", batch=1, seq=128), theirs


def bert(*, fused: bool = False) -> tuple[Step, Step]:
    """BERT-base with a two-class head, a training step of two sequences of 128 tokens, padded alike."""
    config = transformers.BertConfig(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    mask = torch.arange(128) < torch.tensor([128, 97])[:, None]
    inputs = {
        "input_ids": torch.randint(config.vocab_size, (2, 128)),
        "token_type_ids": torch.zeros(2, 128, dtype=torch.long),
        "attention_mask": mask.long(),
        "labels": torch.randint(2, (2,)),
    }
    theirs = trained(transformers.BertForSequenceClassification(config), inputs, 2e-5, fused=fused)
    return ours("bert", "finetune", batch=2, seq=128), theirs


def resnet(layout: torch.memory_format = torch.contiguous_format) -> tuple[Step, Step]:
    """ResNet-50, inference over two images of 224 pixels a side; theirs as it is built."""
    model = transformers.ResNetForImageClassification(transformers.ResNetConfig(num_labels=1000)).eval()
    model.to(memory_format=layout)
    images = torch.randn(2, 3, 224, 224).contiguous(memory_format=layout)
    return ours("resnet", "infer", batch=2), torch.inference_mode()(lambda: model(images).logits)


CASES: dict[str, Callable[[], tuple[Step, Step]]] = {
    "gpt": gpt,
    "gpt_fused": partial(gpt, fused=True),
    "bert": bert,
    "bert_fused": partial(bert, fused=True),
    "resnet": resnet,
    "resnet_channels_last": partial(resnet, torch.channels_last),
}
"""The second of each pair gives theirs what ours has: AdamW in one kernel, channels last in memory."""


def seconds(step: Step) -> float:
    """Return the time of one step."""
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


def main() -> int:
    """Run the cases and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=24)
    parser.add_argument("--case", choices=CASES, action="append")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    slower = False
    print(f"{'case':22}{'ours':>10}{'theirs':>10}{'ratio':>8}   95 % interval")
    for name in options.case or CASES:
        sides = CASES[name]()
        for _ in range(WARMUP):
            for side in sides:
                side()
        times: tuple[list[float], list[float]] = ([], [])
        for pair in range(options.pairs):
            for side in (0, 1) if pair % 2 else (1, 0):
                times[side].append(seconds(sides[side]))
        ratio = interval([theirs / mine for mine, theirs in zip(*times, strict=True)])
        assert ratio.low is not None
        assert ratio.high is not None
        slower |= ratio.high < 1.0
        mine, theirs = (median(each) * 1e3 for each in times)
        print(f"{name:22}{mine:7.0f} ms{theirs:7.0f} ms{ratio.estimate:8.3f}", end="   ")
        print(f"{ratio.low:.3f} to {ratio.high:.3f}", flush=True)
        del sides
        gc.collect()
    return int(slower)


if __name__ == "__main__":
    raise SystemExit(main())
