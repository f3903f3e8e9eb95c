"""Strategies that share the samples: equal losses, weights and states spread, refusals."""

from __future__ import annotations

import pytest
import torch.distributed.fsdp
import torch.distributed.optim  # noqa: F401 - both are slow to import: once here, not in every rank

from workloads import compatibility, registry
from workloads.base import UnsupportedError
from workloads.optimize import Optimize
from workloads.parallel.registry import STRATEGIES
from workloads.sizes import resolve_size
from workloads.transform import Cell, resolve_settings

SPREAD = {
    2: [
        ("gpt", "zero1", "train", {}),
        ("gpt", "fsdp", "train", {"reshard_after_forward": False}),
        ("bert", "fsdp", "train", {}),
        ("translation", "fsdp", "train", {}),
        ("unet", "fsdp", "train", {}),
        ("moe", "fsdp", "train", {}),
    ],
    4: [("llama", "hsdp", "train", {"group": 2}), ("skipgram", "zero1", "train", {})],
}
UNEVEN_WORDS = ("bert", "translation")
"""Their losses are means over words, of which the ranks have unequal numbers."""
RATES = {"fasterrcnn": 0.02, "unet": 0.05}
"""Those that a larger rate drives to where any rounding grows."""


def sharing() -> list[tuple[str, str]]:
    """Return every workload, with each mode, that ranks may train together to the same losses."""
    specs = [registry.get(name).spec for name in registry.names()]
    return [
        (spec.name, mode)
        for spec in specs
        if "samples" in spec.traits and not {"batch_norm", "jax"} & spec.traits
        for mode in spec.modes
        if mode in ("train", "finetune") and spec.library is None and spec.name != "user"
    ]


def test_every_workload_that_shares_samples_gives_the_single_processs_losses(
    on_ranks, losses_of, single_losses
):
    """Who says `samples` keeps it: the ranks' mean loss is the whole batch's, and so are its gradients."""
    cases = sharing()
    assert {name for name, _ in cases} >= {"gpt", "mlp", "lstm", "dlrm", "fasterrcnn", *UNEVEN_WORDS}

    def work(ranks):
        return [losses_of(name, "ddp", ranks, mode=mode, lr=RATES.get(name, 0.5)) for name, mode in cases]

    for found in on_ranks(2, work, timeout_s=120):
        for (name, mode), losses in zip(cases, found, strict=True):
            expected = single_losses(name, mode=mode, lr=RATES.get(name, 0.5))
            assert losses == pytest.approx(expected, rel=1e-6), name


@pytest.mark.parametrize("world", SPREAD)
def test_spread_states_and_weights_give_the_single_processs_losses(on_ranks, losses_of, single_losses, world):
    """Optimizer states, weights, and weights within groups: none changes what is learnt."""

    def work(ranks):
        return [losses_of(n, how, ranks, mode=m, settings=s) for n, how, m, s in SPREAD[world]]

    for found in on_ranks(world, work):
        for (name, _, mode, _), losses in zip(SPREAD[world], found, strict=True):
            assert losses == pytest.approx(single_losses(name, mode=mode), rel=1e-6), name


def test_in_fp16_all_ranks_skip_the_same_steps(on_ranks, losses_of, single_losses):
    """The averaged gradients overflow on every rank or on none, so the scaled losses stay together."""
    options = {"precision": "fp16", "lr": 0.1}

    def work(ranks):
        return [losses_of("gpt", how, ranks, **options) for how in ("ddp", "zero1")]

    for found in on_ranks(2, work):
        for losses in found:
            assert losses == pytest.approx(single_losses("gpt", **options), rel=1e-3)


def test_one_kernel_for_spread_weights_is_torchs_to_refuse(on_ranks, job_of):
    """SGD in one kernel over sharded weights is refused when asked for; AdamW has such a kernel."""
    fused = Optimize(update="fused")

    def work(ranks):
        with pytest.raises(UnsupportedError, match="no SGD in one kernel"):
            job_of("gpt", "fsdp", ranks, optimizer="sgd", lr=0.1, optimize=fused)
        job_of("gpt", "fsdp", ranks, optimizer="adamw", lr=0.1, optimize=fused).step(0, lambda _mark: None)

    on_ranks(2, work)


