from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from workloads import registry
from workloads.base import UnsupportedError
from workloads.modes import RING, prepare
from workloads.optimize import Optimize
from workloads.setup import Setup
from workloads.sources import SHIPPED
from workloads.steps import LOSSES_KEPT, Losses, make_optimizer

CPU = torch.device("cpu")


def silent(_name: str) -> None:
    """Take a mark and forget it."""


def job_of(workload, precision="fp32", **options):
    """Prepare a workload on the CPU with its own defaults."""
    return prepare(workload, Setup(precision=precision, **options))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_mode_runs_and_its_result_passes_the_check(case, make, precision):
    """One step of each workload, mode and precision ends in a finite result of the right shape."""
    job = job_of(make(*case), precision)
    job.step(0, silent)
    assert job.check() == {"output_ok": True, "output_reason": None}
    assert len(job.losses()) == int(case[1] in {"train", "finetune"})
    units = job.units(0)
    assert units.flops > 0 or case[0] in {"softmax", "layernorm", "embedding"}  # traffic alone
    assert units.least_bytes > 0
    assert job.parameters == sum(p.numel() for p in job.model.parameters())
    assert job.compiled is None


def test_before_a_step_there_is_no_evidence(make):
    """Nothing run is not the same as nothing wrong."""
    check = job_of(make("mlp", "infer")).check()
    assert check == {"output_ok": False, "output_reason": "no step has run"}


@pytest.mark.parametrize("mode", ["train", "infer"])
def test_a_result_that_is_not_finite_is_found(make, mode):
    """A spoiled weight shows in the evidence."""
    job = job_of(make("mlp", mode))
    with torch.no_grad():
        job.model.head.weight.fill_(float("nan"))
    job.step(0, silent)
    check = job.check()
    assert not check["output_ok"]
    assert "not finite" in check["output_reason"]


def test_an_output_without_a_row_for_each_sample_is_found(make, monkeypatch):
    """A model that returns too little is not taken for a fast one."""
    workload = make("mlp", "infer")
    monkeypatch.setattr(workload, "infer", lambda model, batch: torch.ones(3, 4))
    job = job_of(workload)
    job.step(0, silent)
    assert job.check()["output_reason"] == "the output has shape (3, 4) for 64 samples"


def test_training_keeps_fp32_weights_and_inference_casts_them(make):
    """bf16 halves the weights of inference and none of training's."""
    for mode, ratio in (("train", 1), ("infer", 2)):
        full, half = job_of(make("bert", mode)), job_of(make("bert", mode), "bf16")
        assert full.weights_bytes == ratio * half.weights_bytes
        assert {p.dtype for p in half.model.parameters()} == {
            torch.bfloat16 if mode == "infer" else torch.float32
        }


def test_bf16_gives_nearly_the_logits_of_fp32(make):
    """The same seed builds the same weights in either precision."""
    outputs = []
    for precision in ("fp32", "bf16"):
        job = job_of(make("gpt", "prefill"), precision)
        job.step(0, silent)
        outputs.append(job.output().float())
    assert 0 < float((outputs[0] - outputs[1]).abs().max()) < 0.05 * float(outputs[0].abs().max())


@pytest.mark.parametrize("name", ["gpt", "lstm", "bert", "ner", "mlp", "llama", "moe", "mamba"])
def test_the_loss_on_the_shipped_text_falls(make, name):
    """Thirty steps at the workload's own optimizer and rate."""
    job = job_of(make(name, "finetune" if name == "ner" else "train", data=SHIPPED))
    for index in range(30):
        job.step(index, silent)
    losses = job.losses()
    assert len(losses) == 30
    assert sum(losses[-4:]) < 0.95 * sum(losses[:4])


def test_steps_take_the_ring_s_batches_in_turn(make):
    """Batch index repeats after RING steps, and so do its units."""
    workload = make("mlp", "infer")
    job = job_of(workload)
    outputs = []
    for index in range(RING + 1):
        job.step(index, silent)
        outputs.append(job.output().clone())
        expected = workload.units(workload.make_batch(index % RING))
        assert job.units(index).tokens == expected.tokens
        assert job.units(index).flops == expected.flops
    assert torch.equal(outputs[0], outputs[RING])
    assert not torch.equal(outputs[0], outputs[1])


