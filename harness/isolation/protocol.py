"""What crosses the sockets between a sweep, the fork server and a worker.

These messages are a contract between versions: `ab`, `gate` and `bisect` start the workers of other
checkouts, older and newer. A reader takes the default for what is absent and passes over what it does not
know; a writer leaves out what an older reader could not bear.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, Self, get_args

RESULT_LIMIT_BYTES = 64 * 1024 * 1024


REPLICAS = 10_000
LAUNCH = "launch"
"""The phase of a worker that has not said yet that it began: until then the harness starts it."""
Task = Literal["measure", "soak"]
WorkerKind = Literal["warm", "exec"]
Libraries = Literal["plain", "dynamo", "ranks"]
"""What a server imports before it forks."""
_BY_DYNAMO = ("train", "finetune", "prefill", "generate", "serve")
"""The modes for which torch imports its compiler: they make an optimizer, or rehearse a cache on `meta`."""


class ProtocolError(ValueError):
    """A message that is none of this protocol; the text says which field."""


@dataclass(frozen=True, slots=True)
class ReplicaSpec:
    """What a worker is to run."""

    config: Mapping[str, Any]
    """The trial's configuration, validated by the sender and again by the worker."""
    size: Mapping[str, Any]
    """The workload's size, resolved."""
    replica: int = 0
    folder: str | None = None
    """The attempt's folder, where a trace goes; None keeps none."""
    session: Mapping[str, Any] = field(default_factory=dict)
    """What is known of the session: `certificate` and `soak`."""
    task: Task = "measure"
    """`soak` where the device is only to be warmed."""
    rank: int = 0
    """Of several, set by the worker for each of its ranks."""
    raw_loop: bool = False
    """The sender makes `loop.parquet` of the numbers that the worker leaves."""

    @property
    def world(self) -> int:
        """Ranks of the trial."""
        found = self.config.get("parallel") or {}
        return _whole("config.parallel.ranks", found.get("ranks", 1), 1, 1 << 16)

    @property
    def nodes(self) -> int:
        """Nodes over which those are spread."""
        found = self.config.get("parallel") or {}
        return _whole("config.parallel.nodes", found.get("nodes", 1), 1, 1 << 16)

    @property
    def libraries(self) -> Libraries:
        """What its server has imported: the same for all that it serves, since their memory holds it."""
        if self.world > 1:
            return "ranks"
        workload, device = self.config.get("workload") or {}, self.config.get("device") or {}
        by_torch = device.get("kind") not in {"xla", "tpu"}
        return "dynamo" if workload.get("mode") in _BY_DYNAMO and by_torch else "plain"

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, without a folder where there is none."""
        plain: dict[str, Any] = {
            "config": dict(self.config),
            "size": dict(self.size),
            "replica": self.replica,
            "session": dict(self.session),
            "task": self.task,
            "rank": self.rank,
            "raw_loop": self.raw_loop,
        }
        return plain if self.folder is None else plain | {"folder": self.folder}

    @classmethod
    def from_dict(cls, message: Any) -> Self:
        """Read a specification.

        Raises:
            ProtocolError: a field is absent that has no default, or is not what it must be.
        """
        told = _mapping("spec", message)
        folder, task = told.get("folder"), told.get("task", "measure")
        if folder is not None and not isinstance(folder, str):
            raise ProtocolError("spec.folder is no text")
        if task not in get_args(Task):
            raise ProtocolError(f"spec.task is none of {', '.join(get_args(Task))}")
        return cls(
            config=_mapping("spec.config", told.get("config")),
            size=_mapping("spec.size", told.get("size")),
            replica=_whole("spec.replica", told.get("replica", 0), 0, REPLICAS - 1),
            folder=folder,
            session=_mapping("spec.session", told.get("session", {})),
            task=task,
            rank=_whole("spec.rank", told.get("rank", 0), 0, 1 << 16),
            raw_loop=told.get("raw_loop") is True,
        )


@dataclass(frozen=True, slots=True)
class Request:
    """What the fork server is asked: a replica, where its log goes, and its limits."""

    spec: ReplicaSpec
    folder: str
    worker: WorkerKind
    timeout_s: float
    memory_limit_bytes: int

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "spec": self.spec.as_dict(),
            "folder": self.folder,
            "worker": self.worker,
            "timeout_s": self.timeout_s,
            "memory_limit_bytes": self.memory_limit_bytes,
        }

    @classmethod
    def from_dict(cls, message: Any) -> Self:
        """Read a request.

        Raises:
            ProtocolError: a field is absent or not what it must be.
        """
        told = _mapping("request", message)
        folder, worker, timeout_s = told.get("folder"), told.get("worker"), told.get("timeout_s")
        if not isinstance(folder, str):
            raise ProtocolError("request.folder is no text")
        if worker not in get_args(WorkerKind):
            raise ProtocolError(f"request.worker is none of {', '.join(get_args(WorkerKind))}")
        if isinstance(timeout_s, bool) or not isinstance(timeout_s, int | float):
            raise ProtocolError("request.timeout_s is no number")
        if not math.isfinite(timeout_s) or timeout_s <= 0:
            raise ProtocolError("request.timeout_s is not above zero")
        limit = _whole("request.memory_limit_bytes", told.get("memory_limit_bytes"), 1, 1 << 62)
        spec = ReplicaSpec.from_dict(told.get("spec"))
        return cls(spec, folder, "warm" if worker == "warm" else "exec", float(timeout_s), limit)


def _mapping(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ProtocolError(f"{name} is no mapping")
    return value


def _whole(name: str, value: Any, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ProtocolError(f"{name} is no whole number from {least} to {most}")
    return value


@dataclass
class Outcome:
    """What became of a worker, as plain data that crosses a socket."""

    phase: str = LAUNCH
    result: dict[str, Any] | None = None
    exit_code: int | None = None
    signal: str | None = None
    timed_out: bool = False
    aborted: bool = False
    oom_killed: bool = False
    pid: int | None = None
    wall_s: float = 0.0
    user_s: float = 0.0
    system_s: float = 0.0
    max_rss_bytes: int = 0
    involuntary_switches: int = 0
    killed: int = 0
    log_tail: str = ""
    problem: str | None = None
    """What was wrong with the worker's own messages, or with the server, if anything."""
    harness: bool = False
    """The harness or its host failed, before or beside the work: nothing is known of the configuration."""
    errno: int | None = None
    """What the operating system said to the server, where that is why the harness failed."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain data; `harness` and `errno` only where there is one: older readers know neither."""
        plain = asdict(self)
        return {key: plain[key] for key in plain if key not in {"harness", "errno"} or plain[key]}

    @classmethod
    def from_dict(cls, message: Any) -> Self:
        """Read an outcome; fields of a later version are passed over.

        Raises:
            ProtocolError: it is no mapping.
        """
        known = {each.name for each in fields(cls)}
        return cls(**{key: value for key, value in _mapping("outcome", message).items() if key in known})
