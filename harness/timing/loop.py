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
ROUND_ITERATIONS = 16
"""At least so many to a judged stretch: reading CPU time and switches at both of its ends takes microseconds
once a step has emptied the caches."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a span is recorded: samples of `group` iterations, in rounds of a chunk that is judged and a rest.

    `group` is 1 unless iterations are too short and too many to keep each one's time. Where chunks have few
    iterations, `rest` more follow each; `group` is then 1, and the rest a multiple of the chunk.
    """

    group: int
    chunk: int
    rest: int = 0


@dataclass(frozen=True, slots=True)
class Chunks:
    """What the host's clocks showed where judged chunks began and ended, each of shape (2, chunks)."""

    wall_ns: npt.NDArray[np.int64]
    cpu_ns: npt.NDArray[np.int64]
    involuntary: npt.NDArray[np.int64]

    def durations_ns(self) -> npt.NDArray[np.int64]:
        """Return the wall time of each chunk, shape (chunks,)."""
        begin, end = self.wall_ns
        durations_ns: npt.NDArray[np.int64] = end - begin
        return durations_ns

    def clean(self) -> npt.NDArray[np.bool_]:
        """Tell which chunks ran undisturbed, shape (chunks,): the filter of docs/method.md, section 2.

        No involuntary switch, and wall <= 1.03 CPU + 0.02 ms. It says something of single-threaded work only.
        """
        cpu_ns = self.cpu_ns[1] - self.cpu_ns[0]
        on_its_cpu = self.durations_ns() <= 1.03 * cpu_ns + 20_000
        undisturbed: npt.NDArray[np.bool_] = on_its_cpu & (self.involuntary[0] == self.involuntary[1])
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
        layout: Of samples, chunks and rounds.
    """

    def __init__(self, timeline: Timeline, clock: Clock, layout: Layout) -> None:
        self.timeline = timeline
        self.layout = layout
        self.host_ns = 0
        """Host time from the start until the last step's call returned."""
        self._clock = clock
        self._rounds = 0
        most = math.ceil(timeline.capacity / (layout.chunk + layout.rest))
        self._edges = np.full((3, 2, most), -1, np.int64)

    def run(self, step: Step, *, first: int, at_least: int, duration_ns: int) -> None:
        """Run steps from index `first` on until `duration_ns` and `at_least` iterations are done.

        It ends earlier when the timeline is full. Time is looked at after each chunk and each step of a rest.
        """
        timeline, group, chunk, rest = self.timeline, self.layout.group, self.layout.chunk, self.layout.rest
        (wall_begin, wall_end), (cpu_begin, cpu_end), (switches_begin, switches_end) = (
            (memoryview(begin), memoryview(end)) for begin, end in self._edges
        )
        now_ns, cpu_ns, switches = self._clock.now_ns, self._clock.cpu_ns, self._clock.involuntary
        index, done = first, 0
        full, enough = first + self.capacity, first + at_least

        now = begin_ns = timeline.start()
        mark, stamp = timeline.mark, timeline.stamp
        deadline = now + duration_ns
        while index < full and (now < deadline or index < enough):
            cpu_begin[done], switches_begin[done], wall_begin[done] = cpu_ns(), switches(), now_ns()
            for _ in range(chunk):
                for _ in range(group):
                    step(index, mark)
                    index += 1
                now = stamp()
            cpu_end[done], switches_end[done], wall_end[done] = cpu_ns(), switches(), now
            done += 1
            # Only what every step needs: between long ones each further line of code comes from memory.
            for _ in range(min(rest, full - index)):
                if now >= deadline and index >= enough:
                    break
                step(index, mark)
                index += 1
                now = stamp()
        self._rounds = done
        self.host_ns = now - begin_ns

    @property
    def capacity(self) -> int:
        """Iterations that there is room for."""
        return self.timeline.capacity * self.layout.group

    @property
    def iterations(self) -> int:
        """Iterations run."""
        return self.timeline.count * self.layout.group

    def chunks(self) -> Chunks:
        """Return what the host's clocks showed of the chunks that ran."""
        wall, cpu, involuntary = self._edges[:, :, : self._rounds]
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
