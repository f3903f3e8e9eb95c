"""What a serving engine keeps of its sequences: rows of one cache, of unlike lengths, side by side.

Sequences lie in the first rows, without gaps, and a prompt that was read in part behind them.
"""

from __future__ import annotations

import abc
import itertools
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
    def run(self, tokens: torch.Tensor, parts: Sequence[torch.Tensor], whole: int) -> torch.Tensor:
        """Feed every row one token, and read parts of the next prompts, at once.

        Args:
            tokens: The newest of every row, (rows,), or (0,) to let the rows rest.
            parts: The next part of each prompt, (S,) each; the first goes on where the last run left its.
            whole: How many of the prompts end with their part: all, or all but the last. They are rows then.

        Returns:
            The logits of the rows that were fed, and of the new rows, (fed + whole, V).
        """

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
        attention = next(m for m in model.modules() if hasattr(m, "attend"))
        self._masked = attention.attend is F.scaled_dot_product_attention
        self._read = 0
        """Positions of the prompt that was read in part, in the place behind the rows."""

    def run(self, tokens: torch.Tensor, parts: Sequence[torch.Tensor], whole: int) -> torch.Tensor:
        """Write every row's position behind its own length; a full row's last one again.

        A static batch goes on with rows whose answers are whole, and forgets what they give.
        """
        fed = [min(length, self.capacity - 1) for length in self.lengths] if len(tokens) else []
        device, logits = tokens.device, None
        lengths = torch.tensor(fed, device=device, dtype=torch.int64)
        rows = self._whole.ragged(lengths, max(fed), masked=self._masked) if fed else None
        if not parts:
            logits = self.model(tokens[:, None], rows, last_only=True)
        else:
            first, starts = len(self.lengths), (self._read, *(0 for _ in parts[1:]))
            own = [
                (first + i, start, len(part))
                for i, (start, part) in enumerate(zip(starts, parts, strict=True))
            ]
            ends = itertools.accumulate((size for _, _, size in own[:whole]), initial=len(fed) - 1)
            wanted = torch.tensor(
                [*range(len(fed)), *itertools.islice(ends, 1, None)], device=device, dtype=torch.int64
            )
            cache = self._whole.mixed(rows, own)
            logits = self.model(torch.cat((tokens, *parts))[:, None], cache, last_only=True, of=wanted)
            read = [start + size for _, start, size in own]
            self._read = read[-1] if whole < len(own) else 0
            self.lengths += read[:whole]
        self.lengths[: len(fed)] = [length + 1 for length in fed]
        return cast("torch.Tensor", logits)

    def keep(self, rows: Sequence[int]) -> None:
        """Move the rows up into the gaps, and the prompt that was read in part."""
        lengths = [*self.lengths, self._read]
        for to, row in enumerate((*rows, len(self.lengths))):
            if to != row and (length := lengths[row]):
                for whole in self._whole[:2]:
                    whole[:, to, :, :length] = whole[:, row, :, :length]
        self.lengths = [self.lengths[row] for row in rows]

    @property
    def nbytes(self) -> int:
        """Of all rows, used or not."""
        return tree_bytes(self._whole[:2])


class StateSlots(Slots):
    """States of a recurrent model, which have one size at any length."""

    def __init__(self, model: nn.Module, count: int, capacity: int) -> None:
        super().__init__(model, count, capacity)
        self._chunk = next(cast("int", m.chunk) for m in model.modules() if hasattr(m, "chunk"))
        self._rows: Any = None
        self._reading: Any = None
        self._read = 0

    def run(self, tokens: torch.Tensor, parts: Sequence[torch.Tensor], whole: int) -> torch.Tensor:
        """Advance every state, and then read the prompts, one after the other."""
        found = [self._advance(tokens)] if len(tokens) else []
        for i, part in enumerate(parts):
            logits = self._continue(part)
            found.append(logits[: int(i < whole)])
            if i < whole:
                self._admit()
        return torch.cat(found)

    def _advance(self, tokens: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor
        logits, self._rows = self.model(tokens[:, None], self._rows, last_only=True)
        self.lengths = [length + 1 for length in self.lengths]
        return logits

    def _continue(self, tokens: torch.Tensor) -> torch.Tensor:
        """Read a part of a prompt: whole chunks first, then what is left; return its last logits, (1, V)."""
        whole = len(tokens) - len(tokens) % self._chunk
        logits = None
        for part in (tokens[:whole], tokens[whole:]):
            if len(part):
                logits, self._reading = self.model(part[None], self._reading, last_only=True)
        self._read += len(tokens)
        return cast("torch.Tensor", logits)

    def _admit(self) -> None:
        """Set the new state behind the others."""
        one = self._reading
        self._rows = one if not self.lengths else _each(lambda a, b: torch.cat((a, b)), self._rows, one)
        self.lengths.append(self._read)
        self._reading, self._read = None, 0

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
