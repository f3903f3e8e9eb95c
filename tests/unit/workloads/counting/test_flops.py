from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from workloads.counting import flops
from workloads.counting.torch_counter import counted
from workloads.engine.job import prepare
from workloads.engine.setup import Setup


@pytest.mark.parametrize(
    ("depth", "multiply_adds", "parameters"),
    [
        (18, 1_814_073_344, 11_689_512),
        (34, 3_663_761_408, 21_797_672),
        (50, 4_089_184_256, 25_557_032),
        (101, 7_801_405_440, 44_549_160),
        (152, 11_513_626_624, 60_192_808),
    ],
)
def test_resnets_are_the_published_ones(make, depth, multiply_adds, parameters):
    """Multiply-adds of a 224x224 image, and weights."""
    workload = make("resnet", "infer", "base", batch=1, depth=depth)
    assert workload.units(workload.make_batch(0)).flops == 2 * multiply_adds
    with torch.device("meta"):
        assert sum(p.numel() for p in workload.build_model().parameters()) == parameters


def test_bert_base_forward_against_arithmetic(make):
    """12 layers of 2·12·d² a token, 4·S²·d of attention, pooler and classifier once a sequence."""
    workload = make("bert", "infer", "base", batch=2, seq=128)
    per_row = 128 * 12 * (2 * 12 * 768**2) + 12 * 4 * 128**2 * 768 + 2 * 768**2 + 2 * 768 * 2
    assert workload.units(workload.make_batch(0)).flops == 2 * per_row


def test_gpt2_small_forward_against_arithmetic(make):
    """6·N·T for training with the attention's causal half, N_mm being 123,532,032."""
    workload = make("gpt", "train", "base", batch=1)
    forward = 2 * 123_532_032 * 1024 + 4 * 1024**2 * 768 * 12 / 2
    assert workload.units(workload.make_batch(0)).flops == 3 * forward


def test_a_decode_step_against_arithmetic(make):
    """2·N + 4·L·d·ctx per token, where ctx counts the new token."""
    workload = make("gpt", "decode", "base", batch=3, prompt=511)
    expected = 3 * (2 * 123_532_032 + 4 * 12 * 768 * 512)
    assert workload.units(workload.make_batch(0)).flops == expected
    assert workload.step_units(3, 511).flops == expected


def test_generation_is_prefill_and_decode_steps(make):
    """Nothing is counted twice: the first token comes with the prefill."""
    sizes = {"batch": 2, "prompt": 10, "new_tokens": 4}
    generate, prefill = make("gpt", "generate", **sizes), make("gpt", "prefill", **sizes)
    first = prefill.units(prefill.make_batch(0))
    steps = [generate.step_units(2, context).flops for context in (10, 11, 12)]
    units = generate.units(generate.make_batch(0))
    assert units.flops == pytest.approx(first.flops + sum(steps), rel=1e-12)
    assert (units.samples, units.tokens, units.requests) == (2, 8, 2)
    assert (first.samples, first.tokens, first.requests) == (2, 20, 2)


def test_lstm_against_arithmetic(make):
    """2·B·T·Σ 4·h·(i+h), and the output layer; generation computes it for one position a step."""
    sizes = {"batch": 2, "seq": 5, "prompt": 3, "new_tokens": 4, "hidden": 8, "layers": 2, "vocab": 300}
    train, generate = make("lstm", "train", **sizes), make("lstm", "generate", **sizes)
    cell = 2 * (4 * 8 * 16) * 2
    head = 2 * 8 * 300
    assert train.units(train.make_batch(0)).flops == 3 * (2 * 5 * (cell + head))
    assert generate.units(generate.make_batch(0)).flops == 2 * (3 * cell + head) + 3 * 2 * (cell + head)
    assert generate.units(generate.make_batch(0)).tokens == 8


