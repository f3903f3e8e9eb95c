"""Generation against full recomputation: caches, beams, states and seeds."""

from __future__ import annotations

import pytest
import torch

from workloads.base import UnsupportedError
from workloads.engine.job import prepare
from workloads.engine.setup import Setup
from workloads.inputs.sources import SHIPPED

CPU = torch.device("cpu")


def silent(_name: str) -> None:
    """Take a mark and forget it."""


def job_of(workload, precision="fp32", **options):
    """Prepare a workload on the CPU with its own defaults."""
    return prepare(workload, Setup(precision=precision, **options))


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("gpt", {}),
        ("llama", {}),
        ("moe", {}),
        ("lstm", {}),
        ("lstm", {"cell": "gru"}),
        ("lstm", {"cell": "rnn"}),
    ],
)
def test_generation_from_the_cache_is_full_recomputation(make, name, more):
    """Greedy tokens equal those of running the whole sequence again for every token."""
    workload = make(name, "generate", batch=2, prompt=12, new_tokens=9, data=SHIPPED, **more)
    job = job_of(workload, top_k=1)
    job.step(0, silent)
    sequence = workload.make_batch(0)["tokens"]
    with torch.no_grad():
        for _ in range(9):
            logits = job.model(sequence)
            logits = logits[0] if isinstance(logits, tuple) else logits
            sequence = torch.cat([sequence, logits[:, -1].argmax(-1, keepdim=True)], 1)
    assert torch.equal(job.output(), sequence[:, 12:])
    assert job.check()["output_ok"]


def score(model, batch, words):
    """Log probability of each sentence's words, (B,), by the whole model again."""
    begin = torch.full((len(words), 1), 1)
    logits = model(torch.cat([begin, words[:, :-1]], 1), (batch["tokens"], batch["mask"]))[0]
    return logits.log_softmax(-1).gather(2, words[:, :, None]).sum((1, 2))


def test_beams_find_what_a_search_without_a_cache_finds(make):
    """The same three beams, kept by scoring whole prefixes again; they beat one beam in the sum."""
    job = job_of(workload := make("translation", "generate", batch=4, seq=10, new_tokens=5, beams=3))
    with torch.no_grad():
        for parameter in job.model.parameters():  # sharper logits, so that beams differ from greed
            parameter.mul_(2.0)
    job.step(0, silent)
    batch = workload.make_batch(0)
    vocab, found = 512, job.output()
    with torch.no_grad():
        for row in range(4):
            one = {key: value[row : row + 1] for key, value in batch.items()}
            beams = [((), 0.0)]
            for _ in range(5):
                longer = []
                for words, total in beams:
                    before = torch.tensor([[1, *words]])
                    steps = job.model(before, (one["tokens"], one["mask"]))[0][0, -1].log_softmax(-1)
                    longer += [((*words, w), total + float(steps[w])) for w in range(vocab)]
                beams = sorted(longer, key=lambda beam: -beam[1])[:3]
            assert tuple(found[row].tolist()) == beams[0][0]
    greedy = job_of(make("translation", "generate", batch=4, seq=10, new_tokens=5), top_k=1)
    greedy.model.load_state_dict(job.model.state_dict())
    greedy.step(0, silent)
    with torch.no_grad():
        assert score(job.model, batch, found).sum() >= score(job.model, batch, greedy.output()).sum()
    assert job.check()["output_ok"]


def test_a_greedy_translation_from_the_cache_is_full_recomputation(make):
    """Each word is the likeliest behind those before it."""
    job = job_of(workload := make("translation", "generate", batch=4, new_tokens=6), top_k=1)
    job.step(0, silent)
    batch, words = workload.make_batch(0), torch.full((4, 1), 1)
    with torch.no_grad():
        for _ in range(6):
            logits, _ = job.model(words, (batch["tokens"], batch["mask"]))
            words = torch.cat([words, logits[:, -1].argmax(-1, keepdim=True)], 1)
    assert torch.equal(job.output(), words[:, 1:])


def test_beams_share_no_cache(make):
    """Each beam has keys and values of its own, and the sources come with every beam."""
    sizes = {"batch": 2, "seq": 10, "new_tokens": 5}
    one, three = (job_of(make("translation", "generate", **sizes, beams=n)) for n in (1, 3))
    words = 2 * 2 * 2 * (5 + 10) * 128 * 4 + 2 * 10  # keys and values of two layers, and the mask
    assert one.kv_cache_bytes == words
    assert three.kv_cache_bytes == 3 * words


