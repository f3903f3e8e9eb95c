"""Split matrices: equal losses and tokens, halved weights and caches, refusals; in two dimensions too."""

from __future__ import annotations

import pytest
import torch
import torch.distributed.fsdp  # slow to import, as is the next: once here, not in every rank
import torch.distributed.tensor.parallel

from workloads import compatibility, registry
from workloads.base import TRAINING
from workloads.engine.continuous_batching import Request
from workloads.engine.serve import Serving, prepare_engines
from workloads.engine.setup import Chosen, Setup
from workloads.parallel.registry import STRATEGIES
from workloads.sizes import resolve_size
from workloads.transform import Cell, resolve_settings

SEQUENCE = {"sequence": True}
SPECS = [spec for name in registry.names() if "tensor" in (spec := registry.get(name).spec).traits]
TRAINED = [(spec.name, [mode for mode in spec.modes if mode in TRAINING][-1], {}) for spec in SPECS]
TRAINED += [("gpt", "train", SEQUENCE), ("llama", "train", SEQUENCE), ("bert", "train", SEQUENCE)]
TWO_DIMENSIONS = [("gpt", {}), ("llama", SEQUENCE), ("mlp", {})]
RATES = {"vit": 0.1}
"""Those that a larger rate drives to where any rounding grows."""


def test_split_matrices_give_the_single_processs_losses(on_ranks, losses_of, single_losses):
    """Whoever says `tensor`: heads, inner layers, gates, a vocabulary; the sequence between or not."""
    assert {name for name, _, _ in TRAINED} >= {"gpt", "llama", "bert", "vit", "mlp", "translation"}

    def work(ranks):
        return [
            losses_of(name, "tensor", ranks, mode=mode, settings=settings, lr=RATES.get(name, 0.5))
            for name, mode, settings in TRAINED
        ]

    for found in on_ranks(2, work):
        for (name, mode, _), losses in zip(TRAINED, found, strict=True):
            expected = single_losses(name, mode=mode, lr=RATES.get(name, 0.5))
            assert losses == pytest.approx(expected, rel=1e-6), name


def test_split_and_sharded_in_two_dimensions_gives_the_single_processs_losses(
    on_ranks, losses_of, single_losses
):
    """Two groups of two ranks: the groups share the samples, the ranks of a group the matrices."""

    def work(ranks):
        return [losses_of(name, "hybrid", ranks, settings=settings) for name, settings in TWO_DIMENSIONS]

    for found in on_ranks(4, work):
        for (name, _), losses in zip(TWO_DIMENSIONS, found, strict=True):
            assert losses == pytest.approx(single_losses(name), rel=1e-6), name


@pytest.mark.parametrize("name", ["gpt", "llama"])
def test_split_models_generate_the_single_processs_tokens(on_ranks, job_of, name):
    """Greedily and sampled: the same tokens from half the weights and half the cache on each rank."""
    kinds = [{"top_k": 1}, {"temperature": 0.7, "top_k": 8}]
    size = {"new_tokens": 6, "layers": 2}

    def generate(job):
        job.step(1, lambda _mark: None)
        return job.output().tolist()

    whole = job_of(name, mode="generate", size=size, top_k=1)
    expected = [generate(job_of(name, mode="generate", size=size, **options)) for options in kinds]

    def work(ranks):
        jobs = [job_of(name, "tensor", ranks, mode="generate", size=size, **options) for options in kinds]
        tokens = [generate(job) for job in jobs]
        return tokens, jobs[0].kv_cache_bytes, jobs[0].weights_bytes, jobs[0].parameters, jobs[0].units(0)

    for rank, (tokens, cache, weights, parameters, units) in enumerate(on_ranks(2, work)):
        assert tokens == expected
        assert cache == whole.kv_cache_bytes / 2
        assert weights < 0.6 * whole.weights_bytes
        assert parameters == whole.parameters
        assert units == (whole.units(0) if rank == 0 else type(units)(0))


def test_a_split_engine_serves_the_single_processs_tokens(on_ranks):
    """Mixed lengths side by side, read in parts: equal tokens on every rank, and half the cache."""
    kind = registry.get("llama")
    workload = kind("serve", resolve_size(kind.spec, "tiny", {"layers": 2}))
    serving = Serving(batching="continuous", slots=3, context=24, chunk=4, queue=9)
    random = torch.Generator().manual_seed(1)
    prompts = [torch.randint(workload.n("vocab"), (n,), generator=random) for n in (5, 9, 3, 8)]

    def served(setup):
        made = prepare_engines(workload, setup, serving)
        (engine,) = made.engines
        for number, prompt in enumerate(prompts):
            engine.submit(Request(number, prompt, 4 + number))
        tokens = []
        while not engine.idle:
            tokens += [(token.request, token.token) for token in engine.step()]
        return tokens, made.cache_bytes

    def work(ranks):
        return served(Setup(top_k=1, parallel=Chosen("tensor", {"sequence": False}), ranks=ranks))

    expected, nbytes = served(Setup(top_k=1))
    assert len(expected) == 4 + 5 + 6 + 7
    for tokens, own in on_ranks(2, work):
        assert tokens == expected
        assert own == nbytes / 2


def test_split_models_decode_from_their_own_heads(on_ranks, job_of):
    """One step from a cache: the single process's logits, and the cache of a rank's heads alone."""
    whole = job_of("llama", mode="decode")
    whole.step(0, lambda _mark: None)

    def work(ranks):
        job = job_of("llama", "tensor", ranks, mode="decode")
        job.step(0, lambda _mark: None)
        return job.output().tolist(), job.kv_cache_bytes

    for logits, cache in on_ranks(2, work):
        torch.testing.assert_close(torch.tensor(logits), whole.output())
        assert cache == whole.kv_cache_bytes / 2


@pytest.mark.parametrize(
    ("strategy", "workload", "options", "reason"),
    [
        ("tensor", "resnet", {}, "needs what resnet lacks: tensor"),
        ("tensor", "gpt", {"ranks": 8}, "heads 4 does not divide by 8 ranks"),
        ("tensor", "llama", {"ranks": 4}, "kv_heads 2 does not divide by 4 ranks"),
        ("tensor", "gpt", {"mode": "decode", "parallel_settings": SEQUENCE}, "leave sequence off"),
        ("tensor", "vit", {"parallel_settings": SEQUENCE}, "vit cannot split its sequence"),
        ("hybrid", "gpt", {"ranks": 3}, "3 ranks do not form groups of 2"),
        ("hybrid", "gpt", {"ranks": 16}, "batch 4 does not divide into 8 equal shares"),
    ],
)
def test_what_cannot_be_split_is_refused_with_its_reason(strategy, workload, options, reason):
    """Heads, batches and sequences that do not divide are refused before anything starts."""
    spec = registry.get(workload).spec
    settings = resolve_settings(STRATEGIES.get(strategy).spec, options.pop("parallel_settings", {}))
    cell = Cell(
        workload=spec, size=resolve_size(spec, "tiny", {}), parallel=strategy, parallel_settings=settings,
        **{"mode": "train", "ranks": 2} | options,
    )  # fmt: skip
    assert reason in (compatibility.refusal(cell) or "")
