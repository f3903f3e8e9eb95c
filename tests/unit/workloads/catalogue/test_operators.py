"""Single operators: their results, FLOPs and least traffic by arithmetic."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from workloads import registry
from workloads.engine.job import prepare
from workloads.engine.setup import Setup
from workloads.sizes import resolve_size

MICRO = ("matmul", "attention", "softmax", "layernorm", "convolution", "embedding")


def job_of(workload, precision="fp32", optimizer=None, lr=None):
    """Prepare an operator on the CPU."""
    return prepare(workload, Setup(precision=precision, optimizer=optimizer, lr=lr))


@pytest.mark.parametrize("name", [*MICRO, "optimizer"])
def test_all_sizes_have_the_same_keys_and_grow(name):
    """A sweep over sizes may override the same keys everywhere; `base` is more work than `tiny`."""
    spec = registry.get(name).spec
    sizes = spec.sizes
    assert set(sizes) == {"tiny", "base", "large"}
    assert {frozenset(size) for size in sizes.values()} == {frozenset(sizes["tiny"])}
    volumes = []
    for size in ("tiny", "base", "large"):
        keys = [v for v in sizes[size].values() if isinstance(v, int)]
        volumes.append(torch.tensor(keys, dtype=torch.float64).prod().item())
    assert volumes == sorted(set(volumes))
    assert spec.family == "micro"


@pytest.mark.parametrize(
    ("name", "sizes", "flops", "read", "weights", "written"),
    [
        ("matmul", {"batch": 8, "inner": 16, "columns": 24}, 2 * 8 * 16 * 24, 128, 384, 192),
        (
            "attention", {"batch": 2, "context": 32, "heads": 4, "kv_heads": 2, "head_size": 8},
            4 * 2 * 32 * 32 * 32 / 2, 2 * 32 * 8 * (4 + 2 + 2), 0, 2 * 32 * 32,
        ),
        (
            "attention",
            {"phase": "decode", "batch": 2, "context": 32, "heads": 4, "kv_heads": 2, "head_size": 8},
            4 * 2 * 32 * 32, 2 * 8 * (4 + 32 * 4), 0, 2 * 32,
        ),
        ("softmax", {"batch": 4, "columns": 10}, 0, 40, 0, 40),
        ("layernorm", {"batch": 4, "columns": 10}, 0, 40, 20, 40),
        (
            "convolution", {"batch": 2, "image": 6, "channels": 3, "channels_out": 5, "kernel": 3},
            2 * 2 * 36 * 3 * 5 * 9, 216, 135, 360,
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize(("precision", "width"), [("fp32", 4), ("bf16", 2)])
def test_an_operator_s_work_and_traffic(make, name, sizes, flops, read, weights, written, precision, width):
    """Inputs and weights read once, outputs written once, in the width that they are stored in."""
    job = job_of(make(name, "infer", **sizes), precision)
    assert job.units(0).flops == flops
    assert job.units(0).least_bytes == width * (read + weights + written)
    job.step(0, lambda _name: None)
    assert job.output().numel() == written
    assert job.check()["output_ok"]


def test_an_embedding_reads_the_rows_that_are_looked_up(make):
    """The rest of the table is no traffic; row numbers are eight bytes in any precision."""
    workload = make("embedding", "infer", batch=4, lookups=8, rows=1000, hidden=16)
    for precision, width in (("fp32", 4), ("bf16", 2)):
        job = job_of(workload, precision)
        distinct = len(set(workload.make_batch(0)["x"].flatten().tolist()))
        assert job.units(0).least_bytes == 8 * 32 + width * 16 * (distinct + 32)


@pytest.mark.parametrize(
    ("name", "sizes"),
    [("matmul", {}), ("convolution", {}), ("attention", {"phase": "decode"}), ("attention", {"kv_heads": 2})],
)
def test_the_closed_form_is_what_torch_counts(make, name, sizes):
    """Torch counts the whole square of causal attention."""
    workload = make(name, "infer", **sizes)
    model, batch = workload.build_model(), workload.make_batch(0)
    attention = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: (
        lambda q, k, v, *args, out_shape=None, **kwargs: 4 * q[0] * q[1] * q[2] * k[2] * q[3]
    )}  # fmt: skip
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=attention) as counter:
        workload.infer(model, batch)
    causal = name == "attention" and workload.size["phase"] == "prefill"
    assert counter.get_total_flops() == workload.units(batch).flops * (2 if causal else 1)


@torch.no_grad()
def test_operators_compute_what_their_names_say(make):
    """Each against its definition."""
    results = {}
    for name in MICRO:
        workload = make(name, "infer")
        torch.manual_seed(0)
        model, batch = workload.build_model(), workload.make_batch(0)
        results[name] = (model, list(batch.values()), workload.infer(model, batch))
    model, (x,), y = results["matmul"]
    torch.testing.assert_close(y, x @ model.weight.T)
    _, (x,), y = results["softmax"]
    torch.testing.assert_close(y, x.exp() / x.exp().sum(1, keepdim=True))
    _, (x,), y = results["layernorm"]
    torch.testing.assert_close(
        y, (x - x.mean(1, keepdim=True)) / (x.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
    )
    model, (x,), y = results["embedding"]
    assert torch.equal(y, model.weight[x])
    model, (x,), y = results["convolution"]
    patches = F.unfold(x, 3, padding=1)
    torch.testing.assert_close(y.flatten(2), model.weight.flatten(1) @ patches, rtol=1e-4, atol=1e-4)
    _, (q, k, v), y = results["attention"]
    scores = (q @ k.transpose(2, 3) / 8).masked_fill(torch.ones(128, 128).triu(1).bool(), -torch.inf)
    torch.testing.assert_close(y, scores.softmax(-1) @ v, rtol=1e-4, atol=1e-5)


def test_an_optimizer_step_moves_every_weight_by_its_gradient(make):
    """Plain SGD's first step is rate times gradient; the gradients stay as they are."""
    job = job_of(make("optimizer", "train", tensors=3, hidden=4), optimizer="sgd", lr=0.5)
    before = [w.detach().clone() for w in job.model.weights]
    gradients = [g.clone() for g in job.model.buffers()]
    job.step(0, lambda _name: None)
    for old, gradient, weight, kept in zip(
        before, gradients, job.model.weights, job.model.buffers(), strict=True
    ):
        torch.testing.assert_close(weight.detach(), old - 0.5 * gradient)
        assert torch.equal(kept, gradient)
        assert weight.grad is kept
    assert job.check()["output_ok"]
    assert job.parameters == 3 * 16
    assert job.units(0).least_bytes == 3 * 3 * 16 * 4  # weights and gradients read, weights written
    assert job.optimizer_bytes() == 3 * 16 * 4


