"""Loops over a span, on an event loop whose time moves only when everybody waits."""

import asyncio
import selectors

import pytest

from harness.serving.endpoint.client import Seen, Told
from harness.serving.endpoint.load import CLIENT_LIMIT, Load, Span
from harness.serving.endpoint.watch import LoopWatch, client_facts
from harness.serving.requests import ANSWERED, ServedRequest


class VirtualLoop(asyncio.SelectorEventLoop):
    """Sleeps by setting its clock."""

    def __init__(self):
        self.now = 100.0
        super().__init__(_Jumping(self))

    def time(self):
        """Return virtual seconds."""
        return self.now


class _Jumping(selectors.SelectSelector):
    def __init__(self, loop):
        super().__init__()
        self._loop = loop

    def select(self, timeout=None):
        found = super().select(0)
        if not found and timeout:
            self._loop.now += timeout
        return found


class Script:
    """A server that answers after a set time; or fails."""

    def __init__(self, loop, seconds=0.5, ended=ANSWERED, retry_after_s=None):
        self.loop, self.seconds, self.ended, self.retry_after_s = loop, seconds, ended, retry_after_s
        self.under_way = self.most = 0

    def clock(self):
        """Return virtual time, ns."""
        return round(self.loop.now * 1e9)

    async def __call__(self, number, *, arrival_ns, counted):
        """Take the time of the script."""
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        start_ns = self.clock()
        await asyncio.sleep(self.seconds)
        self.under_way -= 1
        end_ns = self.clock()
        request = ServedRequest(
            number, arrival_ns, end_ns, self.ended, (end_ns,), 1, start_ns=start_ns, counted=counted
        )
        return Told(request, Seen(retry_after_s=self.retry_after_s))


def run(work, **script):
    """Run `work(load, script)` on a virtual loop."""
    loop = VirtualLoop()
    asked = Script(loop, **script)
    try:
        return loop.run_until_complete(work(asked)), asked
    finally:
        loop.close()


@pytest.mark.parametrize("users", [1, 7])
def test_a_closed_loop_asks_again_when_answered(users):
    """Over 10 s at half a second each: 20 requests a user are counted, never more under way than users."""
    loaded, asked = run(lambda ask: Load(ask, Span(warmup_s=2, seconds=10), clock=ask.clock).closed(users))
    counted = [r for r in loaded.requests if r.counted]
    assert len(counted) == 20 * users
    assert asked.most == users
    assert all(loaded.begin_ns <= r.arrival_ns < loaded.end_ns for r in counted)
    assert loaded.end_ns - loaded.begin_ns == 10 * 10**9
    before = [r for r in loaded.requests if r.arrival_ns < loaded.begin_ns]
    assert before
    assert not any(r.counted for r in before)


def test_an_open_loop_keeps_to_its_arrivals():
    """Arrivals every 100 ms of answers of 3 s: thirty are under way, and a late answer delays nobody."""
    arrivals = (0.1 * i for i in range(10_000))
    loaded, asked = run(
        lambda ask: Load(ask, Span(warmup_s=5, seconds=10), clock=ask.clock).open(arrivals), seconds=3.0
    )
    counted = [r for r in loaded.requests if r.counted]
    assert len(counted) == 100
    assert asked.most in {30, 31}
    assert all(r.queue_ns < 1000 for r in counted)
    assert all(abs(r.e2e_ns - 3e9) < 1000 for r in counted)
    last = max(r.end_ns for r in counted)
    assert sum(r.arrival_ns > loaded.end_ns for r in loaded.requests) == 0, "those were under way, and left"
    assert last > loaded.end_ns


def test_a_slow_server_has_a_longer_span():
    """Three requests must arrive, of one user who waits four seconds for each."""
    loaded, _ = run(
        lambda ask: Load(ask, Span(warmup_s=0, seconds=1, least=3), clock=ask.clock).closed(1), seconds=4.0
    )
    assert sum(r.counted for r in loaded.requests) == 3
    assert loaded.end_ns - loaded.begin_ns >= 8 * 10**9


def test_a_span_ends_although_too_few_arrive():
    """At its longest it ends."""
    span = Span(warmup_s=0, seconds=1, least=100, longest_s=2)
    loaded, _ = run(lambda ask: Load(ask, span, clock=ask.clock).closed(1))
    assert loaded.end_ns - loaded.begin_ns == pytest.approx(2e9, abs=2e7)


@pytest.mark.parametrize(("retry_after_s", "count"), [(None, 10), (4.5, 2)])
def test_a_refused_user_waits(retry_after_s, count):
    """A second, or as long as the server says: 0 s of answer and the pause fill 10 s."""
    loaded, _ = run(
        lambda ask: Load(ask, Span(warmup_s=0, seconds=10), clock=ask.clock).closed(1),
        seconds=0.0, ended="http_429", retry_after_s=retry_after_s,
    )  # fmt: skip
    assert sum(r.counted for r in loaded.requests) in {count, count + 1}


def test_too_many_at_once_are_told(monkeypatch):
    """What this client cannot hold is counted as its own limit, and dropped from nothing."""
    monkeypatch.setattr("harness.serving.endpoint.load.MOST_IN_FLIGHT", 5)
    arrivals = (0.1 * i for i in range(10_000))
    loaded, _ = run(
        lambda ask: Load(ask, Span(warmup_s=0, seconds=5), clock=ask.clock).open(arrivals), seconds=20.0
    )
    counted = [r for r in loaded.requests if r.counted]
    assert len(counted) == 50
    assert {r.ended for r in counted} == {ANSWERED, CLIENT_LIMIT}


def test_a_fault_of_ours_ends_the_run():
    """A request that raises is no outcome."""

    async def broken(_number, *, arrival_ns, counted):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(lambda ask: Load(broken, Span(warmup_s=0, seconds=5), clock=ask.clock).closed(3))


def test_the_watch_notes_a_loop_that_is_held_up():
    """Beats every 5 ms; one comes 70 ms late."""
    loop = VirtualLoop()
    cpu = iter((0, 3 * 10**9))

    async def work():
        with LoopWatch(lambda: round(loop.now * 1e9), lambda: next(cpu)) as watch:
            await asyncio.sleep(0.1)
            loop.now += 0.070
            await asyncio.sleep(0.83)
        return watch

    watch = loop.run_until_complete(work())
    loop.close()
    assert max(watch.lag_ns) == pytest.approx(70e6, abs=5.1e6)
    assert watch.cpu_share == pytest.approx(3.0)


def test_client_facts():
    """The larger one of the reads' lateness and the loop's lag is what stands between event and stamp."""

    def told(number, late_ns, counted=True):
        request = ServedRequest(number, 0, 30, ANSWERED, (10, 20, 30), 3, start_ns=4, counted=counted)
        return Told(request, Seen(reads=2, events=5, late_ns=late_ns, shared_reads=1, shared_pieces=1))

    watch = LoopWatch()
    watch.lag_ns, watch.cpu_share = [1_000_000] * 10, 0.25
    facts = client_facts([told(0, [100, 200]), told(1, [5_000_000]), told(2, [10**9], counted=False)], watch)
    assert facts["late_s"] == 0.005
    assert facts["loop_lag_s"] == 0.001
    assert facts["sent_late_s"] == 4e-9
    assert (facts["reads"], facts["events"], facts["pieces"], facts["pieces_per_answer"]) == (4, 10, 6, 3)
    assert (facts["shared_reads"], facts["shared_pieces"], facts["kernel_stamps"]) == (2, 2, True)
    assert client_facts([], LoopWatch())["late_s"] is None