@pytest.mark.parametrize("name", ["gpt", "lstm", "mlp"])
def test_accumulated_gradients_are_those_of_the_full_batch(make, name):
    """Four micro-batches give the gradient, the loss and the units of the batch that they split."""
    whole, split = (job_of(make(name, "train", batch=8), accumulate=n) for n in (1, 4))
    for job in (whole, split):
        job.step(0, silent)
    for one, other in zip(whole.model.parameters(), split.model.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-6)
    assert whole.losses() == pytest.approx(split.losses(), rel=1e-5)
    one, other = whole.units(0), split.units(0)
    assert (one.samples, one.tokens, one.flops) == (other.samples, other.tokens, pytest.approx(other.flops))


def test_a_batch_that_does_not_split_evenly_is_refused(make):
    """Micro-batches of different sizes would weigh their samples differently."""
    with pytest.raises(ValueError, match="batch 4 does not split into 3 equal micro-batches"):
        job_of(make("gpt", "train", batch=4), accumulate=3)


def test_accumulation_without_training_is_refused(make):
    """It has no meaning there."""
    with pytest.raises(ValueError, match="accumulate 2 has no meaning in mode infer"):
        job_of(make("bert", "infer"), accumulate=2)


@pytest.mark.parametrize(("optimizer", "states"), [("sgd", 1), ("adamw", 2)])
def test_optimizer_state_is_counted(make, optimizer, states):
    """SGD keeps a momentum, AdamW two moments, and a step counter a parameter."""
    job = job_of(make("mlp", "train"), optimizer=optimizer, lr=0.01)
    assert job.optimizer_bytes() == 0
    job.step(0, silent)
    counters = 4 * len(list(job.model.parameters())) if optimizer == "adamw" else 0
    assert job.optimizer_bytes() == states * job.weights_bytes + counters


def test_the_learning_rate_that_is_given_is_used(make):
    """Twice the rate, twice the first SGD step."""
    start = job_of(make("mlp", "train"), optimizer="sgd", lr=0.1).model.head.weight.detach().clone()
    moves = []
    for rate in (0.1, 0.2):
        job = job_of(make("mlp", "train"), optimizer="sgd", lr=rate)
        job.step(0, silent)
        moves.append(job.model.head.weight.detach() - start)
    torch.testing.assert_close(2 * moves[0], moves[1], rtol=1e-3, atol=1e-7)


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


def test_the_least_traffic_counts_inputs_as_they_are_stored(make):
    """bf16 images and weights are half as many bytes."""
    full, half = (job_of(make("resnet", "infer"), precision) for precision in ("fp32", "bf16"))
    pixels = 8 * 3 * 64 * 64
    saved = full.weights_bytes - half.weights_bytes + 2 * pixels
    assert full.units(0).least_bytes - half.units(0).least_bytes == saved


class Readbacks(TorchDispatchMode):
    """Collect the operators that make the host wait for a value on the device."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        # Inference mode shows `item` itself, other modes the operator that it is made of.
        if func.overloadpacket.__name__ in {"_local_scalar_dense", "item", "is_nonzero", "nonzero"}:
            self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_step_reads_nothing_back_from_the_device(case, make, precision):
    """A read-back would make the host wait, and every launch behind it late."""
    job = job_of(make(*case), precision, optimizer="sgd", lr=0.01, top_k=5)
    with Readbacks() as readbacks:
        job.step(0, silent)
        assert readbacks.seen == []
        float(job.output().flatten()[0])
    assert len(readbacks.seen) == 1  # the instrument sees what it is for


def test_losses_are_bounded_and_keep_the_first():
    """A long run forgets the middle, never the beginning."""
    losses = Losses()
    assert losses.stacked().tolist() == []
    for value in range(LOSSES_KEPT + 10):
        losses.append(torch.tensor(float(value)))
    kept = losses.stacked().tolist()
    assert len(kept) == LOSSES_KEPT + 1
    assert kept[:2] == [0.0, 10.0]
    assert kept[-1] == LOSSES_KEPT + 9


def test_a_training_step_keeps_no_graph_alive(make):
    """Losses are detached: the step's activations are free once it is over."""
    job = job_of(make("mlp", "train"))
    job.step(0, silent)
    assert job.output().grad_fn is None
    assert not job.output().requires_grad


