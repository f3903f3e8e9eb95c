"""What strategies send in a step, counted call by call, against the closed forms: up to 8 ranks, and 64.

For 64 ranks torch's fake process group takes the others' place. It exchanges nothing, so that two things are
answered for it: the shapes that a pipeline's stages tell one another before their first step, and the group
that asynchronous SGD makes for itself. Its server, who must know from whom a gradient came, runs on 8 ranks.
"""

from __future__ import annotations

from collections import defaultdict

import pytest
import torch
import torch.distributed as dist
import torch.distributed.fsdp  # slow to import, as is the next: once here, not in every rank
import torch.distributed.tensor.parallel
from torch.distributed.pipelining import stage as pipelining
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from workloads.parallel.base import Ranks

KINDS = {
    "allreduce_": "all_reduce",
    "all_reduce": "all_reduce",
    "all_gather_into_tensor": "all_gather",
    "reduce_scatter_tensor": "reduce_scatter",
    "_allgather_base_": "all_gather",
    "_reduce_scatter_base_": "reduce_scatter",
    "alltoall_base_": "all_to_all",
    "broadcast_": "broadcast",
    "send": "send",
    "recv_": "recv",
    "recv_any_source_": "recv",
}


class Counted(TorchDispatchMode):
    """Counts collectives and the bytes of their tensors: a gather's result, any other's operand."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: dict[str, int] = defaultdict(int)
        self.bytes: dict[str, int] = defaultdict(int)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Count one operation, and run it; a DTensor's operations come again as those of its parts."""
        if DTensor in types:
            return NotImplemented
        name = func._opname
        if func.namespace in {"c10d", "_c10d_functional"} and (kind := KINDS.get(name)) is not None:
            # Bases give the result first, then what is reduced or exchanged.
            operand = args[1] if name in {"_reduce_scatter_base_", "alltoall_base_"} else args[0]
            times = args[1] if name == "all_gather_into_tensor" else 1  # of equal parts, this is one
            self.calls[kind] += 1
            self.bytes[kind] += times * sum(
                leaf.nbytes for leaf in tree_leaves(operand) if isinstance(leaf, torch.Tensor)
            )
        return func(*args, **(kwargs or {}))


SET_UP = {"pipeline": 1, "hybrid_3d": 1, "hybrid": 1, "tensor": 1, "fsdp": 1, "hsdp": 1}
"""Steps until all are alike; where DDP sets its buckets up, that is two."""


def counted(job, strategy):
    """Return what a step sends and what was predicted, both by kind."""
    before = SET_UP.get(strategy, 2)
    for index in range(before):
        job.step(index, lambda _name: None)
    with Counted() as seen:
        job.step(before, lambda _name: None)
    return seen.bytes, seen.calls, job.evidence().get("traffic", {})


def held(bytes_by_kind, calls_by_kind, predicted):
    """Assert that the prediction has the same kinds, bytes and, where it gives them, calls."""
    assert {kind: one["bytes"] for kind, one in predicted.items()} == dict(bytes_by_kind)
    for kind, one in predicted.items():
        if one["calls"] is not None:
            assert one["calls"] == calls_by_kind[kind], kind


WIDE = {"batch": 64, "seq": 128, "positions": 128, "heads": 64, "layers": 2}
"""Every dimension divides by 64 ranks."""
LLAMA = WIDE | {"kv_heads": 64, "inner": 128}
SEQUENCE = {"sequence": True}
DEEP = WIDE | {"layers": 64}
LINE = {"micro_batches": 64}
CUBE = {"tensor": 4, "pipeline": 4, "micro_batches": 4}
FAKE = [
    ("gpt", "ddp", WIDE, {}),
    ("gpt", "local_sgd", WIDE, {"every": 1}),
    ("gpt", "zero1", WIDE, {}),
    ("resnet", "ddp", {"batch": 64}, {}),
    ("gpt", "fsdp", WIDE, {}),
    ("gpt", "fsdp", WIDE, {"reshard_after_forward": False}),
    ("bert", "fsdp", {"vocab": 500, "batch": 64}, {}),
    ("gpt", "hsdp", WIDE, {"group": 8}),
    ("gpt", "tensor", WIDE, {}),
    ("llama", "tensor", LLAMA, {}),
    ("gpt", "tensor", WIDE, SEQUENCE),
    ("llama", "tensor", LLAMA | {"vocab": 257}, SEQUENCE),
    ("bert", "tensor", {"seq": 128, "heads": 64, "batch": 4}, SEQUENCE),
    ("gpt", "hybrid", WIDE, {"tensor": 8, "reshard_after_forward": False}),
    ("llama", "hybrid", LLAMA, {"tensor": 8}),
    ("llama", "hybrid", LLAMA, {"tensor": 8} | SEQUENCE),
    ("moe", "expert", {"batch": 64, "experts": 64}, {}),
    ("dlrm", "tables", {"batch": 64, "tables": 64}, {}),
    ("gpt", "sequence", WIDE, {}),
    ("llama", "sequence", WIDE | {"kv_heads": 64}, {}),
    ("bert", "sequence", {"seq": 128, "heads": 64, "batch": 4}, {}),
]
FAKE_BY_RANK = [
    (0, "gpt", "pipeline", DEEP, LINE),
    (1, "gpt", "pipeline", DEEP, LINE),
    (63, "gpt", "pipeline", DEEP, LINE),
    (5, "gpt", "pipeline", DEEP | {"layers": 128}, LINE | {"schedule": "interleaved"}),
    (0, "gpt", "hybrid_3d", WIDE | {"layers": 4}, CUBE),
    (21, "gpt", "hybrid_3d", WIDE | {"layers": 8}, CUBE),
    (63, "gpt", "hybrid_3d", WIDE | {"layers": 4}, CUBE),
    (63, "llama", "hybrid_3d", LLAMA | {"layers": 4}, CUBE),
    (9, "llama", "hybrid", LLAMA, {"tensor": 8}),
    (1, "gpt", "async_sgd", WIDE | {"batch": 63}, {}),
]
"""Those that differ from rank to rank."""


