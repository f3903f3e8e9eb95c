"""The measured loop: run steps and stamp them, and nothing else.

It allocates before the span, only stores within it, prints nothing, and keeps the garbage collector out.
"""

from __future__ import annotations

import gc
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
"""Reading CPU time and switches takes 2 to 3 µs with cold caches: 0.05 % of this much work. Longer chunks
would cost less, and more of them would be disturbed."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a span is recorded: samples of `group` iterations, in chunks of `chunk` samples.

    `group` is 1 unless iterations are too short and too many to keep each one's time.
    """

    group: int
    chunk: int


@dataclass(frozen=True, slots=True)
class Chunks:
    """What the host's clocks showed at the edges of chunks, each of shape (chunks + 1,)."""

    wall_ns: npt.NDArray[np.int64]
    cpu_ns: npt.NDArray[np.int64]
    involuntary: npt.NDArray[np.int64]

    def clean(self) -> npt.NDArray[np.bool_]:
        """Tell which chunks ran undisturbed, shape (chunks,): the filter of docs/method.md, section 2.

        No involuntary switch, and wall <= 1.03 CPU + 0.02 ms. It says something of single-threaded work only.
        """
        wall, cpu = np.diff(self.wall_ns), np.diff(self.cpu_ns)
        undisturbed: npt.NDArray[np.bool_] = (np.diff(self.involuntary) == 0) & (wall <= 1.03 * cpu + 20_000)
        return undisturbed


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
        layout: Of samples and chunks.
    """

    def __init__(self, timeline: Timeline, clock: Clock, layout: Layout) -> None:
        self.timeline = timeline
        self.layout = layout
        self._clock = clock
        self._chunks = timeline.capacity // layout.chunk
        self._done = 0
        self._edges = np.full((3, self._chunks + 1), -1, np.int64)

    def run(self, step: Step, *, first: int, at_least: int, duration_ns: int) -> None:
        """Run steps from index `first` on until `duration_ns` and `at_least` iterations are done.

        It ends earlier when the timeline is full. Time is looked at between chunks only.
        """
        timeline, group, chunk = self.timeline, self.layout.group, self.layout.chunk
        wall, cpu, involuntary = (memoryview(row) for row in self._edges)  # type: ignore[arg-type]
        cpu_ns, switches = self._clock.cpu_ns, self._clock.involuntary
        mark, stamp = timeline.mark, timeline.stamp
        index, done = first, 0

        cpu[0], involuntary[0] = cpu_ns(), switches()
        wall[0] = now = timeline.start()
        deadline, enough = now + duration_ns, first + at_least
        while done < self._chunks and (now < deadline or index < enough):
            for _ in range(chunk):
                for _ in range(group):
                    step(index, mark)
                    index += 1
                now = stamp()
            done += 1
            wall[done], cpu[done], involuntary[done] = now, cpu_ns(), switches()
        self._done = done

    @property
    def capacity(self) -> int:
        """Iterations that there is room for."""
        return self._chunks * self.layout.chunk * self.layout.group

    @property
    def iterations(self) -> int:
        """Iterations run."""
        return self._done * self.layout.chunk * self.layout.group

    @property
    def host_ns(self) -> int:
        """Host time from the start until the last step's call returned."""
        return int(self._edges[0, self._done] - self._edges[0, 0])

    def chunks(self) -> Chunks:
        """Return what the host's clocks showed at the chunks that ran."""
        wall, cpu, involuntary = self._edges[:, : self._done + 1]
        return Chunks(wall, cpu, involuntary)


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
