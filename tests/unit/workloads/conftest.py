"""Every real workload in every mode, at its tiny size, one thread."""

from __future__ import annotations

import pytest
import torch

from workloads import registry
from workloads.base import SERVE, Workload
from workloads.sizes import resolve_size

NAMES = (
    "resnet",
    "mlp",
    "lstm",
    "bert",
    "ner",
    "gpt",
    "llama",
    "moe",
    "mamba",
    "vit",
    "inception",
    "adversarial",
    "explanation",
    "fasterrcnn",
    "dlrm",
    "translation",
    "skipgram",
    "autoencoder",
    "dit",
    "unet",
    "maskgit",
    "gan",
)
HF = [name for name, place in registry.BUILT_IN.items() if place.startswith("workloads.hf.")]
"""The models of transformers, whose own tests are in `hf`."""
MICRO = ("matmul", "attention", "softmax", "layernorm", "convolution", "embedding")
"""Single operators; `optimizer`, which has no batch to speak of, is tested apart."""
CASES = [(name, mode) for name in NAMES for mode in registry.get(name).spec.modes if mode != SERVE]
"""An engine that serves is tested apart."""


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Leave the machine's other core to others; results do not depend on it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=[*NAMES, *HF])
def name(request) -> str:
    """Each real workload's name."""
    if request.param in HF:
        pytest.importorskip("transformers")
    return request.param


@pytest.fixture(params=[*CASES, *((name, "infer") for name in MICRO)], ids="-".join)
def case(request) -> tuple[str, str]:
    """Each real workload's and operator's name with each of its modes."""
    return request.param


@pytest.fixture(params=[c for c in CASES if c[1] in {"train", "finetune"}], ids="-".join)
def training_case(request) -> tuple[str, str]:
    """Each real workload's name with each of its training modes."""
    return request.param


@pytest.fixture
def make():
    """Give a builder of workloads by name, mode and size; further keywords override the size."""

    def build(name: str, mode: str, size: str = "tiny", *, seed: int = 0, data=None, **overrides) -> Workload:
        kind = registry.get(name)
        return kind(mode, resolve_size(kind.spec, size, overrides), seed=seed, data=data)

    return build
