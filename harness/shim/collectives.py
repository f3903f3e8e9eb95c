"""Collective bandwidth through torch.distributed: gloo between processes of the CPU, NCCL between GPUs.

Each rank is a process of its own, `python -m harness.shim.collectives`; the first prints what it measured.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from harness.shim.ceiling import Ceiling, missing, rate
from harness.shim.errors import ShimError

if TYPE_CHECKING:
    import torch

BUS_SHARE: Mapping[str, Callable[[int], float]] = {
    "all_reduce": lambda n: 2 * (n - 1) / n,
    "all_gather": lambda n: (n - 1) / n,
    "reduce_scatter": lambda n: (n - 1) / n,
    "all_to_all": lambda n: (n - 1) / n,
}
"""Of the whole buffer, what crosses each rank's link: with it the rate is the link's, whatever n is."""
BACKENDS = {"cpu": "gloo", "cuda": "nccl"}
_TIMEOUT_S = 60.0
_FLOAT = 4


class CollectiveWrongError(ShimError):
    """A collective gave a result that is not the right one."""


def measure(kind: str, ranks: int, *, quick: bool = False) -> list[Ceiling]:
    """Measure the bus bandwidth of each collective over `ranks` ranks of one node.

    Args:
        kind: `cpu` or `cuda`; rank i uses GPU i.
        ranks: processes; one has nobody to talk to, which is a reason and no number.
        quick: a smaller buffer and fewer repetitions.
    """
    if ranks < 2:
        return _absent(f"a collective needs two devices or cores; here is {ranks}")
    elements = (1 << 20 if quick else 1 << 23) // ranks * ranks
    with tempfile.TemporaryDirectory() as folder:
        job = json.dumps(
            {"kind": kind, "ranks": ranks, "elements": elements, "reps": 5 if quick else 10, "folder": folder}
        )
        found = _run(job, ranks)
    if isinstance(found, str):
        return _absent(found)
    size = elements * _FLOAT
    return [
        rate(
            f"collective.{name}",
            "B/s",
            size * share(ranks),
            found[name],
            f"bus bandwidth of {BACKENDS[kind]} over {ranks} ranks, {size >> 20} MiB",
            threads=ranks,
        )
        for name, share in BUS_SHARE.items()
    ]


def _absent(reason: str) -> list[Ceiling]:
    return [missing(f"collective.{name}", "B/s", reason) for name in BUS_SHARE]


def _run(job: str, ranks: int) -> dict[str, list[int]] | str:
    """Run the ranks; return each collective's repetitions in ns, or why there are none."""
    command = [sys.executable, "-P", "-m", "harness.shim.collectives", job]
    processes = [
        subprocess.Popen(
            command,
            env={**os.environ, "JOULEMARK_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(ranks)
    ]
    deadline = time.monotonic() + _TIMEOUT_S
    try:
        ends = [p.communicate(timeout=max(0.1, deadline - time.monotonic())) for p in processes]
    except subprocess.TimeoutExpired:
        return f"no end within {_TIMEOUT_S:g} s"
    finally:
        for process in processes:
            process.kill()
            process.wait()
    for process, (_, err) in zip(processes, ends, strict=True):
        if process.returncode != 0:
            return (err.strip().splitlines() or [f"exit code {process.returncode}"])[-1][:200]
    found: dict[str, list[int]] = json.loads(ends[0][0])
    return found


def _rank(job: Mapping[str, object], rank: int) -> dict[str, list[int]]:
    """Measure as one rank: warmed up once, each repetition begun together, its result proved."""
    import torch
    import torch.distributed as dist

    kind, ranks, elements = str(job["kind"]), int(str(job["ranks"])), int(str(job["elements"]))
    torch.set_num_threads(1)
    device = torch.device(kind, rank) if kind == "cuda" else torch.device(kind)
    if kind == "cuda":
        torch.cuda.set_device(device)
    meeting = Path(str(job["folder"])) / "store"
    dist.init_process_group(BACKENDS[kind], init_method=f"file://{meeting}", rank=rank, world_size=ranks)
    found: dict[str, list[int]] = {}
    try:
        for name in BUS_SHARE:
            whole = torch.full((elements,), float(rank + 1), device=device)
            part = torch.full((elements // ranks,), float(rank + 1), device=device)
            run, result, expected = _collective(name, whole, part, ranks)
            run()
            _require(name, result, expected)
            found[name] = [_timed(run, device) for _ in range(int(str(job["reps"])))]
    finally:
        dist.destroy_process_group()
    return found


def _collective(
    name: str, whole: torch.Tensor, part: torch.Tensor, ranks: int
) -> tuple[Callable[[], object], torch.Tensor, float]:
    """Return how to run it, the tensor that it fills, and that tensor's mean after the first run."""
    import torch
    import torch.distributed as dist

    mean = (ranks + 1) / 2
    if name == "all_reduce":
        return lambda: dist.all_reduce(whole), whole, mean * ranks
    if name == "all_gather":
        return lambda: dist.all_gather_into_tensor(whole, part), whole, mean
    if name == "reduce_scatter":
        return lambda: dist.reduce_scatter_tensor(part, whole), part, mean * ranks
    out = torch.empty_like(whole)
    return lambda: dist.all_to_all_single(out, whole), out, mean


def _require(name: str, result: torch.Tensor, expected: float) -> None:
    mean = float(result.double().mean())
    if not math.isclose(mean, expected, rel_tol=1e-6):
        raise CollectiveWrongError(f"{name}: the mean of the result is {mean:g}, not {expected:g}")


def _timed(run: Callable[[], object], device: torch.device) -> int:
    import torch
    import torch.distributed as dist

    dist.barrier()
    began = time.perf_counter_ns()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter_ns() - began


if __name__ == "__main__":
    print(json.dumps(_rank(json.loads(sys.argv[1]), int(os.environ["JOULEMARK_RANK"]))))
