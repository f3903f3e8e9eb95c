"""Compressed models over ranks: the losses of one process with the same compressor, and the same outputs."""

from __future__ import annotations

import peft  # noqa: F401 - slow to import: once here, not in every rank
import pytest
import torch
import torch.distributed.fsdp  # slow to import: once here, not in every rank

from workloads import compatibility, registry
from workloads.compress.registry import COMPRESSORS, PLAIN, SHARED
from workloads.engine.setup import Chosen
from workloads.transform import Cell, resolve_settings

SMALL = {"layers": 2, "seq": 16, "hidden": 64, "heads": 2, "batch": 2}
SETTINGS = {"svd": {"rank": 8}}


def chosen(name):
    """Return a compressor with its defaults, or smaller."""
    return Chosen(name, resolve_settings(COMPRESSORS.get(name).spec, SETTINGS.get(name, {})))


@pytest.mark.parametrize(("strategy", "names"), [("ddp", SHARED), ("fsdp", PLAIN)])
def test_a_compressed_model_trains_over_ranks_as_in_one_process(on_ranks, losses_of, strategy, names):
    """Masks, codebooks and added weights get the gradient of the whole batch."""

    def work(ranks):
        return [losses_of("gpt", strategy, ranks, compress=chosen(name), size=SMALL) for name in names]

    for found in on_ranks(2, work, timeout_s=100):
        for name, losses in zip(names, found, strict=True):
            expected = losses_of("gpt", compress=chosen(name), size=SMALL)
            assert losses == pytest.approx(expected, rel=1e-5), name


def test_replicas_of_a_quantised_model_serve_their_shares(on_ranks, job_of):
    """Each rank answers its part of the requests with the model of one process."""

    def work(ranks):
        job = job_of("mlp", "replicated", ranks, mode="infer", compress=chosen("int8_weight"))
        job.step(0, lambda _mark: None)
        return job.output()

    whole = job_of("mlp", mode="infer", compress=chosen("int8_weight"))
    whole.step(0, lambda _mark: None)
    torch.testing.assert_close(torch.cat(on_ranks(2, work)), whole.output(), rtol=1e-4, atol=1e-5)


def test_what_shares_no_gradient_is_refused_over_ranks():
    """Copies on one device have gradients that no wrapper sees."""
    spec = registry.get("gpt").spec
    name = "aggregate_gradients"
    cell = Cell(
        spec,
        "train",
        spec.sizes["tiny"],
        compress=name,
        compress_settings=chosen(name).settings,
        parallel="ddp",
        ranks=2,
    )
    assert compatibility.refusal(cell) == "ddp does not work with compress aggregate_gradients"
