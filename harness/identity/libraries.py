"""The libraries beside torch that decide a trial's numbers, known from its configuration alone."""

from __future__ import annotations

from collections.abc import Iterator

from harness.config.models import Config
from harness.identity.fingerprint import package_version
from harness.system.torch_build import torch_build
from workloads import registry as workloads
from workloads.compress.registry import COMPRESSORS
from workloads.parallel.registry import STRATEGIES
from workloads.transform import NONE

Libraries = dict[str, str | None]
"""By name, the installed version; None where it is not installed as a package of its own."""
_XLA = ("jax", "jaxlib", "torchax")
_CUDA = {"cudnn": "cudnn", "cublas": "cublas", "nccl": "nccl", "nvrtc": "cuda-nvrtc"}
"""What a CUDA build of torch loads, by the name of its package after `nvidia-`."""


def libraries(config: Config) -> Libraries:
    """Return the libraries that a trial uses, each with its version; imports none of them.

    Args:
        config: validated; its workload, compressor and strategy are known.
    """
    found = {name: package_version(name) for name in sorted(set(_named(config)))}
    return found | (_cuda(config.parallel.ranks) if config.device.kind == "cuda" else {})


def _named(config: Config) -> Iterator[str]:
    """Yield the packages that workload, compressor, strategy, precision and device ask for."""
    used = [workloads.get(config.workload.name).spec.library]
    if config.compress.name != NONE:
        used.append(COMPRESSORS.get(config.compress.name).spec.library)
    if config.parallel.name != NONE:
        used.append(STRATEGIES.get(config.parallel.name).spec.library)
    yield from filter(None, used)
    if config.workload.folder is not None:
        yield "transformers"
    if config.precision.name == "fp8":
        yield "torchao"
    if config.device.kind == "xla":
        yield from _XLA


def _cuda(ranks: int) -> Libraries:
    """Return the versions of NVIDIA's packages that torch brings; a torch that holds them itself has none."""
    build = torch_build()
    major = (build.cuda or "").partition(".")[0] if build is not None else ""
    found = {}
    for name, package in _CUDA.items():
        if name != "nccl" or ranks > 1:
            known = (f"nvidia-{package}-cu{major}", f"nvidia-{package}")
            found[name] = next((v for p in known if (v := package_version(p)) is not None), None)
    return found
