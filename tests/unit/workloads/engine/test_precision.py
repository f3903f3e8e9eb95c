"""Number formats by their arithmetic: what fp16 would lose, what fp8 rounds, what cannot work."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from workloads import registry
from workloads.base import UnsupportedError
from workloads.compatibility import refusal
from workloads.engine import precision
from workloads.engine.job import prepare
from workloads.engine.setup import Setup
from workloads.training import Training, train_step
from workloads.transform import Cell

CPU = torch.device("cpu")


def tiny_loss(model: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return a loss whose gradient is too small for fp16: 2⁻³⁰ an element."""
    return (model(batch["x"]).float() * 2.0**-30).sum()


def test_scaled_gradients_do_not_vanish():
    """fp16 has nothing below 2⁻²⁴; with the scale of 65,536 the update is that of fp32."""
    updates = {}
    for name, scaler in (("bare", None), ("scaled", precision.gradient_scaler(CPU, "fp16"))):
        model = nn.Linear(4, 1, bias=False)
        with torch.no_grad():
            model.weight.fill_(0.0)
        step = train_step(
            Training(
                workload=None,
                model=model,
                ring=[[{"x": torch.ones(1, 4)}]],
                optimizer=torch.optim.SGD(model.parameters(), lr=2.0**30),
                loss=tiny_loss,
                cast=precision.autocast(CPU, "fp16"),
                scaler=scaler,
            )
        )
        step(0, lambda _name: None)
        updates[name] = model.weight.detach().flatten().tolist()
    assert updates["bare"] == [0.0] * 4
    assert updates["scaled"] == [-1.0] * 4


@pytest.mark.parametrize(("name", "mode"), [("gpt", "train"), ("resnet", "infer"), ("llama", "generate")])
def test_fp16_runs_and_is_stored_in_half_the_bytes(make, name, mode):
    """Weights are cast where nothing trains; a training step keeps them in fp32."""
    whole, half = (prepare(make(name, mode), Setup(precision=p)) for p in ("fp32", "fp16"))
    half.step(0, lambda _name: None)
    assert half.check()["output_ok"]
    ratio = whole.weights_bytes / half.weights_bytes
    assert ratio == 1.0 if mode == "train" else ratio > 1.99


def test_fp8_products_round_to_the_formats_steps():
    """Emulated: values that e4m3 holds are multiplied exactly, others to its three bits of mantissa."""
    model = nn.Sequential(nn.Linear(16, 16, bias=False))
    exact = torch.tensor([0.25, 0.5, 1.0, 2.0]).repeat(4)
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(16) * 448)
    assert precision.train_in_fp8(model, emulate=True) == 1
    x = (exact * 224).expand(16, 16)
    torch.testing.assert_close(model(x), x * 448)
    rough = torch.linspace(1.0, 2.0, 16).expand(16, 16) * 224
    error = ((model(rough) / 448 - rough) / rough).abs().max().item()
    assert 0.01 < error <= 2.0**-4


def test_fp8_training_has_gradients():
    """The backward products are fp8 too, and the weights learn."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 16))
    x, y = torch.randn(64, 32), torch.randn(64, 16)
    precision.train_in_fp8(model, emulate=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = ((model(x) - y) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.95 * losses[0]


def test_a_model_without_fitting_layers_is_no_fp8_model():
    """Nothing would be fp8, and the record would say it was."""
    with pytest.raises(UnsupportedError, match="multiple of 16"):
        precision.train_in_fp8(nn.Linear(8, 8), emulate=True)
    with pytest.raises(UnsupportedError, match="compute capability"):
        precision.train_in_fp8(nn.Linear(16, 16))


@pytest.mark.parametrize(
    ("workload", "mode", "device", "wanted", "reason"),
    [
        ("gpt", "train", "cuda", "fp8", None),
        ("gpt", "train", "cpu", "fp8", "CUDA devices only"),
        ("gpt", "decode", "cuda", "fp8", "compress=fp8"),
        ("resnet", "train", "cuda", "fp8", "needs linear layers"),
        ("gpt", "train", "cpu", "tf32", "CUDA devices only"),
        ("optimizer", "train", "cpu", "bf16", "it can with fp32"),
        ("lstm", "train", "cpu", "fp16", "trains no nn.LSTM in fp16"),
        ("lstm", "train", "cuda", "fp16", None),
        ("lstm", "generate", "cpu", "fp16", None),
    ],
)
def test_a_format_that_cannot_work_is_refused_with_its_reason(workload, mode, device, wanted, reason):
    """At plan time, without torch."""
    spec = registry.get(workload).spec
    found = refusal(Cell(spec, mode, spec.sizes["tiny"], precision=wanted, device=device))
    assert found is None if reason is None else reason in found
