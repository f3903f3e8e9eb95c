"""Train by each strategy, a process for each device, beside the same steps on one.

    python -m torch.distributed.run --standalone --nproc-per-node N strategies.py cuda

Rank 0 prints, as JSON, both lists of losses by the strategy's name; N is 2, 4 or 8.
"""

from __future__ import annotations

import json
import os
import sys

import torch
import torch.distributed as dist

from workloads import registry
from workloads.engine.job import prepare
from workloads.engine.setup import ALONE, Chosen, Setup
from workloads.parallel.base import Ranks
from workloads.parallel.registry import STRATEGIES
from workloads.transform import resolve_settings

CASES = {
    2: {
        "ddp": "gpt", "zero1": "gpt", "fsdp": "gpt", "tensor": "gpt", "pipeline": "gpt", "sequence": "gpt",
        "local_sgd": "gpt", "expert": "moe", "tables": "dlrm", "async_sgd": "gpt",
    },
    4: {"hsdp": "gpt", "hybrid": "gpt"},
    8: {"hybrid_3d": "gpt"},
}  # fmt: skip
SETTINGS = {"local_sgd": {"every": 1}}
STEPS = 5
"""The first batch of the ring comes again in the last one."""


def losses(name: str, device: str, chosen: Chosen, ranks: Ranks) -> list[float]:
    """Return the whole batch's losses of a few steps of SGD with a large rate."""
    kind = registry.get(name)
    size = dict(kind.spec.sizes["tiny"]) | {"batch": 8}
    setup = Setup(device=device, optimizer="sgd", lr=0.5, parallel=chosen, ranks=ranks)
    job = prepare(kind("train", size), setup)
    for index in range(STEPS):
        job.step(index, lambda _mark: None)
    return job.losses()


def main(kind: str) -> None:
    """Run the cases for as many ranks as there are."""
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    place = torch.device(f"{kind}:{rank}" if kind == "cuda" else kind)
    if kind == "cuda":
        torch.cuda.set_device(place)
        torch.zeros(1, device=place)  # FSDP would choose a device of its own for a process without one
    dist.init_process_group("nccl" if kind == "cuda" else "gloo", device_id=place if kind == "cuda" else None)
    found = {}
    for name, workload in CASES[world].items():
        settings = resolve_settings(STRATEGIES.get(name).spec, SETTINGS.get(name, {}))
        told = losses(workload, str(place), Chosen(name, settings), Ranks(rank, world))
        found[name] = [losses(workload, str(place), Chosen(), ALONE), told]
    if rank == 0:
        print(json.dumps(found))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1])
