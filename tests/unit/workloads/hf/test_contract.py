"""What every model of transformers must keep of the protocol."""

from __future__ import annotations

import math
import re

import pytest
import torch

from workloads import registry, transform
from workloads.compatibility import refusal
from workloads.counting import flops
from workloads.counting.torch_counter import counted
from workloads.engine.job import prepare
from workloads.engine.quality import measure
from workloads.engine.setup import Setup
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


def test_every_model_has_outputs_to_judge(hf_case, make):
    """Equal to itself, and near itself in bf16."""
    workload = make(*hf_case)
    assert measure(workload, Setup()).sqnr_db == math.inf
    assert 10 < measure(workload, Setup(precision="bf16")).sqnr_db < 80


def test_a_training_loss_reaches_every_weight_that_is_trained(hf_name, make):
    """No layer drop, no mask, nothing left out: every optimizer step does the full work."""
    workload = make(hf_name, "train")
    model, losses = workload.build_model(), []
    for _ in range(2):
        torch.manual_seed(1)  # SpeechT5 drops out before its decoder, whatever it is asked
        losses.append(workload.loss(model, workload.make_batch(0)))
    losses[0].backward()
    assert torch.equal(*losses)
    for key, weight in model.named_parameters():
        if not weight.requires_grad:
            continue
        assert weight.grad is not None, key
        # DETR's queries begin as zeros, so that their first attention has nothing to attend to.
        assert bool(weight.grad.abs().sum() > 0) or (hf_name, "decoder.layers.0.self_attn" in key) == (
            "detr",
            True,
        )


def test_batches_are_equal_by_seed_and_shared_by_row(hf_case, make):
    """Two ranks' rows are the whole batch."""
    workload = make(*hf_case, batch=4)
    whole, again = workload.make_batch(3), workload.make_batch(3)
    parts = [workload.make_batch(3, rank=rank, world=2) for rank in range(2)]
    for key, tensor in whole.items():
        assert torch.equal(tensor, again[key])
        assert torch.equal(tensor, torch.cat([part[key] for part in parts]))


def test_a_missing_library_refuses_the_cell_with_the_way_to_install_it(hf_name, monkeypatch):
    """The plan says what to do, and imports nothing for it."""
    spec = registry.get(hf_name).spec
    cell = Cell(workload=spec, mode="train", size=spec.sizes["tiny"])
    assert refusal(cell) is None
    monkeypatch.setattr(transform, "_is_installed", lambda _name: False)
    assert refusal(cell) == f"{hf_name} needs transformers: pip install 'joulemark[hf]'"


@pytest.mark.parametrize(
    ("name", "mode", "overrides", "message"),
    [
        ("t5", "train", {"vocab": 2}, "vocab 2 does not hold a word"),
        ("whisper", "train", {"heads": 5}, "hidden 64 does not divide by heads 5"),
        ("whisper", "train", {"frames": 63}, "frames 63 is odd"),
        ("whisper", "generate", {"new_tokens": 62}, "65 positions wanted, the decoder has 64"),
        ("clip", "infer", {"image": 33}, "image 33 does not divide by patch 8"),
        ("wav2vec2", "train", {"text": 13}, "8000 samples are too few for 13 letters"),
        ("wav2vec2", "infer", {"hidden": 40}, "hidden 40 is not a multiple of 16"),
        ("llava", "prefill", {"layers": 1}, "there is 1 layer"),
        ("detr", "infer", {"image": 65}, "image 65 is not a multiple of 32"),
        ("detr", "train", {"boxes": 11}, "11 boxes are more than the 10 queries"),
        ("detr", "train", {"depth": 51}, "depth 51 is not one of"),
        ("speecht5", "infer", {"frames": 33}, "frames 33 is not a multiple of 2"),
    ],
)
def test_sizes_that_cannot_work_are_refused_before_anything_is_built(make, name, mode, overrides, message):
    """The plan finds out by constructing the workload."""
    with pytest.raises(ValueError, match=message):
        make(name, mode, **overrides)


