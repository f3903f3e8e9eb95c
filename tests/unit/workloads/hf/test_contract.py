"""What every model of transformers must keep of the protocol."""

from __future__ import annotations

import importlib.util
import re

import pytest
import torch

from workloads import flops, registry
from workloads.cells import refusal
from workloads.counting import counted
from workloads.modes import prepare
from workloads.setup import Setup
from workloads.transform import Cell


def randomised(workload) -> torch.nn.Module:
    """Build the model with weights large enough that its outputs differ among themselves."""
    torch.manual_seed(0)
    model = workload.build_model().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.2)
    return model


def test_every_mode_runs_and_its_output_is_finite(hf_case, make):
    """A step of the tiny size on the CPU, through what the harness calls."""
    job = prepare(make(*hf_case), Setup())
    job.step(0, lambda _name: None)
    assert job.check() == {"output_ok": True, "output_reason": None}


def test_a_training_loss_reaches_every_weight_that_is_trained(hf_name, make):
    """No dropout, no layer drop, no mask: every optimizer step does the full work."""
    workload = make(hf_name, "train")
    model = workload.build_model()
    losses = [workload.loss(model, workload.make_batch(0)) for _ in range(2)]
    losses[0].backward()
    assert torch.equal(*losses)
    trained = [p for p in model.parameters() if p.requires_grad]
    assert trained
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in trained)


def test_equal_seeds_give_equal_weights(hf_name, make):
    """Weights depend on torch's random state alone."""
    workload = make(hf_name, "train")
    states = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        states.append(workload.build_model().state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert any(not torch.equal(states[0][key], states[2][key]) for key in states[0])


def test_batches_are_equal_by_seed_and_shared_by_row(hf_case, make):
    """Two ranks' rows are the whole batch."""
    workload = make(*hf_case, batch=4)
    whole, again = workload.make_batch(3), workload.make_batch(3)
    parts = [workload.make_batch(3, rank=rank, world=2) for rank in range(2)]
    for key, tensor in whole.items():
        assert torch.equal(tensor, again[key])
        assert torch.equal(tensor, torch.cat([part[key] for part in parts]))


def test_blocks_are_parts_of_the_model(hf_name, make):
    """What is to be sharded or checkpointed belongs to the model."""
    workload = make(hf_name, "train")
    model = workload.build_model()
    assert workload.blocks(model)
    assert set(workload.blocks(model)) <= set(model.modules())


def test_sizes_have_the_same_keys_and_grow(hf_name, make):
    """Each size has more parameters than the one before it; counted on the meta device."""
    sizes = registry.get(hf_name).spec.sizes
    assert {frozenset(size) for size in sizes.values()} == {frozenset(sizes["tiny"])}
    counts = []
    for size in ("tiny", "base", "large"):
        with torch.device("meta"):
            counts.append(sum(p.numel() for p in make(hf_name, "train", size).build_model().parameters()))
    assert counts == sorted(set(counts))


def test_a_missing_library_refuses_the_cell_with_the_way_to_install_it(hf_name, monkeypatch):
    """The plan says what to do, and imports nothing for it."""
    spec = registry.get(hf_name).spec
    cell = Cell(workload=spec, mode="train", size=spec.sizes["tiny"])
    assert refusal(cell) is None
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    assert refusal(cell) == f"{hf_name} needs transformers: pip install 'joulemark[hf]'"


@pytest.mark.parametrize(
    ("name", "mode", "overrides", "message"),
    [
        ("t5", "train", {"vocab": 2}, "vocab 2 does not hold a word"),
        ("whisper", "train", {"heads": 5}, "hidden 64 does not divide by heads 5"),
        ("whisper", "train", {"frames": 63}, "frames 63 is odd"),
        ("whisper", "generate", {"new_tokens": 62}, "65 positions wanted, the decoder has 64"),
        ("clip", "infer", {"image": 33}, "image 33 does not divide by patch 8"),
    ],
)
def test_sizes_that_cannot_work_are_refused_before_anything_is_built(make, name, mode, overrides, message):
    """The plan finds out by constructing the workload."""
    with pytest.raises(ValueError, match=message):
        make(name, mode, **overrides)


@pytest.mark.parametrize(
    ("name", "causal"),
    [
        ("t5", flops.attention(4, 16, 16, 64, 2, causal=True)),
        ("whisper", flops.attention(2, 16, 16, 64, 2, causal=True)),
        ("clip", flops.attention(4, 16, 16, 32, 2, causal=True)),
    ],
)
def test_the_closed_form_of_a_forward_pass_is_what_torch_counts(make, name, causal):
    """Torch counts the whole square of causal attention; the closed form counts the lower triangle."""
    workload = make(name, "train")
    model, batch = workload.build_model(), workload.make_batch(0)
    with torch.no_grad():
        assert counted(lambda: workload.loss(model, batch)) == workload.units(batch).flops / 3 + causal


@pytest.mark.parametrize(
    ("name", "causal"), [("t5", 0), ("whisper", flops.attention(2, 4, 4, 64, 2, causal=True))]
)
def test_generation_costs_what_torch_counts(make, name, causal):
    """The source once, then a token at a time over the cache."""
    job = prepare(make(name, "generate"), Setup())
    assert counted(lambda: job.step(0, lambda _name: None)) == job.units(0).flops + causal


@pytest.mark.parametrize("name", ["t5", "whisper"])
def test_generation_with_our_cache_writes_the_tokens_of_the_whole_sequence(make, name):
    """Each token is what the model says when it reads everything anew, and a rewound cache says it again."""
    workload = make(name, "generate")
    model, batch = randomised(workload), workload.make_batch(0)
    written = workload.beginning(batch)
    with torch.inference_mode():
        logits, cache = workload.prefill(model, batch, 0)
        for _ in range(workload.n("new_tokens") - 1):
            whole = model(**workload.source(batch), decoder_input_ids=written).logits[:, -1]
            assert torch.allclose(logits, whole, atol=1e-4)
            written = torch.cat((written, whole.argmax(-1)[:, None]), 1)
            logits, cache = workload.decode(model, written[:, -1], cache)
        again, _ = workload.decode(model, written[:, -1], workload.rewind(cache, written.shape[1] - 1))
    assert len(set(written.flatten().tolist())) > 3
    assert torch.allclose(again, logits, atol=1e-5)


@pytest.mark.parametrize("name", ["t5", "whisper"])
def test_what_reads_the_source_is_read_once(make, name):
    """Of the least traffic of generation, only what writes the tokens comes once a token."""
    few, many = (make(name, "generate", new_tokens=n) for n in (1, 3))
    source = re.compile(r"encoder\.|EncDecAttention\.[kv]|encoder_attn\.[kv]_proj")
    once = sum(p.numel() for key, p in few.build_model().named_parameters() if source.search(key))
    assert few.unread_weights(few.make_batch(0)) == 0
    assert many.unread_weights(many.make_batch(0)) == 2 * once


def test_captions_read_the_words_that_they_have(make):
    """Rows of the word table that no caption needs are not read."""
    workload = make("clip", "infer")
    batch = workload.make_batch(0)
    words = len(set(batch["input_ids"].flatten().tolist()))
    assert workload.unread_weights(batch) == (512 - words) * 32
