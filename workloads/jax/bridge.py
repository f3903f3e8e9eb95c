"""The bridge from torch to JAX: torchax, made to import beside a torch that has lost what it names.

torchax 0.0.13 names 22 overloads of named tensors (such as `aten::prod.dim_Dimname`) that torch 2.13 removed,
and the operators `aten::cholesky` and `aten::qr` that torch 2.15 removed, when it is imported and again when
it makes its environment. Meanwhile such a name gives an inert key, which no operator ever equals. Other
versions of either are refused: what they need is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from workloads.base import UnsupportedError

TORCHAX = ("0.0.13",)
TORCH = ("2.11", "2.12", "2.13", "2.14", "2.15")
OPERATORS = ("cholesky", "qr")
"""Of `aten`, which torch 2.15 no longer has."""


class _Removed:
    """A key of an operator, or of an overload of one, that this torch does not have."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<removed {self.name}>"

    @property
    def default(self) -> _Removed:
        """Return the key of a removed operator's one overload."""
        return _Removed(f"{self.name}.default")


@contextmanager
def _tolerant(kind: Any, removed: Callable[[Any, str], bool]) -> Iterator[None]:
    """Let a look-up that fails give an inert key, where the name is one of those removed."""
    look_up = kind.__getattr__

    def tolerant(of: Any, key: str) -> Any:
        try:
            return look_up(of, key)
        except AttributeError:
            if not removed(of, key):
                raise
            return _Removed(f"{of}.{key}")

    kind.__getattr__ = tolerant
    try:
        yield
    finally:
        kind.__getattr__ = look_up


@contextmanager
def _removed_operators() -> Iterator[None]:
    """Let overloads of named tensors and removed operators be looked up."""
    from torch._ops import OpOverloadPacket, _OpNamespace

    with (
        _tolerant(OpOverloadPacket, lambda _of, key: not key.startswith("__") and "name" in key.lower()),
        _tolerant(_OpNamespace, lambda of, key: of.name == "aten" and key in OPERATORS),
    ):
        yield


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
    with _removed_operators():
        import torchax

        made = torchax.default_env()
    from workloads.jax import lowerings

    lowerings.install(made)
    return made
