"""Find devices by kind: our own files, and other packages' through the entry point `joulemark.devices`."""

from __future__ import annotations

from harness.devices.base import Device
from workloads.plugins import classes

BUILT_IN = {
    "cpu": "harness.devices.cpu:CpuDevice",
    "cuda": "harness.devices.cuda:CudaDevice",
    "xla": "harness.devices.jax:XlaDevice",
    "tpu": "harness.devices.tpu:TpuDevice",
    "rocm": "harness.devices.accelerator:RocmDevice",
    "xpu": "harness.devices.accelerator:XpuDevice",
    "mps": "harness.devices.accelerator:MpsDevice",
}
GROUP = "joulemark.devices"


DEVICES = classes(Device, GROUP, BUILT_IN, reserved=("auto",))  # type: ignore[type-abstract]
kinds, get, broken = DEVICES.names, DEVICES.get, DEVICES.broken


def resolve_kind(kind: str) -> str:
    """Return the kind that `auto` stands for here: `cuda` where there is a working one, else `cpu`."""
    if kind != "auto":
        return kind
    return "cuda" if get("cuda").unavailable_reason() is None else "cpu"


def device(name: str, *, threads: int | None = None) -> Device:
    """Return the unopened device of a name such as `cpu`, `cuda:1` or `auto`.

    Raises:
        KeyError: no such kind.
        ValueError: what follows the colon is not a number.
    """
    kind, _, index = name.partition(":")
    return get(resolve_kind(kind))(int(index or 0), threads=threads)
