"""The steps of each mode: what one iteration launches on the device.

A step reads nothing back from the device; its result is left in `last`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from workloads.base import Batch, GenerativeWorkload, UnsupportedError, Workload
from workloads.counting.storage import tree_bytes
from workloads.engine.generation import beam_search, generate, sample
from workloads.engine.precision import weight_dtype
from workloads.training import Mark
from workloads.unrun import UnrunError, advice, unrun

if TYPE_CHECKING:
    from workloads.engine.setup import Setup

Run = Callable[[int, Mark], torch.Tensor]
GRAPH_REHEARSALS = 3


def inference_step(
    workload: Workload,
    model: nn.Module,
    ring: Sequence[Batch],
    last: list[torch.Tensor],
    setup: Setup,
) -> tuple[Callable[[int, Mark], None], int]:
    """Return the step of a mode without gradients, and the bytes of its cache."""
    run: Run
    cache_bytes, dtype = 0, weight_dtype(setup.precision, training=False) or torch.float32
    if workload.mode == "infer":
        run = lambda index, _mark: workload.infer(model, ring[index % len(ring)])  # noqa: E731
    elif not isinstance(workload, GenerativeWorkload):
        raise UnsupportedError(f"{workload.spec.name} has no mode {workload.mode}")
    elif workload.mode == "prefill":
        run, cache_bytes = _prefill(workload, model, ring, dtype)
    elif workload.mode == "decode":
        run, cache_bytes = _decode(workload, model, ring[0])
    else:
        run, cache_bytes = _generate(workload, model, ring, setup, dtype)
    if workload.mode != "decode":  # rehearsed with the whole model
        cache_bytes //= setup.strategy().cache_parts
    if setup.optimize.cuda_graphs:
        run = graphed(run, 1 if workload.mode == "decode" else len(ring))

    def step(index: int, mark: Mark) -> None:
        with torch.inference_mode():
            output: Any = run(index, mark)
        if not isinstance(output, torch.Tensor) and (what := unrun(output)) is not None:
            raise UnrunError(advice(what, f"{workload.spec.name}.{workload.mode}"))
        last[:] = [output]

    return step, cache_bytes


def graphed(run: Run, turns: int) -> Run:
    """Return `run` captured in one CUDA graph for each of its `turns`, all of them at the first call.

    A replay writes the same output tensor again. The graphs work in the same memory, as eager steps do, so a
    step's result lasts until the next step.
    """
    captured: list[tuple[torch.cuda.CUDAGraph, torch.Tensor]] = []

    def replay(index: int, mark: Mark) -> torch.Tensor:
        if not captured:
            pool = torch.cuda.graph_pool_handle()
            captured.extend(_capture(partial(run, turn, mark), pool) for turn in range(turns))
        graph, output = captured[index % turns]
        graph.replay()
        return output

    return replay


def _capture(run: Callable[[], torch.Tensor], pool: Any) -> tuple[torch.cuda.CUDAGraph, torch.Tensor]:
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # libraries set themselves up here, which a capture does not allow
        for _ in range(GRAPH_REHEARSALS):
            run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    # NCCL's watchdog asks the driver about its own work at any time, which must not end the capture.
    with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
        output = run()
    return graph, output


def _prefill(
    workload: GenerativeWorkload, model: nn.Module, ring: Sequence[Batch], dtype: torch.dtype
) -> tuple[Run, int]:
    prompt = ring[0]["tokens"].shape[1]

    def run(index: int, _mark: Mark) -> torch.Tensor:
        return workload.prefill(model, ring[index % len(ring)], prompt)[0]

    return run, rehearsed_cache_bytes(workload, dtype, ring[0], prompt)


def _decode(workload: GenerativeWorkload, model: nn.Module, batch: Batch) -> tuple[Run, int]:
    """One token a step behind the same context: the cache is rewound, so every step is the same work."""
    context = batch["tokens"].shape[1]
    tokens = batch["tokens"][:, -1].contiguous()
    with torch.inference_mode():
        _, cache = workload.prefill(model, batch, context + 1)

    def run(_index: int, _mark: Mark) -> torch.Tensor:
        return workload.decode(model, tokens, workload.rewind(cache, context))[0]

    return run, tree_bytes(cache)


def _generate(
    workload: GenerativeWorkload,
    model: nn.Module,
    ring: Sequence[Batch],
    setup: Setup,
    dtype: torch.dtype,
) -> tuple[Run, int]:
    new_tokens, beams = workload.n("new_tokens"), int(workload.size.get("beams", 1))
    generator = torch.Generator(ring[0]["tokens"].device)

    def choose(logits: torch.Tensor) -> torch.Tensor:
        return sample(logits, temperature=setup.temperature, top_k=setup.top_k, generator=generator)

    def search(index: int, mark: Mark) -> torch.Tensor:
        return beam_search(workload, model, ring[index % len(ring)], new_tokens, beams, mark)

    def run(index: int, mark: Mark) -> torch.Tensor:
        generator.manual_seed(workload.seed + index)  # a request's tokens depend on its index alone
        return generate(workload, model, ring[index % len(ring)], new_tokens, choose, mark)

    capacity = ring[0]["tokens"].shape[1] + new_tokens - 1
    cache_bytes = rehearsed_cache_bytes(workload, dtype, ring[0], capacity, beams)
    return (run if beams == 1 else search), cache_bytes


def rehearsed_cache_bytes(
    workload: GenerativeWorkload, dtype: torch.dtype, batch: Batch, capacity: int, beams: int = 1
) -> int:
    """Return the bytes of the cache that a step allocates, from a prefill on the `meta` device."""
    with torch.device("meta"):
        shadow = workload.build_model().to(dtype).eval()
    with torch.inference_mode():
        _, cache = workload.prefill(shadow, {k: v.to("meta") for k, v in batch.items()}, capacity)
        if beams > 1:
            rows = torch.arange(len(batch["tokens"]), device="meta").repeat_interleave(beams)
            cache = workload.reorder(cache, rows)
    return tree_bytes(cache)