@pytest.mark.parametrize("name", UNEVEN_WORDS)
def test_micro_batches_with_unequal_numbers_of_words_add_up_to_the_batch(single_losses, name):
    """Every word weighs the same, in whichever micro-batch it is."""
    assert single_losses(name, accumulate=2) == pytest.approx(single_losses(name), rel=1e-6)


def test_batch_norm_over_fewer_samples_is_near_the_single_process(on_ranks, losses_of, single_losses):
    """Each rank normalises by its own samples: the first loss is within 5 % of the whole batch's."""
    (found, _) = on_ranks(2, lambda ranks: losses_of("resnet", "ddp", ranks))
    whole = single_losses("resnet")
    assert found[0] == pytest.approx(whole[0], rel=0.05)
    assert found[0] != pytest.approx(whole[0], rel=1e-6)


def test_what_a_rank_holds_is_what_its_strategy_says(on_ranks, job_of):
    """Weights and AdamW's states in bytes: whole on each rank, or the rank's part; parameters are all."""
    whole = job_of("gpt")
    whole.step(0, lambda _mark: None)

    def work(ranks):
        told = {}
        for name in ("ddp", "zero1", "fsdp"):
            job = job_of("gpt", name, ranks)
            job.step(0, lambda _mark: None)
            told[name] = (job.weights_bytes, job.optimizer_bytes(), job.parameters, job.units(0))
        return told

    first, second = on_ranks(2, work)
    for name, weights_share, states_share in (("ddp", 1, 1), ("zero1", 1, 2), ("fsdp", 2, 2)):
        weights, states = first[name][0], first[name][1] + second[name][1]
        assert weights == pytest.approx(whole.weights_bytes / weights_share, rel=0.01), name
        assert states == pytest.approx(whole.optimizer_bytes() * 2 / states_share, rel=0.01), name
        assert first[name][2] == second[name][2] == whole.parameters
        assert first[name][3].tokens + second[name][3].tokens == whole.units(0).tokens
        # Each rank reads every weight, wherever it is kept.
        assert first[name][3].least_bytes > whole.weights_bytes


@pytest.mark.parametrize(
    ("strategy", "options", "reason"),
    [
        ("ddp", {"ranks": 3}, "batch 4 does not divide into 3 equal shares"),
        ("fsdp", {"ranks": 2, "accumulate": 4}, "2 equal shares of 4 micro-batches each"),
        ("zero1", {"mode": "decode"}, "no meaning in mode decode"),
        ("hsdp", {"ranks": 3}, "3 ranks do not form groups of 2"),
        ("replicated", {"mode": "decode", "ranks": 3}, "batch 4 does not divide into 3"),
    ],
)
def test_what_cannot_be_shared_is_refused_with_its_reason(strategy, options, reason):
    """Ranks, micro-batches and modes that do not fit are refused before anything starts."""
    spec = registry.get("gpt").spec
    cell = Cell(
        workload=spec, size=resolve_size(spec, "tiny", {}), parallel=strategy,
        parallel_settings=resolve_settings(STRATEGIES.get(strategy).spec, {}),
        **{"mode": "train", "ranks": 2} | options,
    )  # fmt: skip
    assert reason in (compatibility.refusal(cell) or "")


def test_replicas_serve_their_own_requests_with_the_single_processs_tokens(on_ranks, job_of):
    """The ranks' outputs in order are the whole batch's, and so are their units."""
    whole = job_of("gpt", mode="generate", top_k=1)
    whole.step(1, lambda _mark: None)

    def work(ranks):
        job = job_of("gpt", "replicated", ranks, mode="generate", top_k=1)
        job.step(1, lambda _mark: None)
        return job.output().tolist(), job.units(1).tokens, job.kv_cache_bytes

    (first, first_tokens, cache), (second, second_tokens, _) = on_ranks(2, work)
    assert [*first, *second] == whole.output().tolist()
    assert first_tokens + second_tokens == whole.units(1).tokens
    assert cache == whole.kv_cache_bytes / 2
