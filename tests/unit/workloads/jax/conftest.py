"""JAX for tests: four devices on the CPU, and small workloads. Continuous integration has the extra."""

import os
from types import MappingProxyType

import pytest
import torch

os.environ.setdefault("JAX_NUM_CPU_DEVICES", "4")  # JAX reads it when it is imported
if not os.environ.get("CI"):
    pytest.importorskip("jax", reason="the extra jax is not installed: pip install -e '.[test]'")

from workloads import registry
from workloads.engine.setup import Chosen, Setup

_LANGUAGE = {"hidden": 32, "heads": 2, "vocab": 64, "batch": 4, "seq": 12, "prompt": 6, "new_tokens": 4}
SMALL = {
    "gpt": {**_LANGUAGE, "layers": 1},
    "llama": {**_LANGUAGE, "layers": 1, "inner": 48, "kv_heads": 1},
    "mlp": {"batch": 8, "seq": 6, "vocab": 50, "hidden": 16, "width": 16, "layers": 1},
    "dlrm": {"batch": 8, "tables": 2, "rows": 20, "bag": 2, "hidden": 8},
}
"""Sizes that compile in about a second."""


@pytest.fixture(autouse=True)
def _compiled_quickly(request):
    """Let XLA optimize as it does for users in slow tests alone: compiling takes twice as long."""
    import jax

    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", "slow" not in request.keywords)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture(scope="session")
def xla():
    """Return the opened device."""
    from harness.devices.jax import XlaDevice

    device = XlaDevice(threads=1)
    device.open()
    return device


@pytest.fixture
def workload():
    """Return a function that makes a small workload by name and mode."""

    def make(name, mode, **sizes):
        kind = registry.get(name)
        return kind(mode, {**kind.spec.sizes["tiny"], **SMALL.get(name, {}), **sizes}, seed=0)

    return make


@pytest.fixture
def both(xla, monkeypatch):
    """Return a function that runs the same steps by XLA and by torch; it returns both jobs."""
    from workloads.engine.job import prepare as prepare_torch
    from workloads.jax.job import prepare

    # torch's optimizers from 2.15 on ask an accelerator for its stream; torchax names one that has none.
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)

    def run(made, steps=3, parallel=None, as_torch=MappingProxyType({}), mark=lambda _name: None, **setup):
        chosen = {} if parallel is None else {"parallel": Chosen("mesh", parallel)}
        ours = prepare(made, Setup(device="xla", **setup, **chosen))
        theirs = prepare_torch(made, Setup(device="cpu", **{**setup, **as_torch}))
        step = xla.held(ours.step)
        for index in range(steps):
            step(index, mark)
            theirs.step(index, lambda _mark: None)
        xla.synchronize()
        return ours, theirs

    return run
