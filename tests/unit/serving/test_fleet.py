"""Several servers at once, of which the test says when each step ends."""

import threading

import pytest
import torch

from harness.serving.engines import EngineServer
from harness.serving.fleet import Fleet
from harness.serving.lengths import Length
from harness.serving.requests import ServedRequest
from workloads import registry
from workloads.engine.build import build
from workloads.engine.continuous_batching import Engine, Token
from workloads.engine.generation import generate
from workloads.engine.setup import Setup
from workloads.engine.slots import slots_of
from workloads.sizes import resolve_size

TWO = Length(4, 2)


class Held:
    """Answers one request at a time; a step ends when the test lets it."""

    def __init__(self, limit=9):
        self.limit, self.waiting, self.begun, self.threads = limit, [], [], set()
        self.may_end = threading.Semaphore(0)

    @property
    def idle(self):
        """Whether nobody waits."""
        return not self.waiting

    def ask(self, number, length):
        """Take a request, or say why not."""
        if len(self.waiting) >= self.limit:
            return "full"
        self.waiting.append([number, length.output_tokens, 0])
        return None

    def plan(self):
        """Begin with the first that waits."""
        number, _, made = self.waiting[0]
        self.begun = [number] if made == 0 else []

    def step(self):
        """Make a token when the test allows it."""
        assert self.may_end.acquire(timeout=30)
        self.threads.add(threading.get_ident())
        one = self.waiting[0]
        if one[1] == 0:
            raise RuntimeError("broken")
        one[2] += 1
        last = one[2] == one[1]
        if last:
            self.waiting.pop(0)
        return [Token(one[0], 7, last)]


def answered(fleet, server):
    """Let a server end steps until the fleet has the last token of an answer; return its request."""
    while True:
        server.may_end.release()
        while not (tokens := fleet.step()):
            pass
        (token,) = tokens
        if token.last:
            return token.request


def test_nobody_waits_for_anothers_step():
    """The tokens of the one that is over come at once; both began in the step that started them."""
    slow, fast = Held(), Held()
    fleet = Fleet("round_robin", [slow, fast])
    assert fleet.idle
    assert [fleet.ask(number, TWO) for number in (0, 1)] == [None, None]
    fast.may_end.release()
    assert fleet.step() == [Token(1, 7, last=False)]
    assert fleet.begun == [0, 1]
    fast.may_end.release()
    assert fleet.step() == [Token(1, 7, last=True)]
    assert fleet.begun == []
    assert not fleet.idle
    assert fleet.ask(2, TWO) is None  # while the slow one's step runs on
    assert answered(fleet, slow) == 0
    assert answered(fleet, slow) == 2
    assert fleet.idle
    assert threading.get_ident() not in slow.threads | fast.threads


@pytest.mark.parametrize(("policy", "shares"), [("round_robin", [3, 2]), ("least_outstanding", [1, 4])])
def test_a_server_that_never_answers_gets_what_the_policy_gives_it(policy, shares):
    """In turn it is half of them; by what is under way it is one."""
    stuck, well = Held(), Held()
    fleet = Fleet(policy, [stuck, well])
    requests = []
    for number in range(5):
        fleet.ask(number, TWO)
        mine = well.waiting and well.waiting[0][0] == number
        if mine:
            assert answered(fleet, well) == number
        requests.append(ServedRequest(number, 0, 1, "answered" if mine else "unfinished"))
    requests.append(ServedRequest(0, 0, 1, "answered", counted=False))
    found = fleet.shares(requests)
    assert found["policy"] == policy
    assert [one["requests"] for one in found["servers"]] == shares
    assert found["servers"][0]["ended"] == {"unfinished": shares[0]}
    assert found["servers"][1]["ended"] == {"answered": shares[1]}
    for _ in range(2 * shares[0]):
        stuck.may_end.release()  # so that its thread ends


def test_who_is_rejected_is_no_longer_under_way():
    """And the reason is the server's."""
    fleet = Fleet("least_outstanding", [Held(limit=0), Held()])
    assert [fleet.ask(number, TWO) for number in (0, 1)] == ["full", None]
    assert fleet.ask(2, TWO) == "full"  # nothing is under way there


def test_a_step_that_fails_ends_the_fleets():
    """With the server's own error."""
    server, held = Held(), Held()
    fleet = Fleet("round_robin", [server, held])
    fleet.ask(0, Length(4, 0))
    server.may_end.release()
    fleet.ask(1, TWO)  # nobody is free: a step waits for one that is over
    with pytest.raises(RuntimeError, match="broken"):
        fleet.step()
    held.may_end.release()


def test_engines_share_a_model_and_nothing_else():
    """Two at once, each with a cache of its own: everybody's tokens are those of one by one."""
    gpt = registry.get("gpt")
    work = gpt("generate", resolve_size(gpt.spec, "tiny", {"layers": 1}))
    model = build(work, Setup()).model
    servers = [
        EngineServer(
            Engine(slots_of(work, model, 2, 40), chunk=7), vocab=work.n("vocab"), seed=3, device="cpu"
        )
        for _ in range(2)
    ]
    fleet = Fleet("least_outstanding", servers, lambda: torch.set_num_threads(1))
    lengths = [Length(5, 9), Length(17, 1), Length(3, 14), Length(30, 4), Length(8, 8), Length(12, 20)]
    found = {number: [] for number in range(len(lengths))}
    for number, length in enumerate(lengths):
        assert fleet.ask(number, length) is None
    while not fleet.idle:
        for token in fleet.step():
            found[token.request].append(token.token)
    for number, length in enumerate(lengths):
        batch = {"tokens": servers[0].prompt(number, length)[None]}
        with torch.inference_mode():
            alone = generate(work, model, batch, length.output_tokens, lambda one: one.argmax(-1), print)
        assert found[number] == alone[0].tolist()