def test_a_workload_without_beams_refuses_to_reorder(make):
    """The protocol's default is a refusal with a reason."""
    with pytest.raises(UnsupportedError, match="gpt has no search by beams"):
        make("gpt", "generate").reorder(None, torch.arange(2))


@pytest.mark.parametrize("name", ["gpt", "lstm", "llama"])
def test_equal_seeds_sample_equal_tokens(make, name):
    """A request's tokens depend on the seed and its index, not on what ran before."""
    one, again, other = (job_of(make(name, "generate", seed=s), top_k=20) for s in (1, 1, 2))
    one.step(5, silent)
    again.step(0, silent)
    again.step(5, silent)
    other.step(5, silent)
    assert torch.equal(one.output(), again.output())
    assert not torch.equal(one.output(), other.output())


def test_generation_marks_the_first_token_once(make):
    """One mark a step, and it comes before the decode steps."""
    events = []
    workload = make("gpt", "generate", new_tokens=3)
    decode = workload.decode
    workload.decode = lambda *args: (events.append("decode"), decode(*args))[1]
    job_of(workload).step(0, events.append)
    assert events == ["first_token", "decode", "decode"]


def test_decode_steps_repeat_the_same_work(make):
    """The cache is rewound: equal logits at every step, and those of the full sequence."""
    workload = make("gpt", "decode", batch=2, prompt=20)
    job = job_of(workload)
    outputs = []
    for index in range(3):
        job.step(index, silent)
        outputs.append(job.output().clone())
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])
    tokens = workload.make_batch(0)["tokens"]
    with torch.no_grad():
        full = job.model(torch.cat([tokens, tokens[:, -1:]], 1))[:, -1]
    torch.testing.assert_close(outputs[0], full, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("precision", "width"), [("fp32", 4), ("bf16", 2)])
def test_cache_bytes_are_those_of_the_positions_it_holds(make, precision, width):
    """Keys and values of every layer: 2 · layers · batch · positions · hidden elements."""
    sizes = {"batch": 2, "prompt": 10, "new_tokens": 5}
    for mode, positions in (("prefill", 10), ("decode", 11), ("generate", 14)):
        job = job_of(make("gpt", mode, **sizes), precision)
        assert job.kv_cache_bytes == 2 * 4 * 2 * positions * 128 * width
    shared = job_of(make("llama", "decode", **sizes), precision)  # half as many key heads as query heads
    assert shared.kv_cache_bytes == 2 * 4 * 2 * 11 * 64 * width
    for cell, states in (("lstm", 2), ("gru", 1), ("rnn", 1)):
        recurrent = job_of(make("lstm", "generate", **sizes, cell=cell), precision)
        assert recurrent.kv_cache_bytes == states * 2 * 2 * 128 * width
    assert job_of(make("gpt", "train"), precision).kv_cache_bytes == 0


def test_the_least_traffic_of_generation_reads_the_weights_for_every_token(make):
    """Prefill reads them once, each decode step once more."""
    one, many = (job_of(make("lstm", "generate", new_tokens=n)) for n in (1, 5))
    more = many.units(0).least_bytes - one.units(0).least_bytes
    assert more == 4 * many.weights_bytes + 8 * 8 * 4


@torch.no_grad()
def test_a_state_is_the_sequence_that_made_it(make):
    """Reading 32 tokens, then 16 one by one, is reading 48; the first state stays as it was."""
    workload = make("mamba", "generate", prompt=32)
    model = workload.build_model()
    tokens = torch.randint(256, (2, 48))
    _, state = workload.prefill(model, {"tokens": tokens[:, :32]}, 0)
    kept = [part.clone() for layer in state for part in layer]
    later = state
    for at in range(32, 48):
        logits, later = workload.decode(model, tokens[:, at], later)
    torch.testing.assert_close(logits, model(tokens, last_only=True)[0], rtol=1e-4, atol=1e-5)
    assert all(torch.equal(a, b) for a, b in zip(kept, (p for layer in state for p in layer), strict=True))


def test_a_decode_step_of_shared_keys_is_the_full_sequence(make):
    """Rotated keys stay in the cache as they were written."""
    workload = make("llama", "decode", batch=2, prompt=20)
    job = job_of(workload)
    job.step(0, silent)
    tokens = workload.make_batch(0)["tokens"]
    with torch.no_grad():
        full = job.model(torch.cat([tokens, tokens[:, -1:]], 1))[:, -1]
    torch.testing.assert_close(job.output(), full, rtol=1e-4, atol=1e-5)
