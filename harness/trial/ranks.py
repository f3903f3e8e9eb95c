"""Several ranks of one trial: N processes by torch's elastic agent, and how they agree.

The worker becomes the agent, which forks the ranks: it has imported torch and opened no device. The ranks'
output reaches the worker's, each line with its rank; the first failure that is nobody else's is the trial's.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from harness.config.placement import shares_device
from harness.isolation.protocol import ReplicaSpec
from harness.system import process
from harness.system.nodes import Nodes, SlurmNodes
from harness.timing.peers import ALONE, Peers
from harness.trial import hosts

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup
    from torch.distributed.launcher.api import LaunchConfig

    from harness.config.models import Config
    from harness.devices.base import Device

_T = TypeVar("_T")
Run = Callable[[ReplicaSpec, Callable[[str], None]], dict[str, Any]]
"""`harness.trial.replica.run_replica`: takes its specification, and whom to tell its phases."""
_SILENT_S = 1.0
"""A rank that failed stays this long, so that one which died without a word is found first: its peers fail
because of it."""
_LINE_BYTES = 64 * 1024


class RankPeers(Peers):
    """The ranks of a trial; they agree over a gloo group of their own, which no step uses."""

    def __init__(self, group: ProcessGroup, rank: int, world: int) -> None:
        self._group = group
        self.rank, self.world = rank, world

    def agree(self, value: _T) -> _T:
        """Broadcast rank 0's value."""
        import torch.distributed as dist

        box = [value]
        dist.broadcast_object_list(box, src=0, group=self._group)
        return box[0]

    def gather(self, value: _T) -> list[_T]:
        """Gather every rank's value on every rank."""
        import torch.distributed as dist

        boxes: list[Any] = [None] * self.world
        dist.all_gather_object(boxes, value, group=self._group)
        return boxes

    def barrier(self) -> None:
        """Wait for every rank."""
        import torch.distributed as dist

        dist.barrier(self._group)


def preload() -> None:
    """Import what strategies need, so that no rank takes seconds for it."""
    import torch._dynamo
    import torch.distributed.fsdp
    import torch.distributed.optim
    import torch.distributed.pipelining
    import torch.distributed.tensor.parallel  # noqa: F401


def join(config: Config, device: Device, rank: int) -> Peers:
    """Set up torch's default process group for a trial with a strategy; return the rank's peers.

    The device is open. A peer that hangs is left to the trial's own deadline, which tells that it hung.
    """
    if config.parallel.name == "none" or device.engine == "jax":  # a mesh is one process
        return ALONE
    import torch
    import torch.distributed as dist

    world = config.parallel.ranks
    limit = timedelta(seconds=config.run.timeout_s)
    store = dist.HashStore() if world == 1 else None  # type: ignore[attr-defined]
    backend = "nccl" if device.kind == "cuda" and not shares_device(config) else "gloo"
    place = torch.device(device.torch_device) if backend == "nccl" else None
    os.environ.setdefault("GLOO_SOCKET_IFNAME", hosts.interface())
    dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=limit, device_id=place)
    return RankPeers(dist.new_group(backend="gloo", timeout=limit), rank, world)


def leave() -> None:
    """Leave the process group, where there is one."""
    import torch.distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()


def run(
    spec: ReplicaSpec,
    run_replica: Run,
    on_phase: Callable[[str], None],
    world: int,
    nodes: Callable[[int], Nodes] = SlurmNodes,
) -> dict[str, Any]:
    """Run a replica in `world` ranks forked from this process; return rank 0's result, or the failure.

    Args:
        spec: What `run_replica` takes; each rank gets it with its own `rank`.
        run_replica: `harness.trial.replica.run_replica`.
        on_phase: Called with rank 0's phases, in rank 0's process.
        world: Ranks, of which those of the other nodes are forked there.
        nodes: Of a number of them, the nodes of a trial on several.
    """
    if spec.nodes == 1:
        return _agent(spec, run_replica, on_phase, world)
    there = nodes(spec.nodes)
    board = hosts.open_board()
    meeting = hosts.Meeting(there.address(), board.port, there.names)
    request = {"spec": spec.as_dict(), "meeting": meeting.as_dict()}
    command = [sys.executable, "-P", "-m", "harness.worker", "join"]
    started = there.start(command, {**os.environ, "JOULEMARK_REQUEST": json.dumps(request)})
    try:
        result = _agent(spec, run_replica, on_phase, world, meeting)
        if result["status"] == "ok":
            return result
        time.sleep(_SILENT_S)  # an agent elsewhere may still have to tell of a rank that died without a word
        told = [result] if result["status"] == "hung" else [*hosts.told_failures(board), result]
        return {key: value for key, value in told[0].items() if key not in {"silent", "rank"}}
    finally:
        for one in started:
            one.terminate()


