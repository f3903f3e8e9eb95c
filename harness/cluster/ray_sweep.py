"""A sweep on a Ray cluster: each block is a task in a placement group of its own; the records judge."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.cluster.blocks import Spread
from harness.config.cluster import RayConfig
from harness.execution.ledger import Ledger
from harness.system.allocation import JOB, NODE, SCHEDULER
from harness.system.errors import ResourceError, UsageError
from harness.system.interrupts import own_signals

_LOOK_S = 10.0
_RETRIES = 3
"""How often Ray starts a block again whose node or worker died."""
_END_S = 30.0
_PR_SET_PDEATHSIG = 1
_OF_THE_NODE = (
    "CUDA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "ONEAPI_DEVICE_SELECTOR",
)
"""What a block's environment takes of Ray's: which devices are its. Ray's OMP_NUM_THREADS is not among them:
how many threads a trial has is the trial's configuration."""


@dataclass
class RaySweep:
    """One sweep, from the first block's start to the last one's end."""

    spread: Spread
    config: RayConfig
    config_dirs: Sequence[str] = ()
    note: Callable[[str], None] = lambda _text: None
    _groups: dict[Any, Any] = field(default_factory=dict, init=False)

    def run(self) -> Ledger:
        """Run the blocks that have trials left, and return what the disk then holds.

        Raises:
            UsageError: Ray is not installed, there is no cluster, or no node has what a block takes.
            KeyboardInterrupt: after the blocks have recorded their replicas in flight and ended.
        """
        ledger = self.spread.ledger()
        left = self.spread.left(ledger)
        if left:
            if any(trial.config.parallel.nodes > 1 for trials in left.values() for trial in trials):
                raise UsageError("parallel.nodes: a trial on several nodes needs run.on=slurm")
            self.spread.store.check_writable()
            self.spread.keep_plan(ledger)
            with _connected(self.config) as ray:
                self._blocks(ray, list(left))
            ledger = self.spread.ledger()
        self.spread.keep_plan(ledger)
        return ledger

    def _blocks(self, ray: Any, blocks: Sequence[int]) -> None:
        asked = {"CPU": float(self.config.cpus)}
        asked |= {"GPU": float(self.config.gpus)} if self.config.gpus else {}
        asked |= {self.config.resource: 1.0} if self.config.resource else {}
        _require_a_node(ray.nodes(), asked)
        jobs = self.spread.jobs("ray", str(os.getpid()), blocks)
        jobs.write(self.spread.store, self.spread.plan.sweep)
        tasks = {self._start(ray, asked, block): block for block in blocks}
        self.note(f"{len(tasks)} block{'s' * (len(tasks) != 1)} handed to Ray; Ctrl-C ends them")
        try:
            while tasks:
                ended, _ = ray.wait(list(tasks), num_returns=1, timeout=_LOOK_S)
                for task in ended:
                    self._ended(ray, task, tasks.pop(task))
        except KeyboardInterrupt:
            for task in tasks:
                ray.cancel(task)
            ray.wait(list(tasks), num_returns=len(tasks), timeout=_END_S)
            raise

    def _start(self, ray: Any, asked: Mapping[str, float], block: int) -> Any:
        from ray.util.placement_group import placement_group
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        group = placement_group([dict(asked)], strategy="STRICT_PACK")
        more = {name: n for name, n in asked.items() if name not in {"CPU", "GPU"}}
        run = ray.remote(
            max_retries=_RETRIES,
            num_cpus=asked["CPU"],
            num_gpus=asked.get("GPU", 0),
            resources=more,
            scheduling_strategy=PlacementGroupSchedulingStrategy(group),
        )(run_block)
        words = [*self.spread.command(self.config_dirs), "--block", f"{block}/{self.spread.of}"]
        task = run.remote(words, self.spread.environment(), block, os.getcwd())  # noqa: PTH109
        self._groups[task] = group
        return task

    def _ended(self, ray: Any, task: Any, block: int) -> None:
        from ray.util.placement_group import remove_placement_group

        name = f"block {block}/{self.spread.of}"
        try:
            node, code, said = ray.get(task)
        except ray.exceptions.RayError as error:
            self.note(f"{name}: Ray gave up, {str(error).splitlines()[0][:200]}")
        else:
            words = f"ended on {node[:8]}" if code in (0, 1) else f"ended with {code} on {node[:8]}: {said}"
            self.note(f"{name} {words}")
        remove_placement_group(self._groups.pop(task))


def run_block(
    command: Sequence[str], environment: Mapping[str, str], block: int, folder: str
) -> tuple[str, int, str]:
    """Run a block in this task of Ray; return the node, the exit code and the last line that it said.

    A task that is cancelled or whose process dies ends the block as Ctrl-C does.
    """
    import ray

    context = ray.get_runtime_context()
    node = context.get_node_id()
    mine = {name: os.environ[name] for name in _OF_THE_NODE if name in os.environ}
    named = {SCHEDULER: "ray", JOB: f"{context.get_job_id()}_{block}", NODE: node}
    child = subprocess.Popen(
        list(command), cwd=folder, env={**environment, **mine, **named}, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        preexec_fn=_end_with_parent,  # noqa: PLW1509 - it calls the kernel and nothing else
    )  # fmt: skip
    try:
        _, said = child.communicate()
    except BaseException:
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.communicate(timeout=_END_S)
        raise
    return node, child.returncode, said.strip().splitlines()[-1][:300] if said.strip() else ""


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


@contextlib.contextmanager
def _connected(config: RayConfig) -> Any:
    try:
        import ray
    except ImportError:
        raise UsageError("run.on=ray needs the extra: pip install 'joulemark[ray]'") from None
    mine = not ray.is_initialized()
    if mine:
        try:
            with own_signals():  # Ray's own handler of SIGTERM would end this command with its blocks running
                ray.init(address=config.address or "auto", log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError) as error:
            raise ResourceError(f"run.ray.address: no Ray cluster is reached: {error}") from error
    try:
        yield ray
    finally:
        if mine:
            ray.shutdown()


def _require_a_node(nodes: Sequence[Mapping[str, Any]], asked: Mapping[str, float]) -> None:
    """Make sure that a block fits a node as it is when nothing runs there.

    Raises:
        UsageError: none has it.
    """
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    if not any(all(has.get(name, 0) >= n for name, n in asked.items()) for has in alive):
        words = ", ".join(f"{n:g} {name}" for name, n in asked.items())
        raise UsageError(f"run.ray: none of the cluster's {len(alive)} nodes has {words}")
