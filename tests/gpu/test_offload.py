"""Offload on a GPU: the same losses, and less of the device's memory."""

from __future__ import annotations

import pytest

from workloads import registry
from workloads.engine.job import prepare
from workloads.engine.setup import Chosen, Setup
from workloads.parallel.base import Ranks
from workloads.parallel.registry import STRATEGIES
from workloads.transform import resolve_settings

pytestmark = pytest.mark.gpu


@pytest.fixture
def group(cuda_torch):
    """Be a process group of one rank, as a trial with a strategy is."""
    dist = cuda_torch.distributed
    dist.init_process_group("nccl", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("what", ["optimizer", "weights"])
def test_offload_learns_the_same_in_less_device_memory(cuda_torch, group, what):
    """Three AdamW steps; between them neither state nor, with them offloaded, weights lie on the device."""
    kind = registry.get("gpt")
    size = dict(kind.spec.sizes["tiny"]) | {"hidden": 512, "layers": 6, "batch": 2}
    settings = resolve_settings(STRATEGIES.get("offload").spec, {"what": what})
    found = []
    for chosen in (Chosen(), Chosen("offload", settings)):
        cuda_torch.cuda.empty_cache()
        before = cuda_torch.cuda.memory_allocated()
        job = prepare(kind("train", size), Setup(device="cuda:0", parallel=chosen, ranks=Ranks()))
        for index in range(4):
            job.step(index, lambda _mark: None)
        found.append((job.losses(), cuda_torch.cuda.memory_allocated() - before, job.weights_bytes))
        del job
    (plain, held, weights), (offloaded, held_offloaded, _) = found
    assert offloaded == pytest.approx(plain, rel=1e-4)
    assert held - held_offloaded >= 1.9 * weights  # AdamW's state is twice the weights