def join_from(request: Mapping[str, Any], run_replica: Run, node: int) -> None:
    """Run this node's ranks of a trial whose first node sent the request.

    Args:
        request: from `run`, there.
        run_replica: `harness.trial.replica.run_replica`.
        node: which node of the trial this is, from 1.
    """
    spec = ReplicaSpec.from_dict(request["spec"])
    _agent(spec, run_replica, _nothing, spec.world, hosts.Meeting.of_node(request["meeting"], node))


def _agent(
    spec: ReplicaSpec,
    run_replica: Run,
    on_phase: Callable[[str], None],
    world: int,
    meeting: hosts.Meeting | None = None,
) -> dict[str, Any]:
    """Run this node's ranks; return rank 0's result where it is here, or the failure."""
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import elastic_launch

    # Counting devices in another way would open the driver here, and break every rank forked from here.
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
    failures_read, failures_write = os.pipe()
    oom_before = process.oom_kills()
    here, node = (world, 0) if meeting is None else (world // len(meeting.names), meeting.node)
    with (
        tempfile.TemporaryDirectory(prefix=".agent-", dir=spec.folder) as folder,
        _prefixed(node * here, here) as outputs,
        _watched(spec, meeting, world, folder) as watch,
    ):
        launch = _launch(here, folder, meeting)
        given = (spec, run_replica, on_phase, outputs, failures_write, folder)
        try:
            results = elastic_launch(launch, _rank)(*given)
        except ChildFailedError as error:
            rank, failure = error.get_first_failure()
            os.close(failures_write)
            if watch is not None and watch.hung is not None:
                return {"status": "hung", "reason": f"no end before run.timeout_s: {watch.hung}"}
            failures = _failures(failures_read)
            if any(one["rank"] == rank for one in failures):
                return failures[0]
            silent = _silent(rank, failure.exitcode, meeting, oom=process.oom_kills() > oom_before)
            if watch is not None and not watch.ended:
                hosts.tell_failure(hosts.board(), silent)
            return silent
    result: dict[str, Any] = results.get(0) or {"status": "ok"}
    return result


def _launch(here: int, folder: str, meeting: hosts.Meeting | None) -> LaunchConfig:
    """Return how the agent starts its ranks, alone or with those of other nodes, in their order."""
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.launcher.api import LaunchConfig

    if meeting is None:
        meets: dict[str, Any] = {"rdzv_backend": "c10d", "rdzv_endpoint": "localhost:0"}
    else:
        meets = {
            "rdzv_backend": "static",
            "rdzv_endpoint": f"{meeting.address}:{meeting.port}",
            "rdzv_configs": {"rank": meeting.node, "timeout": hosts.MEETING_S},
        }
    launch = LaunchConfig(
        min_nodes=1 if meeting is None else len(meeting.names),
        max_nodes=1 if meeting is None else len(meeting.names),
        nproc_per_node=here,
        logs_specs=DefaultLogsSpecs(log_dir=folder),
        run_id=f"ranks-{os.getpid()}" if meeting is None else "joulemark",
        local_addr="localhost" if meeting is None else None,
        max_restarts=0,
        start_method="fork",
        shutdown_timeout=2,
        **meets,
    )
    launch.numa_options = None  # a rank may use the processors that the trial may
    return launch


@contextlib.contextmanager
def _watched(
    spec: ReplicaSpec, meeting: hosts.Meeting | None, world: int, folder: str
) -> Iterator[hosts.Watch | None]:
    """Look after ranks on several nodes; those on one are the worker's own deadline's."""
    if meeting is None:
        yield None
        return
    limit_s = float(spec.config["run"]["timeout_s"])
    os.environ.update(meeting.environment())
    watch = hosts.Watch(meeting, world, folder, time.monotonic() + hosts.asked_after(limit_s))
    watch.start()
    try:
        yield watch
    finally:
        watch.stop()


def place_of(device: str) -> str:
    """Return a device's name among those of a trial's nodes: with its node, where there are several."""
    node = os.environ.get(hosts.NODE_NAME)
    return device if node is None else f"{node}/{device}"


def _rank(
    spec: ReplicaSpec,
    run_replica: Run,
    on_phase: Callable[[str], None],
    outputs: Sequence[int],
    failures: int,
    folder: str,
) -> dict[str, Any] | None:
    """Run one rank in its own process; return rank 0's result."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)  # the agent's would wait for the interpreter
    process.die_with_parent()
    rank = int(os.environ["RANK"])
    for target in (1, 2):
        os.dup2(outputs[int(os.environ["LOCAL_RANK"])], target)
    several = hosts.BOARD in os.environ
    if several:
        hosts.show_where_on_signal(folder)
    result = run_replica(replace(spec, rank=rank), on_phase if rank == 0 else _nothing)
    sys.stdout.flush()
    sys.stderr.flush()
    if result["status"] == "ok":
        return result if rank == 0 else None
    failure = {**result, "rank": rank, "reason": f"{_named(rank)}: {result.get('reason')}"}
    os.write(failures, json.dumps(failure).encode() + b"\n")
    if several:
        hosts.tell_failure(hosts.board(), failure)
    time.sleep(_SILENT_S)
    os._exit(1)


def _named(rank: int) -> str:
    node = os.environ.get(hosts.NODE_NAME)
    return f"rank {rank}" if node is None else f"rank {rank} on {node}"


def _nothing(_phase: str) -> None:
    """Only rank 0 tells its phases."""


def _failures(fd: int) -> list[dict[str, Any]]:
    """Return what ranks told of their failures, the first one first."""
    with os.fdopen(fd, "rb") as pipe:
        os.set_blocking(fd, False)
        data = pipe.read() or b""
    return [json.loads(line) for line in data.splitlines()]


def _silent(rank: int, code: int, meeting: hosts.Meeting | None, *, oom: bool) -> dict[str, Any]:
    """Return the failure of a rank that died without a word."""
    who = f"rank {rank}" if meeting is None else f"rank {rank} on {meeting.name}"
    if code < 0:
        name = signal.Signals(-code).name
        memory = oom and name == "SIGKILL"
        return {
            "silent": True,
            "status": "oom" if memory else "crashed",
            "reason": f"{who}: killed by {name}" + (" because memory ran out" if memory else ""),
        }
    return {"silent": True, "status": "crashed", "reason": f"{who}: exited with code {code}"}


@contextlib.contextmanager
def _prefixed(first: int, count: int) -> Iterator[list[int]]:
    """Give each rank from `first` on a pipe to print to, and print its lines here, each behind its rank."""
    pipes = [os.pipe() for _ in range(count)]
    pump = threading.Thread(target=_pump, args=([read for read, _ in pipes], first), daemon=True)
    pump.start()
    try:
        yield [write for _, write in pipes]
    finally:
        for _, write in pipes:
            os.close(write)
        pump.join(1.0)  # a process that escaped may hold a pipe open


def _pump(reads: Sequence[int], first: int) -> None:
    held = dict.fromkeys(reads, b"")
    with selectors.DefaultSelector() as selector:
        for fd in reads:
            selector.register(fd, selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select():
                data = os.read(key.fd, _LINE_BYTES)
                text = held[key.fd] + data
                lines, _, rest = text.rpartition(b"\n")
                if rest and (not data or len(rest) > _LINE_BYTES):
                    lines, rest = text, b""
                held[key.fd] = rest
                if lines:
                    prefix = b"[rank %d] " % (first + reads.index(key.fd))
                    sys.stdout.buffer.write(prefix + lines.replace(b"\n", b"\n" + prefix) + b"\n")
                    sys.stdout.buffer.flush()
                if not data:
                    selector.unregister(key.fd)
