"""What a serving engine keeps of its sequences: rows of one cache, of unlike lengths, side by side.

Sequences lie in the first rows, without gaps, and one more is being read in a place of its own.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional as F

from workloads.base import GenerativeWorkload, UnsupportedError
from workloads.counting.storage import tree_bytes


class Slots(abc.ABC):
    """Rows of a cache for up to `count` sequences of up to `capacity` positions."""

    def __init__(self, model: nn.Module, count: int, capacity: int) -> None:
        self.model, self.count, self.capacity = model, count, capacity
        self.lengths: list[int] = []
        """Positions of each row's sequence."""

    @abc.abstractmethod
    def read(self, tokens: torch.Tensor) -> torch.Tensor:
        """Read the next part of a prompt, (S,); return the logits (V,) of its last position."""

    @abc.abstractmethod
    def admit(self) -> None:
        """Let the sequence that was read follow the rows."""

    @abc.abstractmethod
    def decode(self, tokens: torch.Tensor) -> torch.Tensor:
        """Feed every row one token, (rows,); return their logits (rows, V)."""

    @abc.abstractmethod
    def keep(self, rows: Sequence[int]) -> None:
        """Keep these rows, ascending, in this order, and forget the others."""

    @property
    @abc.abstractmethod
    def nbytes(self) -> int:
        """Bytes that the cache takes."""


class KeyValueSlots(Slots):
    """Keys and values of a decoder-only transformer, allocated once."""

    def __init__(self, model: nn.Module, count: int, capacity: int) -> None:
        super().__init__(model, count, capacity)
        self._whole: Any = model.empty_cache(count, capacity)  # type: ignore[operator]
        self._empty: Any = model.empty_cache(1, capacity)  # type: ignore[operator]
        self._reading = self._empty
        attention = next(m for m in model.modules() if hasattr(m, "attend"))
        self._masked = attention.attend is F.scaled_dot_product_attention

    def read(self, tokens: torch.Tensor) -> torch.Tensor:
        """Read a part of a prompt into the place beside the rows."""
        logits: torch.Tensor = self.model(tokens[None], self._reading, last_only=True)[0]
        self._reading = self._reading._replace(length=self._reading.length + len(tokens))
        return logits

    def admit(self) -> None:
        """Copy what was read."""
        row, length = len(self.lengths), self._reading.length
        for whole, one in zip(self._whole[:2], self._empty[:2], strict=True):
            whole[:, row, :, :length] = one[:, 0, :, :length]
        self.lengths.append(length)
        self._reading = self._empty

    def decode(self, tokens: torch.Tensor) -> torch.Tensor:
        """Write every row's position behind its own length; a full row's last one again.

        A static batch goes on with rows whose answers are whole, and forgets what they give.
        """
        self.lengths = [min(length, self.capacity - 1) for length in self.lengths]
        lengths = torch.tensor(self.lengths, device=tokens.device)
        cache = self._whole.ragged(lengths, max(self.lengths), masked=self._masked)
        logits: torch.Tensor = self.model(tokens[:, None], cache, last_only=True)
        self.lengths = [length + 1 for length in self.lengths]
        return logits

    def keep(self, rows: Sequence[int]) -> None:
        """Move the rows up into the gaps."""
        for to, row in enumerate(rows):
            if to != row:
                length = self.lengths[row]
                for whole in self._whole[:2]:
                    whole[:, to, :, :length] = whole[:, row, :, :length]
        self.lengths = [self.lengths[row] for row in rows]

    @property
    def nbytes(self) -> int:
        """Of all rows and of the place where prompts are read, used or not."""
        return tree_bytes((self._whole[:2], self._empty[:2]))


class StateSlots(Slots):
    """States of a recurrent model, which have one size at any length."""

    def __init__(self, model: nn.Module, count: int, capacity: int) -> None:
        super().__init__(model, count, capacity)
        self._chunk = next(cast("int", m.chunk) for m in model.modules() if hasattr(m, "chunk"))
        self._rows: Any = None
        self._reading: Any = None
        self._read = 0

    def read(self, tokens: torch.Tensor) -> torch.Tensor:
        """Read a part of a prompt: whole chunks first, then what is left."""
        whole = len(tokens) - len(tokens) % self._chunk
        logits = None
        for part in (tokens[:whole], tokens[whole:]):
            if len(part):
                logits, self._reading = self.model(part[None], self._reading, last_only=True)
        self._read += len(tokens)
        return cast("torch.Tensor", logits)[0]

    def admit(self) -> None:
        """Set the new state behind the others."""
        one = self._reading
        self._rows = one if not self.lengths else _each(lambda a, b: torch.cat((a, b)), self._rows, one)
        self.lengths.append(self._read)
        self._reading, self._read = None, 0

    def decode(self, tokens: torch.Tensor) -> torch.Tensor:
        """Advance every state."""
        logits: torch.Tensor
        logits, self._rows = self.model(tokens[:, None], self._rows, last_only=True)
        self.lengths = [length + 1 for length in self.lengths]
        return logits

    def keep(self, rows: Sequence[int]) -> None:
        """Choose the states."""
        at = torch.tensor(rows, dtype=torch.int64, device=next(self.model.parameters()).device)
        self._rows = _each(lambda state: state.index_select(0, at), self._rows)
        self.lengths = [self.lengths[row] for row in rows]

    @property
    def nbytes(self) -> int:
        """Of the states that are there now."""
        return tree_bytes((self._rows, self._reading))


def _each(change: Any, *states: Any) -> Any:
    return [tuple(map(change, *layers)) for layers in zip(*states, strict=True)]


def slots_of(workload: GenerativeWorkload, model: nn.Module, count: int, capacity: int) -> Slots:
    """Return the slots for a workload's model.

    Raises:
        UnsupportedError: its cache has no rows of their own.
    """
    if workload.spec.name == "mamba":
        return StateSlots(model, count, capacity)
    if hasattr(model, "empty_cache") and "kv_cache" in workload.spec.traits:
        return KeyValueSlots(model, count, capacity)
    raise UnsupportedError(f"{workload.spec.name} keeps no rows of a cache that come and go")
