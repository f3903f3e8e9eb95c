"""Find workloads by name: our own, and other packages' through the entry point `joulemark.workloads`."""

from __future__ import annotations

import importlib
from functools import cache
from importlib.metadata import entry_points

from workloads.base import Workload

BUILT_IN = {
    "resnet": "workloads.resnet:ResNet",
    "mlp": "workloads.mlp:MLPClassifier",
    "lstm": "workloads.lstm:LSTMLanguageModel",
    "bert": "workloads.bert:Bert",
    "gpt": "workloads.gpt:GPT",
    "llama": "workloads.llama:Llama",
    "moe": "workloads.moe:MixtureOfExperts",
    "mamba": "workloads.mamba:Mamba",
    "vit": "workloads.vit:ViT",
    "inception": "workloads.inception:Inception",
    "dlrm": "workloads.dlrm:DLRM",
    "translation": "workloads.translation:Translation",
    "skipgram": "workloads.skipgram:SkipGram",
    "autoencoder": "workloads.autoencoder:Autoencoder",
    "dit": "workloads.dit:DiT",
    "matmul": "workloads.micro:MatrixProduct",
    "attention": "workloads.micro:Attention",
    "softmax": "workloads.micro:Softmax",
    "layernorm": "workloads.micro:LayerNorm",
    "convolution": "workloads.micro:Convolution",
    "embedding": "workloads.micro:Embedding",
    "optimizer": "workloads.optimizer:OptimizerStep",
    "noop": "workloads.selftest:Noop",
    "spin": "workloads.selftest:Spin",
    "faults": "workloads.selftest:Faults",
}
GROUP = "joulemark.workloads"


@cache
def _plugins() -> tuple[dict[str, type[Workload]], dict[str, str]]:
    found: dict[str, type[Workload]] = {}
    broken: dict[str, str] = {}
    for point in entry_points(group=GROUP):
        try:
            loaded = point.load()
            if not (isinstance(loaded, type) and issubclass(loaded, Workload)):
                broken[point.name] = f"{point.value} is not a Workload class"
            elif point.name in BUILT_IN:
                broken[point.name] = f"{point.value} takes the name of a built-in workload"
            else:
                found[point.name] = loaded
        except Exception as error:  # noqa: BLE001 - another package's import may fail in any way
            broken[point.name] = f"{point.value}: {type(error).__name__}: {error}"
    return found, broken


def names() -> list[str]:
    """Return the names of all workloads, built-in first."""
    return [*BUILT_IN, *_plugins()[0]]


def get(name: str) -> type[Workload]:
    """Return the class of a workload.

    Raises:
        KeyError: no such workload.
    """
    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].partition(":")
        loaded: type[Workload] = getattr(importlib.import_module(module), attribute)
        return loaded
    return _plugins()[0][name]


def broken() -> dict[str, str]:
    """Return the plugins that disabled themselves, with the reason, for `joulemark doctor`."""
    return _plugins()[1]
