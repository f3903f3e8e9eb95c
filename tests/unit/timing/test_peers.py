"""Several ranks with clocks that differ: all run what rank 0's clock decides, and begin the span together."""

from __future__ import annotations

import threading

import pytest

from harness.timing import Peers, SoakSettings, TimingSettings, measure_steps, soak

MS = 1_000_000
SETTINGS = TimingSettings(
    seconds=0.5, min_iterations=3, warmup_s=0.1, warmup_iterations=3, warmup_cap_s=2.0,
    steady_window_s=0.1, steady_tolerance=0.0025, target=0.05,
)  # fmt: skip
PATIENCE_S = 10
"""Long enough for any machine; ranks that disagree would wait for ever."""


class Threads(Peers):
    """Ranks as threads: what rank 0 puts on the table, all take."""

    def __init__(self, rank, meeting, table, log):
        self.rank, self.world = rank, meeting.parties
        self._meeting, self._table, self._log = meeting, table, log

    def agree(self, value):
        """Take rank 0's value."""
        if self.rank == 0:
            self._table[:] = [value]
        self._meeting.wait(PATIENCE_S)
        taken = self._table[0]
        self._meeting.wait(PATIENCE_S)
        return taken

    def barrier(self):
        """Wait, and note it."""
        self._log.append("barrier")
        self._meeting.wait(PATIENCE_S)


@pytest.fixture
def on_ranks(request):
    """Give a runner of `work(rank, peers, clock, device, log)` on ranks with a clock and device each."""
    clock_kind = type(request.getfixturevalue("clock"))
    device_kind = type(request.getfixturevalue("device"))

    def run(world, work):
        meeting, table, found = threading.Barrier(world), [], {}

        def member(rank):
            clock, log = clock_kind(), []
            peers = Threads(rank, meeting, table, log)
            try:
                found[rank] = work(rank, peers, clock, device_kind(clock, log), log)
            except BaseException:
                meeting.abort()
                raise

        members = [threading.Thread(target=member, args=(rank,)) for rank in range(world)]
        for one in members:
            one.start()
        for one in members:
            one.join(6 * PATIENCE_S)
        return [found[rank] for rank in range(world)]

    return run


@pytest.mark.parametrize("lengths_ms", [(10, 10), (10, 25), (25, 10), (10, 3, 40)])
def test_ranks_of_any_speed_run_the_same_number_of_steps(on_ranks, lengths_ms):
    """Ranks with faster or slower clocks warm up and measure as often as rank 0, whose clock decides."""

    def work(rank, peers, clock, device, _log):
        def step(_index, _mark):
            clock.work(lengths_ms[rank] * MS)

        return measure_steps(step, device=device, settings=SETTINGS, clock=clock, peers=peers)

    measured = on_ranks(len(lengths_ms), work)

    expected = 500 // lengths_ms[0]
    assert [m.iterations for m in measured] == [expected] * len(lengths_ms)
    assert len({m.warmup_iterations for m in measured}) == 1
    assert len({m.first_index for m in measured}) == 1
    assert [m.span_ns for m in measured] == [expected * length * MS for length in lengths_ms]
    assert not any("buffer_full" in m.flags for m in measured)


def test_a_rank_that_never_settles_does_not_keep_the_others(on_ranks):
    """Steadiness is rank 0's to judge; the record's own ranks still say what each of them saw."""

    def work(rank, peers, clock, device, _log):
        def step(index, _mark):
            clock.work(10 * MS if rank == 0 else (10 + index // 10) * MS)

        return measure_steps(step, device=device, settings=SETTINGS, clock=clock, peers=peers)

    first, second = on_ranks(2, work)
    assert first.steady
    assert not second.steady
    assert first.iterations == second.iterations == 50


def test_ranks_meet_right_before_the_span_and_after_it(on_ranks):
    """The first step of the span comes right after a meeting, and the window holds every rank's span."""

    def work(_rank, peers, clock, device, log):
        def step(_index, _mark):
            log.append("step")
            clock.work(10 * MS)

        found = measure_steps(step, device=device, settings=SETTINGS, clock=clock, peers=peers)
        return found, log

    for measured, log in on_ranks(2, work):
        steps = measured.iterations
        assert log[-steps - 4 :] == ["synchronize", "barrier", *["step"] * steps, "synchronize", "barrier"]


def test_ranks_soak_as_long_as_rank_0(on_ranks):
    """Every rank runs rank 0's batches and windows, whatever its own clock says."""
    settings = SoakSettings(window_s=0.5, cap_s=5.0)

    def work(rank, peers, clock, device, _log):
        steps = []

        def step(index, _mark):
            steps.append(index)
            clock.work((10, 17)[rank] * MS)

        found = soak(step, device=device, settings=settings, clock=clock, peers=peers)
        return len(steps), len(found.windows)

    first, second = on_ranks(2, work)
    assert first == second