@pytest.mark.parametrize(("cell", "gates"), [("lstm", 4), ("gru", 3), ("rnn", 1)])
def test_recurrent_cells_cost_by_their_gates(make, cell, gates):
    """The same layers with fewer gates; the parameters follow: gates·(2·h² + 2·h) a layer."""
    workload = make("lstm", "train", batch=2, seq=5, hidden=8, layers=3, vocab=300, cell=cell)
    forward = 2 * 5 * (3 * gates * 2 * 8 * 16 + 2 * 8 * 300)
    assert workload.units(workload.make_batch(0)).flops == 3 * forward
    parameters = sum(p.numel() for p in workload.build_model().parameters())
    assert parameters == 3 * gates * (2 * 64 + 16) + 300 * 8 + 300


def test_llama_8b_s_decode_step_against_arithmetic(make):
    """2·N_mm + 4·L·d·ctx per token; N_mm is all weights but the token embedding and the norms."""
    weights = 8_030_261_248 - 128_256 * 4096 - (2 * 32 + 1) * 4096
    workload = make("llama", "decode", "base", batch=3)
    assert workload.step_units(3, 1023).flops == 3 * (2 * weights + 4 * 32 * 4096 * 1024)


def test_a_llama_decode_step_is_what_torch_counts(make):
    """One token a sequence over a cache of fewer heads than queries."""
    workload = make("llama", "decode", batch=2, prompt=33)
    model, batch = workload.build_model().eval(), workload.make_batch(0)
    with torch.no_grad():
        _, cache = workload.prefill(model, batch, 34)
        step = counted(lambda: workload.decode(model, batch["tokens"][:, -1], cache))
    assert step == workload.step_units(2, 33).flops


def test_googlenet_and_inception_cost_what_was_published(make):
    """1.58 and 5.71 billion multiply-adds an image at the published sizes, without auxiliary heads."""
    for size, expected in (("base", 1.582e9), ("large", 5.713e9)):
        workload = make("inception", "infer", size, batch=1)
        assert workload.units(workload.make_batch(0)).flops / 2 == pytest.approx(expected, rel=1e-3)


def test_the_diffusion_unet_costs_what_was_published(make):
    """6.1 billion multiply-adds an image, without attention's products: five times over 16x16 places."""
    workload = make("unet", "infer", "base", batch=1)
    products = 5 * flops.attention(1, 256, 256, 256, 1) + flops.attention(1, 16, 16, 256, 1)
    assert (workload.units(workload.make_batch(0)).flops - products) / 2 == pytest.approx(6.1e9, rel=0.01)


def test_faster_r_cnn_costs_what_was_published(make):
    """134.38 billion multiply-adds an image of 800 pixels a side, with 1000 proposals."""
    workload = make("fasterrcnn", "infer", "base", batch=1)
    assert workload.units(workload.make_batch(0)).flops / 2 == pytest.approx(134.38e9, rel=1e-5)


@pytest.mark.parametrize(("method", "steps"), [("gradients", 1), ("gradients", 3), ("attention", 4)])
def test_explanations_cost_what_torch_counts(make, method, steps):
    """A forward and an inputs' backward pass at each point; or one forward pass and a row of products."""
    workload = make("explanation", "infer", method=method, steps=steps)
    job = prepare(workload, Setup())
    assert counted(lambda: job.step(0, lambda _name: None)) == job.units(0).flops


def test_a_gan_s_step_is_what_torch_counts_and_gradients_that_nobody_needs(make):
    """No gradient reaches the pixels of real and of detached images, nor the noise."""
    workload = make("gan", "train")
    model, batch = workload.build_model(), workload.make_batch(0)
    spared = 2 * flops.conv2d(8 * 16 * 16, 3, 16, 4) + flops.conv2d(8, 64, 64, 4)
    assert counted(lambda: workload.loss(model, batch).backward()) == workload.units(batch).flops - spared


