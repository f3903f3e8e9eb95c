"""Small compressed jobs on the CPU."""

from __future__ import annotations

import pytest
import torch

from workloads import registry
from workloads.compress.registry import COMPRESSORS
from workloads.engine.job import PreparedWorkload, prepare
from workloads.engine.setup import Chosen, Setup
from workloads.optimize import EAGER
from workloads.sizes import resolve_size
from workloads.transform import Cell, resolve_settings

SMALL = {
    "mlp": {"batch": 8, "vocab": 512, "hidden": 64, "width": 64},
    "gpt": {"batch": 2, "prompt": 12, "seq": 16, "new_tokens": 3, "layers": 2, "hidden": 64, "heads": 2},
    "llama": {"batch": 2, "prompt": 12, "seq": 16, "new_tokens": 3, "layers": 2},
    "resnet": {"batch": 2, "image": 48},
    "bert": {"batch": 2},
    "vit": {"batch": 2, "layers": 2},
}


@pytest.fixture
def make():
    """Return a workload by name and mode, smaller than its tiny size."""

    def build(name, mode, *, seed=0, **sizes):
        kind = registry.get(name)
        return kind(mode, resolve_size(kind.spec, "tiny", SMALL.get(name, {}) | sizes), seed=seed)

    return build


@pytest.fixture
def compressor():
    """Return a compressor by name, its settings over the defaults."""

    def build(name, **settings):
        kind = COMPRESSORS.get(name)
        return kind(resolve_settings(kind.spec, settings))

    return build


@pytest.fixture
def job(make):
    """Prepare a compressed job: `job("gpt", "infer", "svd", rank=4)`."""

    def build(
        name, mode, compress, *, precision="fp32", optimize=EAGER, optimizer="sgd", sizes=None, **settings
    ) -> PreparedWorkload:
        resolved = resolve_settings(COMPRESSORS.get(compress).spec, settings)
        return prepare(
            make(name, mode, **(sizes or {})),
            Setup(
                precision=precision,
                optimizer=optimizer,
                lr=0.02,
                top_k=1,
                compress=Chosen(compress, resolved),
                optimize=optimize,
            ),
        )

    return build


@pytest.fixture
def cell():
    """Return the cell of a workload's tiny size with a compressor's settings over its defaults."""

    def build(name, mode, compress, *, device="cpu", precision="fp32", **settings):
        spec = registry.get(name).spec
        resolved = resolve_settings(COMPRESSORS.get(compress).spec, settings)
        return Cell(
            spec,
            mode,
            spec.sizes["tiny"],
            precision,
            compress=compress,
            compress_settings=resolved,
            device=device,
        )

    return build


@pytest.fixture
def outputs(make):
    """Return a model's outputs over a workload's first batch."""

    @torch.no_grad()
    def run(workload, model):
        batch = workload.make_batch(0)
        if workload.mode == "infer":
            return workload.infer(model, batch)
        return workload.prefill(model, batch, batch["tokens"].shape[1])[0]

    return run
