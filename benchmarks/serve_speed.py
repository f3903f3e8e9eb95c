"""Continuous batching beside static batching and beside transformers' own, on one trace, in turn.

    python benchmarks/serve_speed.py [--threads 2] [--rounds 3] [--requests 200] [--slots 16] [--layers 4]

A GPT of GPT-2 small's width with fewer layers, the same weights in transformers' GPT-2, fp32, greedy, lengths
from a log-normal trace, all requests there at the start: 200, as vLLM's throughput test takes of ShareGPT.
Medians have that set's proportion of answers to prompts (means of 338 and 161 tokens, Kwon et al. 2023,
section 6.1), cut down to what two cores answer in a minute. Throughput is tokens of the answers over the time
until the last one. Static batching is our engine too: a batch lasts as long as its longest answer. It
pads no prompt, so that it is faster than a batch as a rectangle. Of few requests the longest answer alone
decides; these are enough to keep the rows full most of the time. The engine's steps are counted: if all steps
took the same time, their ratio would be that of throughput. Ratios are per round, with their median, which
passes where it is at least what `LEAST` says.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median

import torch
import transformers
from transformers import ContinuousBatchingConfig, GenerationConfig

from harness.serving.lengths import Length, log_normal
from harness.system import native
from workloads import registry
from workloads.engine.build import build
from workloads.engine.continuous_batching import BATCHINGS, Batching, Engine, Request
from workloads.engine.setup import Setup
from workloads.engine.slots import slots_of
from workloads.kernels import library
from workloads.sizes import resolve_size

Answers = list[list[int]]
LONGEST = 256
"""Positions of a row."""
LEAST = {"static": 2.5, "transformers": 1.5}
"""How many times as many tokens continuous batching is to give in the same time."""
TRANSPOSED = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
OURS = ("attention.qkv", "attention.out", "up", "down")


def theirs_of(model: torch.nn.Module, layers: int, vocab: int) -> transformers.GPT2LMHeadModel:
    """Return transformers' GPT-2 with our weights."""
    config = transformers.GPT2Config(n_layer=layers, vocab_size=vocab, attn_implementation="sdpa")
    other = transformers.GPT2LMHeadModel(config).eval()
    state = dict(model.state_dict())
    named = {"wte.weight": "token.weight", "wpe.weight": "position.weight"}
    named |= {f"ln_f.{part}": f"norm.{part}" for part in ("weight", "bias")}
    for layer in range(layers):
        for part in ("weight", "bias"):
            for i in (1, 2):
                named[f"h.{layer}.ln_{i}.{part}"] = f"blocks.{layer}.norm{i}.{part}"
            for a, b in zip(TRANSPOSED, OURS, strict=True):
                named[f"h.{layer}.{a}.{part}"] = f"blocks.{layer}.{b}.{part}"
    loaded = {
        a: state[b].T if a.endswith(tuple(f"{t}.weight" for t in TRANSPOSED)) else state[b]
        for a, b in named.items()
    }
    other.transformer.load_state_dict({k: v.contiguous() for k, v in loaded.items()}, strict=False)
    other.tie_weights()
    return other


def main() -> int:
    """Run the rounds and print a line for each side; 1 where a ratio is below its bar."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name, default in (("threads", 2), ("rounds", 3), ("requests", 200), ("slots", 16), ("layers", 4)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--vocab", type=int, default=50257)
    parser.add_argument("--sigma", type=float, default=1.0, help="of the lengths' logarithms")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    logging.disable(logging.WARNING)
    library.build_with(native.load)
    kind = registry.get("gpt")
    work = kind(
        "generate", resolve_size(kind.spec, "base", {"layers": options.layers, "vocab": options.vocab})
    )
    lengths = log_normal(
        options.requests, prompt_tokens=16, output_tokens=32, sigma=options.sigma, longest=LONGEST, seed=1
    )
    model = build(work, Setup()).model
    random = torch.Generator().manual_seed(2)
    prompts = [torch.randint(work.n("vocab"), (one.prompt_tokens,), generator=random) for one in lengths]
    other = theirs_of(model, options.layers, work.n("vocab"))

    steps: dict[str, int] = {}

    def ours(batching: Batching) -> Answers:
        engine = Engine(slots_of(work, model, options.slots, LONGEST), batching=batching)
        for i, (prompt, one) in enumerate(zip(prompts, lengths, strict=True)):
            engine.submit(Request(i, prompt, one.output_tokens))
        found: Answers = [[] for _ in prompts]
        steps[batching] = 0
        while not engine.idle:
            steps[batching] += 1
            for token in engine.step():
                found[token.request].append(token.token)
        return found

    sides: dict[str, Callable[[], Answers]] = {name: lambda b=name: ours(b) for name in BATCHINGS}  # type: ignore[misc]
    sides["transformers"] = lambda: transformers_answers(other, prompts, lengths)
    tokens = sum(one.output_tokens for one in lengths)
    rates: dict[str, list[float]] = {name: [] for name in sides}
    answers: dict[str, Answers] = {}
    for turn in range(options.rounds):
        for name in list(sides)[:: 1 if turn % 2 else -1]:
            began, used = time.perf_counter(), time.process_time()
            answers[name] = sides[name]()
            rates[name].append(tokens / (time.perf_counter() - began))
            print(
                f"{name}: {rates[name][-1]:.1f} tokens/s, {time.process_time() - used:.1f} s of CPU",
                flush=True,
            )
    same = sum(a == b for a, b in zip(answers["continuous"], answers["transformers"], strict=True))
    assert answers["continuous"] == answers["static"], "batching changed the tokens"
    print(
        f"{len(prompts)} requests, {tokens} tokens; {same} answers are those of transformers, token by token"
    )
    print(f"steps: {steps}, {steps['static'] / steps['continuous']:.2f} times as many in static batches")
    return int(missed(rates))


def missed(rates: Mapping[str, Sequence[float]]) -> bool:
    """Print a line for each side; return whether a ratio is below its bar."""
    failed = False
    for name, each in rates.items():
        ratio = [a / b for a, b in zip(rates["continuous"], each, strict=True)]
        print(f"{name:14}{median(each):9.1f} tokens/s", end="")
        if name in LEAST:
            verdict, failed = ("pass", failed) if median(ratio) >= LEAST[name] else ("FAIL", True)
            print(f"   continuous is {median(ratio):5.2f} times that: {verdict}", ratio, end="")
        print()
    return failed


def transformers_answers(
    model: transformers.GPT2LMHeadModel, prompts: list[torch.Tensor], lengths: tuple[Length, ...]
) -> Answers:
    """Answer by transformers' manager, to which requests of unlike lengths are added one by one."""
    how = GenerationConfig(do_sample=False, eos_token_id=-1, pad_token_id=0, max_new_tokens=LONGEST)
    config = ContinuousBatchingConfig(max_batch_tokens=512, num_blocks=256, block_size=32)
    found: dict[str, list[int]] = {}
    with (
        torch.no_grad(),
        model.continuous_batching_context_manager(
            generation_config=how, continuous_batching_config=config
        ) as manager,
    ):
        for i, (prompt, one) in enumerate(zip(prompts, lengths, strict=True)):
            manager.add_request(prompt.tolist(), request_id=str(i), max_new_tokens=one.output_tokens)
        while len(found) < len(prompts):
            done = manager.get_result(timeout=1)
            if done is not None and done.is_finished():
                found[done.request_id] = list(done.generated_tokens)
    return [found[str(i)] for i in range(len(prompts))]


if __name__ == "__main__":
    raise SystemExit(main())
