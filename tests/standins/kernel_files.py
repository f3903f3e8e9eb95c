"""Scripted trees of the kernel's files, whose truth is known."""

import os

from harness.system import host_counters
from harness.system.host_counters import read_counters

S = 10**9
TICK = os.sysconf("SC_CLK_TCK")


class Tree:
    """A machine of two CPUs as /proc, /sys and the control groups show it."""

    def __init__(self, root, monkeypatch):
        self.proc, self.sys, self.cgroup = root / "proc", root / "sys", root / "cgroup"
        self.now = 0
        self.pid = os.getpid()
        monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1})
        monkeypatch.setattr(host_counters.time, "monotonic_ns", lambda: self.now)
        self.put(self.sys / "online", "0-1\n")
        self.put(self.proc / "self" / "cgroup", "0::/\n")
        self.stat(0)
        self.process(self.pid, 0)

    @staticmethod
    def put(path, text):
        """Write one of the kernel's files."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def process(self, pid, seconds, *, ended_children=0.0, children=()):
        """A process that used so many CPU seconds by the coarse clock."""
        fields = ["S"] + ["0"] * 10 + [round(seconds * TICK), 0, round(ended_children * TICK), 0] + ["0"] * 4
        self.put(self.proc / str(pid) / "stat", f"{pid} (a) name) {' '.join(map(str, fields))}\n")
        self.put(self.proc / str(pid) / "task" / str(pid) / "children", " ".join(map(str, children)))

    def thread(self, tid, ran_s, waited_s, pid=None):
        """A thread's schedstat."""
        path = self.proc / str(pid or self.pid) / "task" / str(tid) / "schedstat"
        self.put(path, f"{round(ran_s * S)} {round(waited_s * S)} 7\n")

    def stat(self, busy_s, elsewhere_s=0.0):
        """CPU time of everybody on each of the two CPUs, and on a third one that is not ours."""
        user, other = round(busy_s / 2 * TICK), round(elsewhere_s * TICK)
        own = "".join(f"cpu{cpu} {user} 0 0 999 5 0 0 0 0 0\n" for cpu in (0, 1))
        self.put(self.proc / "stat", f"cpu 0 0 0 0\n{own}cpu2 {other} 0 0 0 0 0 0 0 0 0\n")

    def read(self):
        """Read this machine's counters."""
        return read_counters(self.proc, self.sys, self.cgroup)