def test_maskgit_has_the_parameters_of_its_layers(make):
    """24 layers of 12·d² + 13·d, one table of codes, mask and classes, positions, and the output's layer."""
    with torch.device("meta"):
        model = make("maskgit", "train", "base").build_model()
    layers = 24 * (12 * 768**2 + 13 * 768)
    tables = (1024 + 1 + 1000 + 257) * 768
    assert sum(p.numel() for p in model.parameters()) == layers + tables + 768**2 + 5 * 768 + 1024


@pytest.mark.parametrize("steps", [1, 3])
def test_attacks_cost_what_torch_counts(make, steps):
    """Twice a forward pass for each of the attack's steps; training and its gradients come on top."""
    infer, train = (make("adversarial", mode, steps=steps) for mode in ("infer", "train"))
    model, batch = infer.build_model().eval().requires_grad_(requires_grad=False), infer.make_batch(0)
    assert counted(lambda: infer.infer(model, batch)) == infer.units(batch).flops
    forward = infer.forward_flops(4)
    assert infer.units(batch).flops == (2 * steps + 1) * forward
    assert train.units(batch).flops == (2 * steps + 3) * forward


def test_faster_r_cnn_s_training_forward_has_fewer_proposals(make):
    """The true boxes are among them; the losses cost nothing that counts."""
    workload = make("fasterrcnn", "train", image=160)
    model, batch = workload.build_model(), workload.make_batch(0)
    with torch.no_grad():
        assert counted(lambda: workload.loss(model, batch)) == workload.units(batch).flops / 3


def test_translation_s_forward_is_what_torch_counts_less_the_causal_half(make):
    """Encoder, cross-attention and logits in full; the decoder's own attention in its lower triangle."""
    workload = make("translation", "train", batch=3, seq=20)
    model, batch = workload.build_model(), workload.make_batch(0)
    upper = flops.attention(3, 20, 20, 128, 2, causal=True)
    with torch.no_grad():
        assert counted(lambda: workload.loss(model, batch)) == workload.units(batch).flops / 3 + upper


@pytest.mark.parametrize("beams", [1, 3])
def test_a_translation_is_what_torch_counts(make, beams):
    """The source once, the first word once a sentence, the others once a beam."""
    workload = make("translation", "generate", batch=2, seq=12, new_tokens=5, beams=beams)
    job = prepare(workload, Setup())
    assert counted(lambda: job.step(0, lambda _name: None)) == job.units(0).flops
    assert job.units(0).tokens == 2 * 5


def test_translation_s_encoder_is_read_once(make):
    """Of the least traffic, only what writes the words comes once per word."""
    few, many = (make("translation", "generate", new_tokens=n) for n in (1, 3))
    model = few.build_model()
    once = sum(p.numel() for p in model.encoder.parameters())
    once += sum(p.numel() for block in model.decoder for p in block.source.kv.parameters())
    assert few.unread_weights(few.make_batch(0)) == 0
    assert many.unread_weights(many.make_batch(0)) == 2 * once


@pytest.mark.parametrize(
    ("mode", "rows"), [("decode", 255), ("prefill", 192), ("generate", 2 * 256 - 64 - 1)]
)
def test_positions_that_no_token_has_are_not_read(make, mode, rows):
    """Of 256 learned positions a prompt of 64 reads its own, a token behind it one more in another pass."""
    workload = make("gpt", mode, **({"new_tokens": 2} if mode == "generate" else {}))
    assert workload.unread_weights(workload.make_batch(0)) == rows * 128


def test_experts_cost_the_chosen_ones(make):
    """A forward pass of two of four experts, the router and attention is what torch counts."""
    workload = make("moe", "train", batch=2, seq=24)
    model, batch = workload.build_model(), workload.make_batch(0)
    upper = flops.attention(2, 24, 24, 128, 2, causal=True)
    with torch.no_grad():
        assert counted(lambda: workload.loss(model, batch)) == workload.units(batch).flops / 3 + upper


