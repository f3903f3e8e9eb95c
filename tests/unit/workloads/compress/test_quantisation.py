"""Quantised layers: exact where the format is, near elsewhere, in every mode, as many bytes as are stored."""

import pytest
import torch
from torch import nn

from workloads.compatibility import refusal
from workloads.compress.quantisation import calibrated
from workloads.models.packed import HalfLinear
from workloads.optimize import Optimize

NAMES = ("int8_weight", "int8_dynamic", "int8_static", "int4_weight", "fp8")
BITS = {"int8_weight": 8, "int8_dynamic": 8, "int8_static": 8, "int4_weight": 4, "fp8": 8}


def silent(_name):
    """Take no mark."""


def sqnr_db(expected, found):
    """Signal to noise, in decibels."""
    return 10 * float((expected.square().sum() / (expected - found).double().square().sum()).log10())


def grid(levels, rows, columns, scale):
    """Draw integers in ±levels, both ends in every row and every 32 of them, times a power of two."""
    values = torch.randint(-levels, levels + 1, (rows, columns)).float()
    values[:, ::32], values[:, 1::32] = levels, -levels
    return values * scale


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("workload", "mode"), [("gpt", "prefill"), ("mlp", "infer"), ("bert", "infer")])
def test_the_outputs_stay_near(make, compressor, outputs, name, workload, mode):
    """Eight bits keep the noise 25 dB below the signal, four bits 12 dB."""
    work = make(workload, mode)
    torch.manual_seed(0)
    model = work.build_model().eval().requires_grad_(requires_grad=False)
    before = outputs(work, model)
    model, evidence = compressor(name).compress(work, model)
    found = outputs(work, model)
    assert not torch.equal(found, before)
    assert sqnr_db(before, found) > {8: 25, 4: 12}[BITS[name]]
    assert evidence["bits"] == BITS[name]


def test_weights_that_fp8_holds_are_kept_exactly(make, compressor, outputs):
    """Every row's largest weight is the format's largest, so that its scale is one."""
    work = make("mlp", "infer")
    model = work.build_model().eval().requires_grad_(requires_grad=False)
    for layer in (*model.hidden, model.head):
        layer.weight.copy_((layer.weight * 50).to(torch.float8_e4m3fn).float())
        layer.weight[:, 0] = 448.0
    before = outputs(work, model)
    model, _ = compressor("fp8").compress(work, model)
    torch.testing.assert_close(outputs(work, model), before, rtol=1e-5, atol=1e-4)


def test_weights_of_sixteen_levels_are_kept_by_int4(make, compressor, outputs):
    """From -8 to 7 in every group: steps of one. What is left is the rounding of inputs to bf16."""
    work = make("mlp", "infer")
    model = work.build_model().eval().requires_grad_(requires_grad=False)
    for layer in model.hidden:
        layer.weight.copy_(torch.randint(-8, 8, layer.weight.shape).float())
        layer.weight[:, ::32], layer.weight[:, 1::32] = -8.0, 7.0
    before = outputs(work, model)
    model, evidence = compressor("int4_weight", layers="hidden.*").compress(work, model)
    assert sqnr_db(before, outputs(work, model)) > 45
    assert evidence["layers"] == 2


def test_int8_keeps_whole_weights_and_inputs_to_half_a_step(make, compressor):
    """The scale is the largest magnitude over 127.5, so that whole numbers up to 127 lose 0.4 %."""
    layer = nn.Linear(64, 32, bias=False)
    work = make("mlp", "infer")
    with torch.no_grad():
        layer.weight.copy_(grid(127, 32, 64, 0.25))
    model = nn.ModuleDict({"only": layer}).requires_grad_(requires_grad=False)
    x = torch.randint(0, 128, (8, 64)).float()
    x[:, 0], x[:, 1] = 0.0, 127.0
    before = layer(x)
    model, evidence = compressor("int8_dynamic").compress(work, model)
    torch.testing.assert_close(model["only"](x), before, rtol=0.004, atol=0.004 * float(before.abs().max()))
    assert evidence["kernel"].startswith("torch ")


