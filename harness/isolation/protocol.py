"""What crosses the sockets between a sweep, the fork server and a worker."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

RESULT_LIMIT_BYTES = 64 * 1024 * 1024


@dataclass
class Outcome:
    """What became of a worker, as plain data that crosses a socket."""

    phase: str = "start"
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
    """What was wrong with the worker's own messages, if anything."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)
