"""A stand-in for a TPU under `torch.accelerator`: lazy, in virtual time, with each historic fault.

Operations on its tensors only queue; who fences or reads a tensor lets virtual time pass until it is done.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Self

import torch
from torch.utils._pytree import tree_map_only

OPERATION_NS = 1_000_000
FAULTS = ("no_fence", "eager_only", "first_output_only")
"""A fence that returns at once, that waits for eager work alone, that waits for the first output alone."""


class StandIn:
    """The device: a queue in virtual time.

    Args:
        fault: One of `FAULTS`, or None.
        chips: How many there are.
    """

    def __init__(self, fault: str | None = None, chips: int = 2) -> None:
        self.fault, self.chips = fault, chips
        self.now = 1_000_000_000
        self.busy_until = 0
        self.pending: list[LazyTensor] = []
        self.compiled = fault == "eager_only"
        """Whether work counts as compiled."""

    def now_ns(self) -> int:
        """Return the virtual time; each reading takes 10 ns."""
        self.now += 10
        return self.now

    def enqueue(self, made: LazyTensor) -> None:
        """Queue one operation behind the others."""
        self.busy_until = max(self.busy_until, self.now) + OPERATION_NS
        made.ready_ns = self.busy_until
        self.pending.append(made)

    def wait_for(self, tensor: LazyTensor) -> None:
        """Let time pass until a tensor is there."""
        self.now = max(self.now, tensor.ready_ns)

    def synchronize(self, _index: int | None = None) -> None:
        """Fence, as far as the fault lets it."""
        pending, self.pending = self.pending, []
        if self.fault == "no_fence" or (self.fault == "eager_only" and self.compiled):
            return
        for tensor in pending[:1] if self.fault == "first_output_only" else pending:
            self.wait_for(tensor)

    def install(self, monkeypatch: Any) -> None:
        """Take the place of `torch.accelerator` and of torch_tpu's module."""
        self.index = 0
        for name, value in {
            "current_accelerator": lambda: SimpleNamespace(type="tpu"),
            "device_count": lambda: self.chips,
            "set_device_index": lambda index: setattr(self, "index", index),
            "synchronize": self.synchronize,
        }.items():
            monkeypatch.setattr(torch.accelerator, name, value)
        monkeypatch.setattr(torch, "get_device_module", lambda _type: SimpleNamespace())

    def tensor(self, value: torch.Tensor) -> LazyTensor:
        """Put a tensor on the device; it is there at once."""
        return LazyTensor(self, lambda: value, value)


class LazyTensor(torch.Tensor):
    """A tensor of the stand-in: its shape is known, its value is computed when somebody needs it."""

    @staticmethod
    def __new__(cls, device: StandIn, compute: Callable[[], torch.Tensor], like: torch.Tensor) -> Self:
        """Wrap a shape."""
        return torch.Tensor._make_wrapper_subclass(cls, like.shape, dtype=like.dtype)

    def __init__(self, device: StandIn, compute: Callable[[], torch.Tensor], like: torch.Tensor) -> None:
        self.on, self.compute, self.ready_ns = device, compute, 0
        self.value: torch.Tensor | None = None

    def force(self) -> torch.Tensor:
        """Return the value, computed once, when its time has come."""
        self.on.wait_for(self)
        return self.known()

    def known(self) -> torch.Tensor:
        """Return the value, whatever the time."""
        if self.value is None:
            self.value = self.compute()
        return self.value

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Queue an operation; a copy to the host is the one that waits."""
        kwargs = kwargs or {}
        first = next(a for a in torch.utils._pytree.tree_leaves((args, kwargs)) if isinstance(a, cls))
        if func is torch.ops.aten.detach.default:
            return args[0]
        if func is torch.ops.aten._to_copy.default:
            return args[0].force().clone()
        shadow = tree_map_only(
            cls, lambda t: torch.empty(t.shape, dtype=t.dtype, device="meta"), (args, kwargs)
        )
        like = func(*shadow[0], **shadow[1])

        def compute() -> torch.Tensor:
            known = tree_map_only(cls, lambda t: t.known(), (args, kwargs))
            return func(*known[0], **known[1])

        made = cls(first.on, compute, like)
        first.on.enqueue(made)
        return made
