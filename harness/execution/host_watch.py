"""Look at the host before measuring, wait for quiet where asked, and choose how the workers' threads wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from harness.config.models import Config
from harness.records.schema import Record
from harness.system.busiest import Busy, busiest
from harness.system.contention import Contention, look, uses_of_others
from harness.system.host_counters import HostCounters, read_counters
from harness.system.threads import resolve_wait

_LOOK_S = 1.0


@dataclass
class HostWatch:
    """What others use of this host, as far as it is known by now.

    Teams of threads that spin at their barriers lose most of their speed beside others' work, and those that
    sleep lose some on an idle host (docs/method.md, section 2). `device.wait=auto` therefore sleeps exactly
    while the host is busy: by a look before the first replica, then by what each replica saw.
    """

    note: Callable[[str], None] = lambda _text: None
    look: Callable[[float, HostCounters | None], Contention] = look
    busiest: Callable[[], Sequence[Busy]] = busiest
    now_s: Callable[[], float] = time.monotonic
    how_to_wait: str = "run.quiet_wait_s="
    """What the user writes before a number of seconds to wait for quiet."""
    busy: bool = field(default=False, init=False)
    _since: HostCounters | None = field(default_factory=read_counters, init=False)
    """Read when the command began, so that planning is part of the look."""

    def before(self, quiet_wait_s: float = 0.0, on_wait: Callable[[], None] = lambda: None) -> bool:
        """Look for a second; wait for quiet up to `quiet_wait_s` seconds. Return whether the host is busy.

        One line names who uses what, and the remedy.
        """
        began = self.now_s()
        seen = self.look(_LOOK_S, self._since)
        self._since = None
        self.busy = seen.busy
        if not self.busy:
            return False
        remedy = f"close them, or wait for quiet with {self.how_to_wait}600"
        if quiet_wait_s:
            remedy = f"waiting up to {quiet_wait_s:g} s for quiet"
        self.note(f"{busy_sentence(seen, self.busiest())}; {remedy}")
        while self.busy and self.now_s() - began < quiet_wait_s:
            on_wait()
            self.busy = self.look(_LOOK_S, None).busy
        if not self.busy:
            self.note("the host is quiet now")
        elif quiet_wait_s:
            self.note(f"the host stayed busy for {quiet_wait_s:g} s: measuring beside it")
        return self.busy

    def after(self, record: Record) -> None:
        """Take what a replica saw of the host."""
        seen = record.evidence.get("contention")
        if isinstance(seen, dict):
            self.busy = uses_of_others(seen)

    def wait_policy(self, config: Config) -> str:
        """Return how the threads of the next replica's worker wait: as asked for, else by the host."""
        return resolve_wait(config.device.wait, busy=self.busy)


def busy_sentence(seen: Contention, most: Sequence[Busy]) -> str:
    """Return one sentence on who uses the host."""
    assert seen.others_cpus is not None
    names = ", ".join(f"{b.name} ({b.pid}) {b.cpus:.1f}" for b in most if b.mine)
    return f"other processes use {seen.others_cpus:.1f} of {seen.cpus} CPUs{f': {names}' if names else ''}"
