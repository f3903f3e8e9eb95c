"""Data by pipeline by tensor: equal losses from eight ranks, and from four in each pair of dimensions."""

from __future__ import annotations

import pytest
import torch.distributed.pipelining
import torch.distributed.tensor.parallel  # noqa: F401 - both are slow to import: once here, not in each rank

from workloads import compatibility, registry
from workloads.parallel.registry import STRATEGIES
from workloads.sizes import resolve_size
from workloads.transform import Cell, resolve_settings


@pytest.mark.parametrize(("world", "name", "mode"), [(8, "gpt", "train"), (4, "bert", "finetune")])
def test_three_dimensions_give_the_single_processs_losses(
    on_ranks, losses_of, single_losses, world, name, mode
):
    """Copies, stages and split matrices at once: tied ends meet, and the copies' gradients are averaged."""
    for losses in on_ranks(world, lambda ranks: losses_of(name, "hybrid_3d", ranks, mode=mode)):
        assert losses == pytest.approx(single_losses(name, mode=mode), rel=1e-6)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"ranks": 6}, "6 ranks do not form copies of 2 stages by 2"),
        ({"ranks": 32}, "batch 4 does not divide into 8 equal shares"),
        ({"ranks": 16}, "batch 1 does not split into 2 equal micro-batches"),
        ({"ranks": 8, "size": {"heads": 1}}, "heads 1 does not divide by 2 ranks"),
    ],
)
def test_ranks_that_form_no_cube_are_refused(options, reason):
    """Copies, shares and micro-batches must divide."""
    spec, size = registry.get("gpt").spec, options.pop("size", {})
    settings = resolve_settings(STRATEGIES.get("hybrid_3d").spec, {})
    cell = Cell(
        workload=spec, mode="train", size=resolve_size(spec, "tiny", size), parallel="hybrid_3d",
        parallel_settings=settings, **options,
    )  # fmt: skip
    assert reason in (compatibility.refusal(cell) or "")
