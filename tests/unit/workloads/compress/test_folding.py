"""Folded batch norm: fewer nodes, the same outputs."""

import pytest
import torch

from workloads.compatibility import refusal


def silent(_name):
    """Take no mark."""


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("resnet", {}),
        ("resnet", {"depth": 18}),
        ("gan", {}),
        ("inception", {"version": 3, "image": 80, "width": 8, "batch": 2}),
    ],
)
def test_folding_leaves_the_outputs_and_fewer_nodes(make, compressor, outputs, name, sizes):
    """Every batch norm goes; each is one node less."""
    workload = make(name, "infer", **sizes)
    torch.manual_seed(0)
    model = workload.build_model()
    workload.infer(model.train(), workload.make_batch(1))  # statistics that are not 0 and 1
    model.eval()
    before = outputs(workload, model)
    norms = sum(isinstance(m, torch.nn.BatchNorm2d) for m in model.modules())
    folded, evidence = compressor("fold_batch_norm").compress(workload, model)
    torch.testing.assert_close(outputs(workload, folded), before, rtol=1e-3, atol=1e-4)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())
    (one,) = evidence["passes"]
    assert one["name"] == "fold_batch_norm"
    assert one["nodes_before"] - one["nodes_after"] == evidence["layers"]
    assert 0 < evidence["layers"] <= norms
    assert evidence["parameters"] < evidence["parameters_before"]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_folded_model_runs_in_every_precision(job, precision):
    """The graph is cast as a model is."""
    made = job("resnet", "infer", "fold_batch_norm", precision=precision)
    made.step(0, silent)
    assert made.check()["output_ok"]


def test_training_and_models_without_batch_norm_are_refused(cell):
    """Statistics change in training."""
    assert "no meaning in mode train" in refusal(cell("resnet", "train", "fold_batch_norm"))
    assert "lacks: batch_norm" in refusal(cell("vit", "infer", "fold_batch_norm"))
    assert "no batch norm in version 1" in refusal(cell("inception", "infer", "fold_batch_norm"))
