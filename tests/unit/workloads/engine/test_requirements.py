"""What a model needs, counted without memory: the same as what it takes when it runs."""

from __future__ import annotations

import pytest
import torch

from workloads.engine.job import prepare
from workloads.engine.requirements import needs
from workloads.engine.setup import Setup


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("name", "mode", "optimizer"),
    [
        ("gpt", "train", "adamw"),
        ("gpt", "prefill", None),
        ("gpt", "decode", None),
        ("gpt", "generate", None),
        ("translation", "generate", None),
        ("resnet", "train", "sgd"),
        ("resnet", "infer", None),
        ("t5", "generate", None),
    ],
)
def test_needs_are_what_a_step_takes(make, name, mode, optimizer, precision):
    """Parameters, FLOPs, weights and cache to the byte; the optimizer's state but for its step counts."""
    workload = make(name, mode)
    found = needs(workload, precision=precision, optimizer=optimizer)
    job = prepare(workload, Setup(precision=precision, optimizer=optimizer))
    job.step(0, lambda _mark: None)
    assert found.parameters == job.parameters
    assert found.flops == job.units(0).flops
    assert found.weights_bytes == job.weights_bytes
    assert found.kv_cache_bytes == job.kv_cache_bytes
    counts = 4 * sum(1 for _ in job.model.parameters())
    gradients = sum(p.grad.nbytes for p in job.model.parameters() if p.grad is not None)
    assert 0 <= gradients + job.optimizer_bytes() - found.training_bytes <= counts
    assert found.least_bytes == found.weights_bytes + found.training_bytes + found.kv_cache_bytes


def test_gpt_3_needs_no_memory_to_be_planned(make):
    """175 billion weights train in 16 bytes each, and answer in 2; a step is 6·N·T and attention."""
    train = needs(make("gpt", "train", "gpt3", batch=1), optimizer="adamw")
    assert train.parameters == 174_604_259_328
    assert train.least_bytes == 16 * train.parameters
    weights = 96 * 12 * 12_288**2 + 50_257 * 12_288
    assert train.flops == 6 * weights * 2048 + 3 * 4 * 2048**2 * 12_288 * 96 / 2
    decode = needs(make("gpt", "decode", "gpt3", batch=1, prompt=1024), precision="bf16")
    assert decode.weights_bytes == 2 * train.parameters
    assert decode.kv_cache_bytes == 2 * 96 * 1025 * 12_288 * 2
    assert torch.get_default_device().type == "cpu"
