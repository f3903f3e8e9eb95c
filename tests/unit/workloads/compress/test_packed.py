"""The packed int8 kernels: near the fp32 outputs, a byte for each weight."""

from dataclasses import replace

import pytest
import torch

from workloads.compatibility import refusal


def silent(_name):
    """Take no mark."""


@pytest.mark.parametrize("cell_kind", ["lstm", "gru"])
def test_recurrent_layers_keep_a_byte_for_each_weight(job, cell_kind):
    """Biases and the embedding stay in fp32; generation runs from the state."""
    sizes = {"cell": cell_kind, "batch": 2, "prompt": 8, "new_tokens": 3}
    made = job("lstm", "generate", "int8_recurrent", sizes=sizes)
    made.step(0, silent)
    assert made.check()["output_ok"]
    gates = {"lstm": 4, "gru": 3}[cell_kind]
    weights, biases = 2 * 2 * gates * 128 * 128, 2 * 2 * gates * 128
    evidence = made.evidence()
    assert evidence["parameters"] == evidence["parameters_before"] == made.parameters
    assert evidence["layers"] == 1
    scales = 2 * 2 * (8 + 8)  # of each layer's two matrices
    assert made.weights_bytes == weights + 4 * (made.parameters - weights) + scales
    assert made.parameters == weights + biases + 256 * 128 + 256


def test_a_recurrent_layer_s_logits_stay_near(make, compressor, outputs):
    """Within a hundredth of the largest."""
    work = make("lstm", "generate", batch=2, prompt=8)
    model = work.build_model().eval()
    before = outputs(work, model)
    model, _ = compressor("int8_recurrent").compress(work, model)
    assert float((outputs(work, model) - before).abs().max()) < 0.02 * float(before.abs().max())


@pytest.mark.parametrize("name", ["resnet", "inception"])
def test_a_whole_convolutional_network_in_int8_stays_near(make, compressor, outputs, name):
    """The noise is 20 dB below the signal; the pass says how many nodes there were."""
    work = make(name, "infer")
    torch.manual_seed(0)
    model = work.build_model().eval()
    before = outputs(work, model)
    model, evidence = compressor("int8_convolution").compress(work, model)
    noise = outputs(work, model) - before
    assert float(before.square().sum() / noise.square().sum()) > 100
    (one,) = evidence["passes"]
    assert one["name"] == "static_int8"
    assert one["nodes_before"] > 0
    assert one["nodes_after"] == len(model.graph.nodes)
    assert evidence["weights_bytes"] < 0.35 * evidence["weights_bytes_before"]


def test_other_devices_formats_and_cells_are_refused(cell):
    """The kernels are the CPU's."""
    assert "works on cpu" in refusal(cell("resnet", "infer", "int8_convolution", device="cuda"))
    assert "precision fp32" in refusal(cell("lstm", "generate", "int8_recurrent", precision="bf16"))
    assert "lacks: classes" in refusal(cell("unet", "infer", "int8_convolution"))
    small = cell("resnet", "infer", "int8_convolution")
    assert "more than 32 pixels" in refusal(replace(small, size={**small.size, "image": 32}))
    plain = cell("lstm", "generate", "int8_recurrent")
    rnn = replace(plain, size={**plain.size, "cell": "rnn"})
    assert "not for rnn" in refusal(rnn)
