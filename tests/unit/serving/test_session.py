"""A session against a scripted server on a scripted clock: every stamp is known beforehand."""

import itertools

import pytest

from harness.serving.lengths import Length
from harness.serving.session import Session
from workloads.engine.continuous_batching import Token

MS = 1_000_000
TWO = Length(4, 2)


class Clock:
    """A clock that only work and waiting move, ms."""

    def __init__(self):
        self.ms = 1000.0

    def ns(self):
        """Return the time."""
        return round(self.ms * MS)

    def wait(self, seconds):
        """Let time pass."""
        self.ms += seconds * 1000


class OneByOne:
    """Answers one request at a time, a token every `step_ms`; rejects what would wait behind `queue`."""

    def __init__(self, clock, step_ms=10, queue=100):
        self.clock, self.step_ms, self.queue = clock, step_ms, queue
        self.waiting, self.begun = [], []

    @property
    def idle(self):
        """Whether nobody waits."""
        return not self.waiting

    def ask(self, number, length):
        """Take a request, or say why not."""
        if len(self.waiting) >= self.queue:
            return "full"
        self.waiting.append([number, length.output_tokens, 0])
        return None

    def step(self):
        """Make one token of the first answer."""
        self.clock.ms += self.step_ms
        one = self.waiting[0]
        self.begun[:] = [one[0]] if one[2] == 0 else []
        one[2] += 1
        last = one[2] == one[1]
        if last:
            self.waiting.pop(0)
        return [Token(one[0], 7, last)]

    def rest(self):
        """Hear that nothing was to do."""


@pytest.fixture
def clock():
    """A clock at an odd time."""
    return Clock()


def started(clock, *, lengths=(TWO,), **more):
    """A session on a server of 10 ms a token."""
    server = OneByOne(clock, **{k: more.pop(k) for k in ("step_ms", "queue") if k in more})
    return Session(server, itertools.cycle(lengths), now_ns=clock.ns, sleep_s=clock.wait, **more)


def test_an_open_loop_is_stamped_by_its_schedule(clock):
    """Arrivals each 30 ms, answers of 20 ms: no queue. The first arrival is at 30 ms."""
    session = started(clock, arrivals_s=(0.03 * (i + 1) for i in itertools.count()))
    session.step()
    with session:
        while clock.ms < 1121:
            session.step()
    session.drain(1.0)
    counted = [request for request in session.requests if request.counted]
    assert [request.arrival_ns for request in counted] == [30 * MS, 60 * MS, 90 * MS, 120 * MS]
    assert [request.ttft_ns for request in counted] == [10 * MS] * 4
    assert [request.tpot_ns for request in counted] == [10 * MS] * 4
    assert [request.queue_ns for request in counted] == [0] * 4
    assert all(request.answered for request in counted)


def test_a_late_server_does_not_move_the_arrivals(clock):
    """Arrivals each 10 ms, answers of 20 ms: the k-th waits 10 ms longer than the one before."""
    session = started(clock, arrivals_s=(0.01 * i for i in itertools.count()))
    with session:
        for _ in range(10):
            session.step()
    session.drain(1.0)
    counted = [request for request in session.requests if request.counted]
    assert [request.ttft_ns for request in counted[:4]] == [(10 + 10 * i) * MS for i in range(4)]
    assert counted[-1].arrival_ns == 100 * MS  # due within the span, asked behind it


def test_the_clock_stands_still_around_the_span(clock):
    """A second before the span and one behind it cost no request anything."""
    session = started(clock, concurrency=1)
    session.step()
    clock.wait(1)
    with session:
        for _ in range(5):
            session.step()
    clock.wait(1)
    session.drain(1.0)
    assert session.span_ns == (10 * MS, 60 * MS)
    assert {request.e2e_ns for request in session.requests if request.answered} == {20 * MS}


def test_each_user_of_a_closed_loop_asks_again_when_answered(clock):
    """Never more than three are open, and the answers come in the order of the questions."""
    session = started(clock, concurrency=3)
    with session:
        for _ in range(40):
            session.step()
            assert len(session._open) <= 3
    session.drain(1.0)
    counted = [request for request in session.requests if request.counted and request.answered]
    assert len(counted) >= 20
    assert [r.number for r in sorted(counted, key=lambda r: r.end_ns)] == [r.number for r in counted]


def test_what_has_not_ended_in_time_is_unfinished(clock):
    """A thousand tokens at 10 ms each do not come in a tenth of a second."""
    session = started(clock, lengths=[Length(1, 1000)], concurrency=1)
    with session:
        for _ in range(5):
            session.step()
    session.drain(0.1)
    (request,) = session.requests
    assert request.ended == "unfinished"
    assert request.counted
    assert request.tokens == 15


def test_a_full_queue_rejects_and_the_log_says_so(clock):
    """Ten times what the server can do: two wait, the others are turned away at once."""
    session = started(clock, arrivals_s=(0.002 * i for i in itertools.count()), queue=2)
    with session:
        for _ in range(50):
            session.step()
    session.drain(1.0)
    ends = [request.ended for request in session.requests if request.counted]
    assert ends.count("answered") > 10
    assert ends.count("rejected") > 5 * ends.count("answered")
    assert all(request.token_ns == () for request in session.requests if request.ended == "rejected")


def test_waiting_never_oversleeps_an_arrival(clock):
    """Long gaps are waited in short steps, the last of which ends at the arrival."""
    session = started(clock, arrivals_s=(0.125 * (i + 1) for i in itertools.count()))
    with session:
        for _ in range(9):
            session.step()
    assert session.requests[0].ttft_ns == 10 * MS
