"""The bridge from torch to JAX: torchax, made to import beside a torch that has no named tensors.

torchax 0.0.13 names 22 overloads (such as `aten::prod.dim_Dimname`) that torch 2.13 removed, when it is
imported and again when it makes its environment. Meanwhile such a name gives an inert key, which no operator
ever equals. Other versions of either are refused: what they need is not known.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from workloads.base import UnsupportedError

TORCHAX = ("0.0.13",)
TORCH = ("2.11", "2.12", "2.13")


class _Removed:
    """A key of an overload that this torch does not have."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<removed {self.name}>"


@contextmanager
def _removed_overloads() -> Iterator[None]:
    """Let a missing overload of a named tensor be looked up."""
    from torch._ops import OpOverloadPacket

    look_up = OpOverloadPacket.__getattr__

    def tolerant(packet: OpOverloadPacket, key: str) -> Any:
        try:
            return look_up(packet, key)
        except AttributeError:
            if key.startswith("__") or "name" not in key.lower():
                raise
            return _Removed(f"{packet}.{key}")

    OpOverloadPacket.__getattr__ = tolerant  # type: ignore[method-assign]
    try:
        yield
    finally:
        OpOverloadPacket.__getattr__ = look_up  # type: ignore[method-assign]


def versions_refusal(torch_version: str, torchax_version: str) -> str | None:
    """Return why these versions cannot work together, None when they can."""
    if torchax_version not in TORCHAX:
        return f"the adapter is for torchax {', '.join(TORCHAX)}, not {torchax_version}"
    if ".".join(torch_version.split(".")[:2]) not in TORCH:
        return f"the adapter is for torch {', '.join(TORCH)}, not {torch_version}"
    return None


@cache
def environment() -> Any:
    """Return the process's torchax environment, with our own lowerings in it.

    Raises:
        UnsupportedError: jax or torchax is missing, or of a version that the adapter is not for.
    """
    try:
        reason = versions_refusal(version("torch"), version("torchax"))
    except PackageNotFoundError as error:
        raise UnsupportedError(f"{error.name} is missing: pip install 'joulemark[jax]'") from error
    if reason is not None:
        raise UnsupportedError(reason)
    with _removed_overloads():
        import torchax

        made = torchax.default_env()
    from workloads.jax import lowerings

    lowerings.install(made)
    return made