def test_experts_that_no_token_can_choose_are_not_read(make):
    """Three tokens with one choice each leave five of eight experts alone, in every layer."""
    workload = make("moe", "decode", batch=3, experts=8, active=1)
    batch = workload.make_batch(0)
    model = workload.build_model()
    expert = sum(p[0].numel() for p in (model.blocks[0].network.gate_up, model.blocks[0].network.down))
    looked_up = len(set(batch["tokens"][:, -1].tolist()))
    assert workload.unread_weights(batch) == (256 - looked_up) * 128 + 5 * 2 * expert


@pytest.mark.parametrize(("layers", "shared"), [(3, False), (3, True), (5, True)])
def test_shared_layers_cost_as_much_and_weigh_less(make, layers, shared):
    """All layers are computed; one is stored: 12·d² + 13·d weights."""
    workload = make("bert", "infer", batch=2, layers=layers, shared=shared)
    model, batch = workload.build_model().eval(), workload.make_batch(0)
    stored = sum(p.numel() for p in model.encoder.blocks.parameters())
    assert stored == (1 if shared else layers) * (12 * 128**2 + 13 * 128)
    with torch.no_grad():
        assert counted(lambda: workload.infer(model, batch)) == workload.units(batch).flops


def test_mamba_s_forward_is_what_torch_counts(make):
    """Projections, convolution, the products of the chunks, and those that hand states on."""
    workload = make("mamba", "train", batch=3, seq=48)
    model, batch = workload.build_model(), workload.make_batch(0)
    with torch.no_grad():
        assert counted(lambda: workload.loss(model, batch)) == workload.units(batch).flops / 3
        decode = make("mamba", "decode", batch=3)
        _, state = decode.prefill(model, decode.make_batch(0), 0)
        step = counted(lambda: decode.decode(model, torch.zeros(3, dtype=torch.long), state))
    assert step == decode.step_units(3, 64).flops


def test_skip_gram_is_products_of_two_vectors(make):
    """2·d for the neighbour and for each negative; two tables of parameters."""
    workload = make("skipgram", "train", batch=10, vocab=50, hidden=8, negatives=3)
    model, batch = workload.build_model(), workload.make_batch(0)
    assert workload.units(batch).flops == 3 * 10 * 4 * 2 * 8
    assert sum(p.numel() for p in model.parameters()) == 2 * 50 * 8
    assert counted(lambda: workload.loss(model, batch).backward()) == workload.units(batch).flops


@pytest.mark.parametrize("variational", [False, True])
def test_the_autoencoder_s_parameters(make, variational):
    """Four 4x4 convolutions down and up, and the vector between them; twice its width to vary."""
    model = make("autoencoder", "train", variational=variational).build_model()
    down = sum(16 * i * o + o for i, o in pairwise([3, 16, 32, 64, 128]))
    up = sum(16 * i * o + o for i, o in pairwise([128, 64, 32, 16, 3]))
    features, code = 128 * 4, 64 if variational else 32
    vector = features * code + code + 32 * features + features
    assert sum(p.numel() for p in model.parameters()) == down + up + vector


@pytest.mark.parametrize("sizes", [{}, {"version": 3, "image": 75, "width": 8}])
def test_inception_s_auxiliary_heads_are_counted_in_training(make, sizes):
    """The training forward is what torch counts, with the heads."""
    workload = make("inception", "train", batch=2, **sizes)
    model, batch = workload.build_model(), workload.make_batch(0)
    with torch.no_grad():
        assert counted(lambda: workload.loss(model, batch)) == workload.units(batch).flops / 3


@pytest.mark.parametrize("gates", [1, 3, 4])
def test_recurrent_layers_may_differ_in_width(gates):
    """The input width of the first layer is its own."""
    assert flops.recurrent(2, 3, gates, [(5, 7), (7, 7)]) == 2 * 2 * 3 * gates * (7 * 12 + 7 * 14)


