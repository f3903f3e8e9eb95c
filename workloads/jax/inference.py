"""The steps of each mode without gradients, as programs of XLA: what one iteration launches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import torch

from workloads.base import GenerativeWorkload, UnsupportedError, Workload
from workloads.jax.compiles import CompileWatch, compile_ahead
from workloads.jax.stateless import Arrays, Stateless
from workloads.training import Mark

Run = Callable[[int, Mark], tuple[jax.Array, Any]]
"""A step: its result, and every output that a fence has to see."""


@dataclass
class Model:
    """What every step reads: the model, its weights where they lie, and the batches."""

    workload: Workload
    stateless: Stateless
    weights: Arrays
    ring: Sequence[Arrays]
    watch: CompileWatch
    statics: dict[str, Any] = field(default_factory=dict)
    """What a cache holds beside arrays, by the program that made it."""

    def call(self, run: Callable[..., Any], weights: Arrays, *arguments: Any) -> Any:
        """Run a method of the workload over the model."""
        return self.stateless.call(run, {}, weights, *arguments)[0]

    def turn(self, index: int) -> Arrays:
        """Return the batch of a step."""
        return self.ring[index % len(self.ring)]


def inference_step(model: Model, *, temperature: float, top_k: int | None) -> tuple[Run, int]:
    """Return the step of a mode without gradients, and the bytes of its cache."""
    workload = model.workload
    if workload.mode == "infer":
        return _infer(model), 0
    if not isinstance(workload, GenerativeWorkload):
        raise UnsupportedError(f"{workload.spec.name} has no mode {workload.mode}")
    if workload.mode == "prefill":
        return _prefill(model)
    if workload.mode == "decode":
        return _decode(model)
    if int(workload.size.get("beams", 1)) > 1:
        raise UnsupportedError("device=xla has no search by beams")
    return _generate(model, temperature, top_k)


def _infer(model: Model) -> Run:
    def forward(weights: Arrays, batch: Arrays) -> Any:
        return model.call(model.workload.infer, weights, batch)

    program = model.watch.add(compile_ahead("infer", forward, model.weights, model.ring[0]))

    def run(index: int, _mark: Mark) -> tuple[jax.Array, Any]:
        made = program.call(model.weights, model.turn(index))
        return made, made

    return run


def _read_prompt(model: Model, capacity: int) -> Callable[[Arrays, Arrays], Any]:
    """Return the function that reads a prompt: logits, and the arrays of a new cache."""

    def prefill(weights: Arrays, batch: Arrays) -> Any:
        def run(module: Any, batch: Any) -> Any:
            logits, cache = model.workload.prefill(module, batch, capacity)  # type: ignore[attr-defined]
            arrays, model.statics["prefill"] = _apart(cache)
            return logits, arrays

        return model.call(run, weights, batch)

    return prefill


def _prefill(model: Model) -> tuple[Run, int]:
    prompt = model.ring[0]["tokens"].shape[1]
    example = (model.weights, model.ring[0])
    program = model.watch.add(compile_ahead("prefill", _read_prompt(model, prompt), *example))

    def run(index: int, _mark: Mark) -> tuple[jax.Array, Any]:
        made = program.call(model.weights, model.turn(index))
        return made[0], made

    return run, _bytes(jax.eval_shape(_read_prompt(model, prompt), *example)[1])


def _decode(model: Model) -> tuple[Run, int]:
    """One token a step behind the same context.

    A cache of keys and values is written in place and handed on: the next step writes the same slot again. A
    recurrent state is left as it was.
    """
    workload, batch = model.workload, model.ring[0]
    assert isinstance(workload, GenerativeWorkload)
    context, hands_on = batch["tokens"].shape[1], "kv_cache" in workload.spec.traits
    example = (model.weights, batch)
    read = model.watch.add(compile_ahead("prefill", _read_prompt(model, context + 1), *example))
    cache = read.call(*example)[1]
    tokens = batch["tokens"][:, -1]

    def decode(weights: Arrays, tokens: jax.Array, cache: Any) -> Any:
        def run(module: Any, tokens: Any, arrays: Any) -> Any:
            rewound = workload.rewind(_joined(arrays, model.statics["prefill"]), context)
            logits, after = workload.decode(module, tokens, rewound)
            return logits, _apart(after)[0] if hands_on else []

        return model.call(run, weights, tokens, cache)

    donate = (2,) if hands_on else ()
    program = compile_ahead("decode", decode, model.weights, tokens, cache, donate=donate)
    model.watch.add(program)
    held, cache_bytes = [cache], _bytes(cache)

    def run(_index: int, _mark: Mark) -> tuple[jax.Array, Any]:
        logits, written = program.call(model.weights, tokens, held[0])
        if hands_on:
            held[0] = written
        return logits, (logits, written)

    return run, cache_bytes


def _generate(model: Model, temperature: float, top_k: int | None) -> tuple[Run, int]:
    """Two programs: the prompt and its first token, and all tokens after it, unrolled."""
    workload, batch = model.workload, model.ring[0]
    assert isinstance(workload, GenerativeWorkload)
    new_tokens = workload.n("new_tokens")
    read = _read_prompt(model, batch["tokens"].shape[1] + new_tokens - 1)

    def first(weights: Arrays, batch: Arrays, key: jax.Array) -> Any:
        logits, cache = read(weights, batch)
        return choose(logits, key, temperature, top_k), cache

    def rest(weights: Arrays, token: jax.Array, cache: Any, key: jax.Array) -> jax.Array:
        keys = jax.random.split(key, new_tokens)

        def run(module: Any, token: Any, arrays: Any) -> Any:
            made, kept = [token], _joined(arrays, model.statics["prefill"])
            for turn in range(1, new_tokens):
                logits, kept = workload.decode(module, made[-1], kept)
                drawn = choose(model.stateless.unwrapped(logits), keys[turn], temperature, top_k)
                made.append(token.apply_jax(lambda _old, new=drawn: new))
            return torch.stack(made, 1)

        tokens: jax.Array = model.call(run, weights, token, cache)
        return tokens

    key = jax.random.key(workload.seed)
    begin = model.watch.add(compile_ahead("first token", first, model.weights, batch, key))
    token, cache = jax.eval_shape(first, model.weights, batch, key)
    go_on = compile_ahead("further tokens", rest, model.weights, token, cache, key)
    model.watch.add(go_on)
    keys = [jax.random.key(workload.seed + turn) for turn in range(len(model.ring))]

    def run(index: int, mark: Mark) -> tuple[jax.Array, Any]:
        drawn = keys[index % len(keys)]
        token, cache = begin.call(model.weights, model.turn(index), drawn)
        jax.block_until_ready(token)  # a first token is one that could be shown
        mark("first_token")
        tokens = go_on.call(model.weights, token, cache, drawn)
        return tokens, tokens

    return run, _bytes(cache)


def choose(logits: jax.Array, key: jax.Array, temperature: float, top_k: int | None) -> jax.Array:
    """Draw one token for each row of logits (B, V) by softmax(logits / temperature) over its `top_k` best."""
    if top_k == 1:
        return logits.argmax(-1).astype(jnp.int32)
    scaled = logits.astype(jnp.float32) / temperature
    if top_k is not None and top_k < scaled.shape[-1]:
        smallest = jax.lax.top_k(scaled, top_k)[0][:, -1:]
        scaled = jnp.where(scaled < smallest, -jnp.inf, scaled)
    return jax.random.categorical(key, scaled, axis=-1).astype(jnp.int32)


def _apart(cache: Any) -> tuple[list[Any], Any]:
    """Take a cache apart: its tensors, and how to join them to what it holds beside them."""
    leaves, tree = torch.utils._pytree.tree_flatten(cache)  # noqa: SLF001 - torch's own trees know named tuples
    tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
    return tensors, ([None if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves], tree)


def _joined(tensors: Sequence[Any], static: Any) -> Any:
    others, tree = static
    left = iter(tensors)
    return torch.utils._pytree.tree_unflatten(  # noqa: SLF001
        [next(left) if other is None else other for other in others], tree
    )


def _bytes(tree: Any) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