@pytest.mark.parametrize(
    ("rank", "name", "strategy", "size", "settings"), [(0, *case) for case in FAKE] + FAKE_BY_RANK
)
def test_a_plan_for_64_ranks_sends_what_the_closed_form_says(
    on_ranks, job_of, monkeypatch, rank, name, strategy, size, settings
):
    """One process takes one of 64 ranks' step; its collectives are counted and do nothing."""
    wrapped = DistributedDataParallel.__init__

    def with_hook(self, *args, **options):
        # The fake group's work has no result, which the built-in reduction wants.
        wrapped(self, *args, **options)
        self.register_comm_hook(None, reduce)

    def reduce(_state, bucket):
        dist.all_reduce(bucket.buffer())
        done = torch.futures.Future()
        done.set_result(bucket.buffer())
        return done

    def state(stage, source):
        # What a stage tells its neighbours: a micro-batch's states, or their gradients.
        copies = 64 // CUBE["tensor"] // CUBE["pipeline"] if strategy == "hybrid_3d" else 1
        rows = size["batch"] // copies // settings["micro_batches"]
        told = torch.empty(rows, size["seq"], 128, requires_grad=True)
        metas = pipelining.extract_tensor_metas((told,))
        if source < stage.stage_index:
            return pipelining._StageForwardMeta(forward_metas=metas)
        return pipelining._StageBackwardMeta(backward_metas=metas)

    monkeypatch.setattr(DistributedDataParallel, "__init__", with_hook)
    monkeypatch.setattr(pipelining.PipelineStage, "_recv_meta", state)

    def work(_ranks):
        dist.destroy_process_group()
        dist.init_process_group("fake", store=FakeStore(), rank=rank, world_size=64)
        if strategy == "async_sgd":
            monkeypatch.setattr(dist, "new_group", lambda **_options: dist.group.WORLD)
        mode = "finetune" if name == "bert" else "train"
        job = job_of(name, strategy, Ranks(rank, 64), mode=mode, size=size, settings=settings)
        return counted(job, strategy)

    (found,) = on_ranks(1, work)
    assert found[2]
    held(*found)


REAL = {
    2: [
        ("gpt", "ddp", {}),
        ("gpt", "ddp", {"accumulate": 2}),
        ("resnet", "ddp", {"accumulate": 2}),
        ("gpt", "zero1", {}),
        ("gpt", "fsdp", {"accumulate": 2}),
        ("llama", "tensor", {"accumulate": 2}),
        ("llama", "tensor", {"accumulate": 2, "size": {"vocab": 257}, "settings": SEQUENCE}),
        ("gpt", "pipeline", {"settings": {"schedule": "gpipe"}}),
        ("gpt", "pipeline", {"settings": {"schedule": "interleaved"}}),
        ("gpt", "pipeline", {"settings": {"schedule": "zero_bubble"}}),
        ("llama", "pipeline", {"settings": {"schedule": "1f1b"}}),
        ("gpt", "async_sgd", {}),
        ("dlrm", "tables", {}),
    ],
    4: [
        ("gpt", "hsdp", {}),
        ("gpt", "hybrid", {}),
        ("gpt", "hybrid", {"settings": {"tensor": 4}}),
        ("llama", "hybrid", {"accumulate": 2, "settings": SEQUENCE}),
        ("gpt", "hybrid_3d", {}),
        ("llama", "hybrid_3d", {}),
    ],
    8: [
        ("gpt", "async_sgd", {"size": {"batch": 7}}),
        ("gpt", "pipeline", {"size": {"batch": 8, "layers": 8}, "settings": {"micro_batches": 8}}),
        ("gpt", "hybrid_3d", {}),
        ("gpt", "hybrid", {"settings": {"tensor": 4}}),
    ],
}


@pytest.mark.parametrize("world", REAL)
def test_ranks_send_what_the_closed_form_says(on_ranks, job_of, world):
    """Ranks on gloo, each held to its own prediction."""

    def work(ranks):
        return [
            counted(job_of(name, strategy, ranks, **options), strategy)
            for name, strategy, options in REAL[world]
        ]

    for found in on_ranks(world, work):
        for one, case in zip(found, REAL[world], strict=True):
            assert one[2], case
            held(*one)


def test_frozen_weights_are_not_sent(on_ranks, job_of):
    """LLaVA trains without its vision tower."""
    pytest.importorskip("transformers")
    cases = [("zero1", {}), ("local_sgd", {"every": 1})]

    def work(ranks):
        return [counted(job_of("llava", name, ranks, settings=settings), name) for name, settings in cases]

    for found in on_ranks(2, work):
        for one in found:
            held(*one)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp", "tensor"])
def test_one_rank_sends_nothing(on_ranks, job_of, strategy):
    """Alone, as the first of a scaling sweep, it tells of no traffic."""
    ((_, _, told),) = on_ranks(1, lambda ranks: counted(job_of("gpt", strategy, ranks), strategy))
    assert told == {}


def test_the_rows_that_experts_exchange_add_up(on_ranks, job_of):
    """What one rank exchanges depends on the router, what all do does not."""
    found = on_ranks(4, lambda ranks: counted(job_of("moe", "expert", ranks), "expert"))
    for kind in ("all_to_all", "all_reduce"):
        predicted = found[0][2][kind]
        assert sum(one[0][kind] for one in found) == 4 * predicted["bytes"]
        assert predicted["calls"] in {None, found[0][1][kind]}