@pytest.mark.parametrize(
    ("name", "mode", "sizes"),
    [
        ("resnet", "infer", {"image": 64}),
        ("resnet", "infer", {"image": 97, "depth": 50}),
        ("resnet", "infer", {"image": 97, "depth": 18}),
        ("mlp", "infer", {"layers": 3}),
        ("bert", "infer", {"seq": 40}),
        ("ner", "infer", {"seq": 40}),
        ("vit", "infer", {"image": 48, "patch": 16}),
        ("fasterrcnn", "infer", {}),
        ("fasterrcnn", "infer", {"image": 96, "depth": 50}),
        ("inception", "infer", {}),
        ("inception", "infer", {"image": 97, "width": 8}),
        ("inception", "infer", {"image": 75, "width": 8, "version": 3}),
        ("inception", "infer", {"image": 100, "width": 8, "version": 3}),
        ("dlrm", "infer", {"tables": 5}),
        ("autoencoder", "infer", {}),
        ("autoencoder", "infer", {"variational": True, "image": 48}),
        ("dit", "infer", {}),
        ("dit", "infer", {"patch": 4, "channels": 3}),
        ("gan", "infer", {}),
        ("gan", "infer", {"image": 64, "width": 8}),
        ("maskgit", "infer", {}),
        ("maskgit", "infer", {"rounds": 1, "seq": 25}),
        ("unet", "infer", {}),
        ("unet", "infer", {"widths": "32,32,96", "blocks": 2, "attend": 16}),
    ],
)
def test_the_closed_form_of_inference_is_what_torch_counts(make, name, mode, sizes):
    """One forward pass by torch's counter, product by product."""
    workload = make(name, mode, batch=2, **sizes)
    model, batch = workload.build_model().eval(), workload.make_batch(0)
    with torch.no_grad():
        assert counted(lambda: workload.infer(model, batch)) == workload.units(batch).flops


def test_bert_s_pre_training_forward_is_what_torch_counts(make):
    """The word logits are computed for the prediction slots alone."""
    workload = make("bert", "train", batch=2)
    model, batch = workload.build_model(), workload.make_batch(0)
    with torch.no_grad():
        assert counted(lambda: workload.loss(model, batch)) == workload.units(batch).flops / 3


def test_gpt_s_forward_is_what_torch_counts_less_the_causal_half(make):
    """Torch counts the whole attention square; the closed form counts the lower triangle."""
    workload = make("gpt", "train", batch=2, seq=48)
    model, batch = workload.build_model(), workload.make_batch(0)
    upper = flops.attention(2, 48, 48, 128, 4, causal=True)
    with torch.no_grad():
        assert counted(lambda: workload.loss(model, batch)) == workload.units(batch).flops / 3 + upper


def test_a_gpt_decode_step_is_what_torch_counts(make):
    """One token a sequence over the cache."""
    workload = make("gpt", "decode", batch=2, prompt=33)
    model, batch = workload.build_model().eval(), workload.make_batch(0)
    with torch.no_grad():
        _, cache = workload.prefill(model, batch, 34)
        step = counted(lambda: workload.decode(model, batch["tokens"][:, -1], cache))
    assert step == workload.step_units(2, 33).flops


def test_training_is_three_times_forward_where_every_layer_needs_both_gradients(make):
    """The classifier's embedding needs a gradient, so no backward product is saved."""
    workload = make("mlp", "train", batch=4)
    model, batch = workload.build_model(), workload.make_batch(0)
    assert counted(lambda: workload.loss(model, batch).backward()) == workload.units(batch).flops


def test_units_scale_with_the_batch(case, make):
    """Twice the samples are twice the FLOPs."""
    one, two = make(*case, batch=2), make(*case, batch=4)
    small, large = one.units(one.make_batch(0)), two.units(two.make_batch(0))
    assert large.flops == pytest.approx(2 * small.flops, rel=1e-12)
    assert (large.samples, small.samples) == (4, 2)