def causal(name: str, mode: str) -> float:
    """The upper half of causal attention at the tiny size: torch counts it, the closed form does not."""
    rows, seq, hidden = {
        "t5": (4, 16, 64),
        "whisper": (2, 16 if mode == "train" else 4, 64),
        "clip": (4, 16, 32),
        "llava": (2, 16 + (16 if mode == "train" else 8), 64),
        "speecht5": (2, 16, 32),
    }.get(name, (0, 0, 0))
    in_one_piece = mode == "train" or name in {"whisper", "clip", "llava"}
    return (
        flops.attention(rows, seq, seq, hidden, 2, causal=True) if in_one_piece and mode != "decode" else 0.0
    )


def angles(name: str, mode: str) -> float:
    """What transformers 5.6 multiplies for the angles of LLaVA's positions, by 8 frequencies; later not."""
    positions = {"train": 32, "prefill": 24, "decode": 1, "generate": 31}
    return 2.0 * 8 * positions[mode] if name == "llava" else 0.0


def test_the_closed_form_is_what_torch_counts(hf_case, make):
    """Forward pass, prefill, a decode step, generation: product by product, but for causal attention."""
    name, mode = hf_case
    workload = make(name, mode)
    if mode == "train":
        model, batch = workload.build_model(), workload.make_batch(0)
        units, run = workload.units(batch).flops / 3, lambda: workload.loss(model, batch)
        seen = {"llava": lambda: workload._image_flops(2)[0], "detr": lambda: workload._frozen_flops(2)}
        units += 2 / 3 * seen.get(name, float)()  # what is frozen is counted once
    elif mode == "infer":
        model, batch = workload.build_model().eval(), workload.make_batch(0)
        units, run = workload.units(batch).flops, lambda: workload.infer(model, batch)
    else:
        job = prepare(workload, Setup())
        units, run = job.units(0).flops, lambda: job.step(0, lambda _name: None)
    with torch.no_grad():
        found = counted(run)
    expected = pytest.approx(units + causal(name, mode), rel=1e-12)
    assert expected in (found, found - angles(name, mode))


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


def test_llava_s_cache_holds_the_image_and_its_words_are_those_of_the_whole_sequence(make):
    """Each word is what the model says when it reads image and words anew; rewinding keeps the image."""
    workload = make("llava", "generate")
    model, batch = randomised(workload), workload.make_batch(0)
    words = batch["tokens"]
    with torch.inference_mode():
        logits, cache = workload.prefill(model, batch, words.shape[1] + 4)
        for _ in range(4):
            read = workload._embedded(model, batch | {"tokens": words})
            whole = model(inputs_embeds=read).logits[:, -1]
            assert torch.allclose(logits, whole, atol=1e-4)
            words = torch.cat((words, whole.argmax(-1)[:, None]), 1)
            logits, cache = workload.decode(model, words[:, -1], cache)
        again, _ = workload.decode(model, words[:, -1], workload.rewind(cache, words.shape[1] - 1))
    assert torch.allclose(again, logits, atol=1e-5)


def test_llava_reads_its_image_where_the_library_puts_it(make):
    """Patches before the words are what the library makes of placeholders in the same places."""
    workload = make("llava", "train")
    model, batch = randomised(workload), workload.make_batch(0)
    image = model.config.image_token_id
    marked = torch.cat((batch["tokens"].new_full((2, 16), image), batch["tokens"]), 1)
    with torch.no_grad():
        theirs = model(input_ids=marked, pixel_values=batch["pixel_values"]).logits
        mine = model(inputs_embeds=workload._embedded(model, batch)).logits
    assert torch.allclose(mine, theirs, atol=1e-4)


def test_a_word_is_written_without_reading_what_sees(make):
    """A decode step reads the language model and one row of its table a word."""
    workload = make("llava", "decode", batch=3)
    batch = workload.make_batch(0)
    model = workload.build_model()
    looked_up = len(set(batch["tokens"][:, -1].tolist()))
    seeing = [p for key, p in model.named_parameters() if "vision_tower" in key or "projector" in key]
    assert workload.unread_weights(batch) == (512 - looked_up) * 64 + sum(p.numel() for p in seeing)


def test_speech_of_one_text_has_its_row(make):
    """The library drops the first dimension of a single row."""
    workload = make("speecht5", "infer", batch=1)
    with torch.no_grad():
        assert workload.infer(workload.build_model().eval(), workload.make_batch(0)).shape == (1, 32, 16)


@pytest.mark.parametrize("name", ["t5", "whisper"])
def test_what_reads_the_source_is_read_once(make, name):
    """Of the least traffic of generation, only what writes the tokens comes once per token."""
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