@pytest.mark.parametrize(
    ("name", "mode", "overrides", "message"),
    [
        ("attention", "infer", {"phase": "train"}, "phase 'train' is not one of prefill, decode"),
        ("attention", "infer", {"kv_heads": 3}, "4 heads do not divide among 3 kv_heads"),
        ("convolution", "infer", {"kernel": 2}, "kernel 2 is not odd"),
        ("optimizer", "train", {"batch": 2}, "batch cannot be 2"),
    ],
)
def test_shapes_that_cannot_work_are_refused(make, name, mode, overrides, message):
    """One line, before anything is built."""
    with pytest.raises(ValueError, match=message):
        make(name, mode, **overrides)


@pytest.mark.parametrize(
    ("name", "mode", "table"),
    [
        ("llama", "prefill", "token"),
        ("mlp", "infer", "bag"),
        ("bert", "infer", "encoder.word"),
        ("dlrm", "infer", "tables"),
    ],
)
def test_models_least_traffic_leaves_out_the_rows_that_nobody_looks_up(make, name, mode, table):
    """A larger table with the same lookups is no more traffic."""
    kind = registry.get(name)
    key = "rows" if name == "dlrm" else "vocab"
    workload = make(name, mode)
    larger = kind(mode, resolve_size(kind.spec, "tiny", {key: 3 * int(workload.size[key])}))
    batch = workload.make_batch(0)
    rows = [
        model.get_submodule(table).weight.shape for model in (w.build_model() for w in (workload, larger))
    ]
    more = rows[1].numel() - rows[0].numel()
    assert larger.unread_weights(batch) - workload.unread_weights(batch) == more
    assert workload.unread_weights(batch) < rows[0].numel()