def test_a_layer_s_bytes_are_those_that_are_stored(job):
    """A byte for each weight, a scale and a zero for each row or layer, and what is not quantised."""
    sides = [(64, 64), (64, 64), (4, 64)]
    dense = 4 * (512 * 64 + 64 + 64 + 4)
    weights, rows = sum(a * b for a, b in sides), sum(a for a, _ in sides)
    made = job("mlp", "infer", "int8_weight")
    assert made.weights_bytes == made.evidence()["weights_bytes"] == dense + weights + 5 * rows
    made = job("mlp", "infer", "fp8")
    assert made.weights_bytes == dense + weights + 4 * rows
    made = job("mlp", "infer", "int8_dynamic")
    assert made.weights_bytes == dense + weights + 3 * (8 + 8)
    assert made.parameters == dense / 4 + weights
    made = job("mlp", "infer", "int4_weight")
    hidden = 2 * (64 * 64 // 2 + 64 * 2 * 4)
    assert made.weights_bytes == dense - 2 * (64 + 64) + hidden + 4 * 4 * 64  # the biases are in bf16 too
    assert made.evidence()["kept_layers"] == 1  # four classes are too few for the kernel


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("workload", ["gpt", "llama"])
@pytest.mark.parametrize("mode", ["decode", "generate"])
def test_quantised_models_generate_in_every_precision(job, name, precision, workload, mode):
    """The cache has the trial's precision, and so have the outputs."""
    made = job(workload, mode, name, precision=precision)
    made.step(0, silent)
    assert made.check()["output_ok"]
    heads = {"gpt": 64, "llama": 64}[workload]
    positions = {"decode": 13, "generate": 14}[mode]
    width = {"fp32": 4, "bf16": 2, "fp16": 2}[precision]
    assert made.kv_cache_bytes == 2 * 2 * 2 * positions * heads * width
    if mode == "decode":
        assert made.output().dtype == {"fp32": torch.float32, "bf16": torch.bfloat16}.get(
            precision, torch.float16
        )


def test_calibration_finds_the_largest_input(make):
    """Over the batches that were shown."""
    work = make("mlp", "infer")
    model = work.build_model().eval()
    seen = []
    model.hidden[1].register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0].abs().max()))
    scales = calibrated(work, model, {"hidden.1": model.hidden[1]}, 3)
    assert len(seen) == 3
    assert float(scales["hidden.1"]) == pytest.approx(float(max(seen)) / 127)
    assert scales["hidden.1"].shape == (1, 1)


def test_layers_by_name_leave_the_others(job):
    """Attention alone is quantised."""
    made = job("gpt", "prefill", "int8_weight", layers="attention")
    kinds = {n: type(p.data).__name__ for n, p in made.model.named_parameters() if n.endswith("weight")}
    assert made.evidence()["layers"] == 4
    assert kinds["blocks.0.attention.qkv.weight"] == "Int8Tensor"
    assert kinds["blocks.0.up.weight"] != "Int8Tensor"


def test_an_output_layer_that_is_the_embedding_stays_one_with_it(job):
    """T5 looks words up in what gives its logits."""
    made = job("t5", "generate", "int8_weight")
    made.step(0, silent)
    assert made.model.lm_head.weight is made.model.shared.weight
    assert made.check()["output_ok"]


def test_what_a_device_lacks_is_refused_when_planned(cell):
    """Training, no linear layers, kernels of other devices and formats."""
    assert "no meaning in mode train" in refusal(cell("gpt", "train", "int8_weight"))
    assert "lacks: linear" in refusal(cell("resnet", "infer", "int8_dynamic"))
    assert "cpu has none" in refusal(cell("gpt", "decode", "fp8", activations=True))
    assert "more than 16 rows" in refusal(cell("gpt", "decode", "int8_dynamic", device="cuda"))
    assert "bf16" in refusal(cell("gpt", "decode", "int4_weight", device="cuda"))
    assert refusal(cell("gpt", "decode", "int4_weight", device="cuda", precision="bf16")) is None
    assert refusal(cell("gpt", "decode", "int4_weight")) is None
    assert refusal(cell("mlp", "infer", "int8_static", device="cuda")) is None


@pytest.mark.parametrize("name", NAMES)
def test_the_compiler_takes_quantised_layers(job, name, monkeypatch):
    """To its graphs, with the eager result; torch's packed kernels may break them."""
    compile_module = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda self, mode: compile_module(self, backend="eager"))
    eager, compiled = (job("mlp", "infer", name, optimize=Optimize(compile=how)) for how in (None, "default"))
    eager.step(0, silent)
    compiled.step(0, silent)
    assert compiled.compiled.startswith("compiled")
    torch.testing.assert_close(compiled.output(), eager.output(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_int4_multiplies_in_bf16_between_layers_of_any_format(job, precision, monkeypatch):
    """The CPU's kernel has fast products of no other; inputs and outputs keep the trial's format."""
    seen, linear = set(), nn.Linear.forward

    def look(self, x):
        found = linear(self, x)
        if isinstance(self, HalfLinear):
            seen.add((x.dtype, found.dtype))
        return found

    monkeypatch.setattr(nn.Linear, "forward", look)
    made = job("llama", "prefill", "int4_weight", precision=precision)
    made.step(0, silent)
    assert seen == {(torch.bfloat16, torch.bfloat16)}
    assert made.output().dtype == {"fp32": torch.float32, "bf16": torch.bfloat16}.get(
        precision, torch.float16
    )
