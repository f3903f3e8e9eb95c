"""Strategies by name; other packages add theirs through the entry point `joulemark.strategies`."""

from __future__ import annotations

from workloads.parallel.base import Strategy
from workloads.plugins import classes

BUILT_IN: dict[str, str] = {
    "ddp": "workloads.parallel.ddp:DataParallel",
    "zero1": "workloads.parallel.zero1:Zero1",
    "fsdp": "workloads.parallel.fsdp:FullyShardedDataParallel",
    "hsdp": "workloads.parallel.fsdp:HybridSharded",
    "tensor": "workloads.parallel.tensor:TensorParallel",
    "hybrid": "workloads.parallel.hybrid:Hybrid",
    "hybrid_3d": "workloads.parallel.cube:Cube",
    "replicated": "workloads.parallel.replicated:Replicated",
    "pipeline": "workloads.parallel.pipeline:Pipeline",
    "sequence": "workloads.parallel.sequence:Sequence",
    "expert": "workloads.parallel.expert:Expert",
    "tables": "workloads.parallel.tables:Tables",
    "async_sgd": "workloads.parallel.async_sgd:AsyncSGD",
    "local_sgd": "workloads.parallel.local_sgd:LocalSGD",
    "task": "workloads.parallel.task:Task",
    "group": "workloads.parallel.group:Group",
    "offload": "workloads.parallel.offload:Offload",
    "mesh": "workloads.parallel.mesh:Mesh",
}
STRATEGIES = classes(Strategy, "joulemark.strategies", BUILT_IN)
