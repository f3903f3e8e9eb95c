"""The serving engine: the tokens of one by one, nobody starved, memory that does not grow."""

import pytest
import torch

from harness.system import native
from workloads.engine.build import build
from workloads.engine.continuous_batching import Engine, RejectedError, Request, Sampling
from workloads.engine.generation import generate, sample
from workloads.engine.setup import Setup
from workloads.engine.slots import slots_of
from workloads.kernels import library

NAMES = ("gpt", "llama", "moe", "mamba")
LENGTHS = [(5, 9), (17, 1), (3, 14), (30, 4), (8, 8), (1, 2), (12, 20), (16, 3)]


@pytest.fixture(params=[False, True], ids=["torch", "kernels"])
def _kernels(request):
    """Run by torch, and by our kernels where they build."""
    library.build_with(native.load if request.param else None)
    if request.param and (reason := library.missing()) is not None:
        pytest.skip(reason)
    yield
    library.build_with(None)


@pytest.fixture
def served(make):
    """Return a workload with its model built, at its tiny size."""

    def of(name):
        work = make(name, "generate")
        return work, build(work, Setup()).model

    return of


def requests(vocab, lengths=LENGTHS):
    """Prompts of random tokens."""
    random = torch.Generator().manual_seed(3)
    return [
        Request(i, torch.randint(vocab, (prompt,), generator=random), new)
        for i, (prompt, new) in enumerate(lengths)
    ]


def run(engine, asked):
    """Submit all at once; return each request's tokens, and the step at which each was whole."""
    for each in asked:
        engine.submit(each)
    found, done, steps = {each.number: [] for each in asked}, {}, 0
    while not engine.idle:
        steps += 1
        assert steps < 10_000
        for token in engine.step():
            found[token.request].append(token.token)
            if token.last:
                done[token.request] = steps
    return found, done


def engine_of(work, model, slots=3, capacity=40, **settings):
    """An engine with few slots."""
    return Engine(slots_of(work, model, slots, capacity), **settings)


def one_by_one(work, model, request, choose):
    """Generate an answer alone."""
    batch = {"tokens": request.prompt[None]}
    with torch.inference_mode():
        return generate(work, model, batch, request.new_tokens, choose, lambda _mark: None)[0].tolist()


@pytest.mark.usefixtures("_kernels")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("batching", ["continuous", "static"])
@pytest.mark.parametrize("chunk", [7, 64])
def test_the_tokens_are_those_of_one_by_one(served, name, batching, chunk):
    """Greedy, whoever shares the batch, in whatever parts the prompt was read."""
    work, model = served(name)
    asked = requests(work.n("vocab"))
    found, done = run(engine_of(work, model, batching=batching, chunk=chunk), asked)
    for each in asked:
        assert found[each.number] == one_by_one(work, model, each, lambda logits: logits.argmax(-1))
    assert set(done) == set(found)


def test_sampled_tokens_depend_on_the_request_alone(served):
    """Its number and the seed: not on the slots, nor on its neighbours."""
    work, model = served("gpt")
    asked, how = requests(work.n("vocab")), Sampling(temperature=0.7, top_k=20, seed=5)
    few, many = (run(engine_of(work, model, slots=n, sampling=how), asked)[0] for n in (1, 8))
    assert few == many
    generator = torch.Generator().manual_seed(5 + 2)
    choose = lambda logits: sample(logits, temperature=0.7, top_k=20, generator=generator)
    assert few[2] == one_by_one(work, model, asked[2], choose)
    assert few != run(engine_of(work, model, sampling=Sampling(0.7, 20, 6)), asked)[0]


@pytest.mark.parametrize("name", ["gpt", "mamba"])
def test_overload_takes_no_more_memory_and_starves_nobody(served, name):
    """Ten times as many as fit: requests end in the order of their arrival, where they are equal."""
    work, model = served(name)
    slots = slots_of(work, model, 2, 16)
    engine = Engine(slots, queue=20)
    asked = requests(work.n("vocab"), [(4, 6)] * 20)
    for each in asked:
        engine.submit(each)
    with pytest.raises(RejectedError, match="20 requests wait already"):
        engine.submit(asked[0])
    sizes, ended = set(), []
    while not engine.idle:
        ended += [token.request for token in engine.step() if token.last]
        assert engine.running <= 2
        sizes.add(slots.nbytes)
    assert ended == list(range(20))
    if name == "gpt":
        assert len(sizes) == 1
    else:  # a state for each sequence that is there, and one that is being read
        assert max(sizes) <= 3 * max(size for size in sizes if size) / 2


def test_a_short_request_does_not_wait_for_a_long_one(served):
    """Continuous batching frees a row at once; a static batch ends with its longest answer."""
    work, model = served("gpt")
    asked = requests(work.n("vocab"), [(2, 30), (2, 2), (2, 2)])
    _, ended = run(engine_of(work, model, slots=2), asked)
    assert ended[2] < 10
    _, ended = run(engine_of(work, model, slots=2, batching="static"), asked)
    assert ended[2] > 30


def test_a_long_prompt_holds_nobody_up(served):
    """It is read in parts, between which the others get their tokens."""
    work, model = served("gpt")
    engine = engine_of(work, model, chunk=4)
    short, long = requests(work.n("vocab"), [(2, 20), (32, 1)])
    engine.submit(short)
    engine.step()
    engine.submit(long)
    made = [[token.request for token in engine.step()] for _ in range(8)]
    assert all(0 in step for step in made)
    assert 1 in made[-1]


@pytest.mark.parametrize("batching", ["continuous", "static"])
def test_one_pass_reads_several_prompts_and_continues_answers(served, batching):
    """Of ten positions a step: two prompts and a half, then the rest beside the answers that go on."""
    work, model = served("gpt")
    passes = []
    model.register_forward_pre_hook(lambda _model, given: passes.append(len(given[0])))
    engine = engine_of(work, model, chunk=10, batching=batching)
    for each in requests(work.n("vocab"), [(4, 5)] * 3):
        engine.submit(each)
    assert [token.request for token in engine.step()] == [0, 1]
    assert engine.begun == [0, 1, 2]
    made = [token.request for token in engine.step()]
    assert (made, engine.begun) == ([0, 1, 2] if batching == "continuous" else [2], [])
    assert [token.request for token in engine.step()] == [0, 1, 2]
    assert passes == ([10, 4, 3] if batching == "continuous" else [10, 2, 3])


@pytest.mark.parametrize("lengths", [(41, 1), (1, 41), (0, 3), (3, 0)])
def test_what_fits_no_row_is_rejected(served, lengths):
    """At once, with its lengths."""
    work, model = served("gpt")
    engine = engine_of(work, model)
    with pytest.raises(RejectedError, match="do not fit a row of 40"):
        engine.submit(requests(work.n("vocab"), [lengths])[0])
