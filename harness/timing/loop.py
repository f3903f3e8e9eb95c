"""The measured loop: run steps and stamp them, and nothing else.

It allocates before the span, only stores within it, prints nothing, and keeps the garbage collector out.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.devices.timeline import Timeline
from harness.timing.clocks import Clock

Mark = Callable[[str], None]
Step = Callable[[int, Mark], object]

CHUNK_NS = 6_000_000
"""Of a stretch of work that is judged: longer ones are disturbed more often, shorter ones by the readings."""
ROUND_ITERATIONS = 113
"""At least so many to two readings of CPU time and switches, which take microseconds once a step has emptied
the caches. A prime, so that iterations judged alone meet every batch of a short ring in turn."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a span is recorded: samples of `group` iterations, in rounds of `chunk` samples and `rest` more.

    The host's clocks are read at the edges of both. `group` is 1 unless iterations are too short and too many
    to keep each one's time. There is no rest unless chunks have few iterations; `group` is then 1, and the
    rest a multiple of the chunk.
    """

    group: int
    chunk: int
    rest: int = 0


@dataclass(frozen=True, slots=True)
class Stretches:
    """What the host's clocks showed, of shape (stretches + 1,): chunks, or chunks and rests in turn."""

    iterations: npt.NDArray[np.int64]
    """Run by then."""
    wall_ns: npt.NDArray[np.int64]
    cpu_ns: npt.NDArray[np.int64]
    involuntary: npt.NDArray[np.int64]
    waited_ns: npt.NDArray[np.int64] | None = None
    """Time that the team's threads were ready without a CPU, summed; None where it is unknown."""
    every: int = 1
    """1 where there are no rests, else 2."""

    def clean(self, *, team: bool = False) -> npt.NDArray[np.bool_]:
        """Tell which ran undisturbed, shape (stretches,): the filters of docs/method.md, section 2.

        Of one thread: no involuntary switch, and wall <= 1.03 CPU + 0.02 ms. Of a team, whose threads sleep
        at barriers: none of them was ready without a CPU for over a hundredth of the stretch and 0.02 ms.

        Args:
            team: Whether several threads worked; it needs `waited_ns`.
        """
        wall = np.diff(self.wall_ns)
        if team:
            assert self.waited_ns is not None
            waited: npt.NDArray[np.bool_] = np.diff(self.waited_ns) <= 0.01 * wall + 20_000
            return waited
        cpu = np.diff(self.cpu_ns)
        undisturbed: npt.NDArray[np.bool_] = (np.diff(self.involuntary) == 0) & (wall <= 1.03 * cpu + 20_000)
        return undisturbed

    def clean_share(self, *, team: bool = False) -> float:
        """Return the share of chunks that ran undisturbed: rests are as long as it takes, and show less."""
        return float(self.clean(team=team)[:: self.every].mean())

    def clean_work(self, *, team: bool = False) -> tuple[int, int]:
        """Return the iterations of all undisturbed stretches, and their time in ns."""
        clean = self.clean(team=team)
        return int(np.diff(self.iterations)[clean].sum()), int(np.diff(self.wall_ns)[clean].sum())


def run_samples(step: Step, timeline: Timeline, *, first: int, samples: int, group: int) -> None:
    """Run `samples * group` steps from index `first` on, and stamp each sample."""
    timeline.start()
    mark, stamp = timeline.mark, timeline.stamp
    index = first
    for _ in range(samples):
        for _ in range(group):
            step(index, mark)
            index += 1
        stamp()


class Span:
    """One measured span: allocated when made, run once.

    Args:
        timeline: Holds a whole number of chunks.
        clock: The host's clocks.
        layout: Of samples, chunks and rounds.
    """

    def __init__(self, timeline: Timeline, clock: Clock, layout: Layout) -> None:
        self.timeline = timeline
        self.layout = layout
        self.host_ns = 0
        """Host time from the start until the last step's call returned."""
        self._clock = clock
        rounds = math.ceil(timeline.capacity / (layout.chunk + layout.rest))
        self._edges = np.full((5, rounds * self._every + 1), -1, np.int64)
        self._done = 0
        self._watched = False

    def run(self, step: Step, *, first: int, at_least: int, duration_ns: int) -> None:
        """Run steps from index `first` on until `duration_ns` and `at_least` iterations are done.

        It ends earlier when the timeline is full. Time is looked at after each chunk and each step of a rest.
        """
        timeline, group, chunk, rest = self.timeline, self.layout.group, self.layout.chunk, self.layout.rest
        ran, wall, cpu, involuntary, waited = (memoryview(row) for row in self._edges)  # type: ignore[arg-type]
        cpu_ns, switches, delay_ns = self._clock.cpu_ns, self._clock.involuntary, self._clock.waited_ns
        self._watched = delay_ns() is not None
        if not self._watched:
            delay_ns = _nothing
        index, done = first, 0
        full, enough = first + self.capacity, first + at_least

        ran[0], cpu[0], involuntary[0], waited[0] = 0, cpu_ns(), switches(), delay_ns() or 0
        wall[0] = now = timeline.start()
        mark, stamp, ends, now_ns = timeline.mark, timeline.stamp, timeline.ends, self._clock.now_ns
        deadline = now + duration_ns
        while index < full and (now < deadline or index < enough):
            for _ in range(chunk):
                for _ in range(group):
                    step(index, mark)
                    index += 1
                now = stamp()
            done += 1
            ran[done], wall[done], cpu[done], involuntary[done] = index - first, now, cpu_ns(), switches()
            waited[done] = delay_ns() or 0
            if not rest or ends is None:
                continue
            # `stamp` without its call: between long steps each further line of code comes from memory.
            for count in range(timeline.count, min(timeline.count + rest, timeline.capacity)):
                if now >= deadline and count >= at_least:
                    break
                step(first + count, mark)
                ends[count] = now = now_ns()
                timeline.count = count + 1
            index = first + timeline.count
            done += 1
            ran[done], wall[done], cpu[done], involuntary[done] = index - first, now, cpu_ns(), switches()
            waited[done] = delay_ns() or 0
        self._done = done
        self.host_ns = now - int(self._edges[1, 0])

    @property
    def _every(self) -> int:
        return 2 if self.layout.rest else 1

    @property
    def capacity(self) -> int:
        """Iterations that there is room for."""
        return self.timeline.capacity * self.layout.group

    @property
    def iterations(self) -> int:
        """Iterations run."""
        return self.timeline.count * self.layout.group

    def stretches(self) -> Stretches:
        """Return what the host's clocks showed of the stretches that ran."""
        iterations, wall, cpu, involuntary, waited = self._edges[:, : self._done + 1]
        return Stretches(
            iterations, wall, cpu, involuntary, waited if self._watched else None, every=self._every
        )


def _nothing() -> int:
    return 0


@contextmanager
def collector_off() -> Iterator[None]:
    """Collect garbage once, then keep the collector off until the end."""
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
