"""Faults of the host: the kernel's files change within a scripted span, and the device counts them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from standins.kernel_files import Tree
from standins.planted.timing import steady_span
from standins.planted.world import World, planted
from standins.scripted import ScriptedClock, ScriptedDevice

from harness.devices.base import Counters
from harness.trial.evidence import timing_evidence

QUOTA = "usage_usec 9\nnr_periods {}\nnr_throttled {}\nthrottled_usec 0\n"


class _OnHost(ScriptedDevice):
    """Counts what the kernel's files say at both ends of the span; a script changes them in between."""

    def __init__(self, clock: ScriptedClock, tree: Tree, change: Callable[[], None]) -> None:
        super().__init__(clock, [])
        self.tree, self.changes = tree, [lambda: None, change]

    def counters(self) -> Counters:
        """Read the files, the second time as they were changed."""
        self.tree.now = self.clock.now
        self.changes.pop(0)()
        return replace(super().counters(), host=self.tree.read())


def beside(world: World, change: Callable[[Tree], None] | None) -> dict[str, Any]:
    """Measure a span of 2 s on a machine that changes in it; ours is the only work without a change."""
    tree = Tree(world.folder, world.monkeypatch)
    tree.thread(tree.pid, 0, 0)
    tree.put(tree.cgroup / "cpu.stat", QUOTA.format(10, 1))

    def changed() -> None:
        tree.thread(tree.pid, 2, 0)
        tree.process(tree.pid, 2)
        tree.stat(2)
        tree.put(tree.cgroup / "cpu.stat", QUOTA.format(30, 1))
        if change is not None:
            change(tree)

    clock = ScriptedClock()
    return timing_evidence(steady_span(clock=clock, device=_OnHost(clock, tree, changed)))


@planted("host_contended")
def _others_use_a_cpu(world: World, fault: bool) -> dict[str, Any]:
    return beside(world, (lambda tree: tree.stat(4)) if fault else None)


@planted("host_overloaded", "host_contended")
def _a_thread_waits_nine_tenths_of_the_time(world: World, fault: bool) -> dict[str, Any]:
    return beside(world, (lambda tree: tree.thread(tree.pid, 0.2, 1.8)) if fault else None)


@planted("cpu_throttled")
def _a_quota_stops_four_of_twenty_periods(world: World, fault: bool) -> dict[str, Any]:
    return beside(
        world, (lambda tree: tree.put(tree.cgroup / "cpu.stat", QUOTA.format(30, 5))) if fault else None
    )


@planted("cpu_throttled_hard", "cpu_throttled")
def _a_quota_stops_nineteen_of_twenty_periods(world: World, fault: bool) -> dict[str, Any]:
    return beside(
        world, (lambda tree: tree.put(tree.cgroup / "cpu.stat", QUOTA.format(30, 20))) if fault else None
    )


@planted("cpus_changed")
def _a_cpu_leaves(world: World, fault: bool) -> dict[str, Any]:
    return beside(world, (lambda tree: tree.put(tree.sys / "online", "0\n")) if fault else None)