def test_tf32_is_refused_on_the_cpu(make):
    """It is a format of CUDA tensor cores."""
    with pytest.raises(UnsupportedError, match="tf32"):
        job_of(make("mlp", "infer"), "tf32")


@pytest.mark.parametrize(
    ("options", "message"),
    [({"precision": "fp7"}, "precision 'fp7'"), ({"optimizer": "lion"}, "optimizer 'lion'")],
)
def test_unknown_settings_are_refused(make, options, message):
    """One line that names the setting and what there is."""
    with pytest.raises(ValueError, match=message):
        job_of(make("mlp", "train"), **options)


def test_a_mode_that_the_workload_lacks_is_refused():
    """Also when the workload was built past the plan."""
    kind = registry.get("resnet")
    with pytest.raises(UnsupportedError, match="resnet has no mode 'generate'"):
        job_of(kind("generate", kind.spec.sizes["tiny"]))


def test_training_without_any_default_optimizer_is_refused(make, monkeypatch):
    """A workload that names none needs one from the configuration."""
    workload = make("mlp", "train")
    monkeypatch.setattr(type(workload), "spec", registry.get("noop").spec)
    with pytest.raises(ValueError, match="noop has no training defaults"):
        make_optimizer(workload, None, None, fused=False)


@pytest.fixture
def traced(monkeypatch):
    """Compile to the traced graphs themselves, which takes no C compiler and a second."""
    compile_module = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, mode: compile_module(self, backend="eager"))


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize(
    ("name", "mode", "expected"),
    [
        ("resnet", "infer", "compiled, 1 graph"),
        ("bert", "train", "compiled, 1 graph"),
        ("gpt", "decode", "compiled, 1 graph"),
        ("vit", "infer", "compiled, 1 graph"),
        ("llama", "decode", "compiled, 1 graph"),
        ("dlrm", "train", "compiled, 1 graph"),
        ("translation", "generate", "compiled, 3 graphs"),  # and a second word that has one behind it
        ("gpt", "generate", "compiled, 2 graphs"),  # prefill, and one decode step of any length
        ("lstm", "train", "not compiled"),  # the compiler leaves an LSTM alone without saying so
    ],
)
def test_the_graphs_that_the_compiler_made_are_counted(make, name, mode, expected):
    """What was asked for and what came of it are two facts; the results are those of the eager model."""
    eager, compiled = (
        job_of(make(name, mode, batch=2), optimize=Optimize(compile=how), top_k=1)
        for how in (None, "default")
    )
    for index in range(2):
        eager.step(index, silent)
        compiled.step(index, silent)
    assert compiled.compiled == expected
    torch.testing.assert_close(compiled.output(), eager.output())


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize(("precision", "whole"), [("bf16", True), ("fp32", False)])
def test_experts_compile_to_one_graph_in_bf16_and_say_where_they_break_in_fp32(make, precision, whole):
    """Torch knows the shape of a grouped product in bf16 alone; around it the rest is compiled."""
    eager, compiled = (
        job_of(make("moe", "prefill", batch=2), precision, optimize=Optimize(compile=how))
        for how in (None, "default")
    )
    for job in (eager, compiled):
        job.step(0, silent)
    assert (compiled.compiled == "compiled, 1 graph") is whole
    assert compiled.compiled.endswith("breaks") is not whole
    torch.testing.assert_close(compiled.output(), eager.output())


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


def test_the_compiler_s_code_gives_the_eager_result(make):
    """One small model through the whole compiler."""
    eager, compiled = (
        job_of(make("mlp", "infer", layers=1), optimize=Optimize(compile=how)) for how in (None, "default")
    )
    eager.step(0, silent)
    compiled.step(0, silent)
    assert compiled.compiled == "compiled, 1 graph"
    torch.testing.assert_close(compiled.output(), eager.output())
