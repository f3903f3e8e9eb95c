"""Which libraries a trial uses, and that the identity of its code depends on those and on no others."""

from __future__ import annotations

import pytest

from harness.identity import libraries as module
from harness.identity.libraries import libraries
from harness.identity.machine import Identity
from harness.planning.plan import make_plan
from harness.system.torch_build import TorchBuild

OLD = {"transformers": "5.6.0", "torchao": "0.18.0", "peft": "0.19.0", "jax": "0.10.0", "jaxlib": "0.10.0"}
BASE = Identity({}, {"torch": "2.13.0+cpu", "libraries": {}}, "m", "c")


@pytest.fixture
def installed(monkeypatch):
    """Say which packages are installed, in which versions."""

    def install(packages):
        monkeypatch.setattr(module, "package_version", packages.get)

    install(OLD)
    return install


def planned(*words):
    """Return the one trial that the words plan."""
    (trial,) = make_plan(words).trials
    return trial


def used(*words):
    """Return what the one trial that the words plan uses."""
    return dict(planned(*words).libraries)


def test_a_trial_of_our_own_model_uses_no_library(installed):
    """Nothing that it does not load is in its identity."""
    assert used("workload=gpt") == {}


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["workload=t5"], ["transformers"]),
        (["workload=t5", "workload.mode=train", "compress=prefix"], ["peft", "transformers"]),
        (["workload=gpt", "workload.mode=prefill", "compress=int8_weight"], ["torchao"]),
        (["workload=gpt", "workload.mode=finetune", "compress=lora"], ["peft"]),
        (["workload=mlp", "workload.mode=infer", "device=xla"], ["jax", "jaxlib", "torchax"]),
        (["workload=mlp", "precision=fp8"], ["torchao"]),
    ],
)
def test_what_a_trial_names_it_uses(installed, words, names):
    """By its workload, compressor, precision and device; one that is missing is None."""
    assert used(*words) == {name: OLD.get(name) for name in names}


def test_a_library_changes_the_code_of_the_trials_that_use_it_and_of_no_others(installed):
    """A newer transformers is other code for T5, and the same code for a model of ours."""
    t5, ours = (BASE.using(used(f"workload={name}")).code_id for name in ("t5", "gpt"))
    assert t5 != ours
    installed(OLD | {"transformers": "5.24.0"})
    assert BASE.using(used("workload=t5")).code_id != t5
    assert BASE.using(used("workload=gpt")).code_id == ours


def test_on_a_gpu_the_libraries_of_torch_count_and_nccl_where_there_are_ranks(monkeypatch, installed):
    """Packages go by the CUDA that torch was built for, else by their plain name."""
    installed({"nvidia-cudnn-cu13": "9.19", "nvidia-cublas": "13.1", "nvidia-cudnn-cu12": "9.1"})
    monkeypatch.setattr(module, "torch_build", lambda: TorchBuild("2.11.0+cu130", "13.0"))
    config = planned("workload=mlp").config
    gpu = config.model_copy(update={"device": config.device.model_copy(update={"kind": "cuda"})})
    assert libraries(gpu) == {"cudnn": "9.19", "cublas": "13.1", "nvrtc": None}
    ranks = config.parallel.model_copy(update={"ranks": 2})
    assert libraries(gpu.model_copy(update={"parallel": ranks}))["nccl"] is None
    assert "cudnn" not in libraries(config)
