"""A serving engine: requests wait, are read in parts, and are answered together, token by token.

A step is one pass of the model over the newest token of every answer and the next parts of prompts, so that
every weight is read once for all of them. Continuous batching lets a request in as soon as a row is free, and
out with its last token. Static batching fills all rows, and lets the next requests in when the last of them
is answered; it pads nothing. The engine knows no clock: a caller runs `step` and stamps what it returns.
"""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass, field
from typing import Literal

import torch

from workloads.engine.generation import sample
from workloads.engine.slots import Slots

Batching = Literal["continuous", "static"]
BATCHINGS: tuple[Batching, ...] = ("continuous", "static")


@dataclass(frozen=True, slots=True)
class Request:
    """What a user wants: a prompt continued by a number of tokens."""

    number: int
    prompt: torch.Tensor
    """Tokens, (S,) int64, on the model's device."""
    new_tokens: int


@dataclass(frozen=True, slots=True)
class Token:
    """One token of an answer."""

    request: int
    token: int
    last: bool


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen; `top_k` 1 is greedy."""

    temperature: float = 1.0
    top_k: int | None = 1
    seed: int = 0


@dataclass(slots=True)
class _Row:
    request: Request
    token: torch.Tensor
    """The newest, ()."""
    made: int
    generator: torch.Generator | None = field(repr=False)


class RejectedError(Exception):
    """A request that the engine will never answer; the message says why."""


class Engine:
    """Answers requests in the order in which they came, as many at once as there are slots.

    Args:
        slots: Rows of the cache; its size bounds the engine's memory.
        batching: When requests are let in.
        chunk: Most tokens of prompts that one step reads, so that a long prompt does not hold up the others.
        queue: Most requests that wait; more are rejected.
        sampling: How tokens are chosen. A request's draws depend on its number and the seed alone.
    """

    def __init__(
        self,
        slots: Slots,
        *,
        batching: Batching = "continuous",
        chunk: int = 256,
        queue: int = 1024,
        sampling: Sampling = Sampling(),
    ) -> None:
        if chunk < 1 or queue < 1:
            raise ValueError(f"chunk {chunk} and queue {queue} must be 1 at least")
        self._slots, self._batching, self._chunk = slots, batching, chunk
        self._limit, self._sampling = queue, sampling
        self._waiting: deque[Request] = deque()
        self._rows: list[_Row] = []
        self._read = 0
        """Tokens of the first waiting prompt that were read."""
        self._parts: list[torch.Tensor] | None = None
        """Of prompts, for the next step; None before `plan`."""
        self._filling = True
        """Of static batching: whether requests may still join."""
        self.begun: list[int] = []
        """Numbers of the requests whose reading began in the last step."""
        self.logits: torch.Tensor | None = None
        """The last ones, for a check that they are finite."""

    @property
    def waiting(self) -> int:
        """Requests without a row."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Rows in use."""
        return len(self._rows)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self._waiting and not self._rows

    def submit(self, request: Request) -> None:
        """Let a request wait for its turn.

        Raises:
            RejectedError: it is longer than a row, or too many wait.
        """
        wanted = len(request.prompt) + request.new_tokens - 1
        if wanted > self._slots.capacity or not len(request.prompt) or request.new_tokens < 1:
            raise RejectedError(
                f"a prompt of {len(request.prompt)} and {request.new_tokens} new tokens do not fit a row of "
                f"{self._slots.capacity} positions"
            )
        if len(self._waiting) >= self._limit:
            raise RejectedError(f"{self._limit} requests wait already")
        self._waiting.append(request)

    def plan(self) -> None:
        """Choose the prompts that the next step reads; `begun` are those of them that it begins with.

        `step` does so itself where nobody did. Behind it `submit` may be called while the step runs in
        another thread.
        """
        self.begun.clear()
        self._parts = parts = list[torch.Tensor]()
        if self._batching == "static" and not self._filling:
            return
        left, start = self._chunk, self._read
        for request in itertools.islice(self._waiting, self._slots.count - len(self._rows)):
            part = request.prompt[start : start + left]
            parts.append(part)
            if not start:
                self.begun.append(request.number)
            left, start = left - len(part), 0
            if not left:
                break

    def step(self) -> list[Token]:
        """Read parts of the prompts that may join, and make one token of every answer; return the tokens."""
        if self._parts is None:
            self.plan()
        parts, self._parts = self._parts or [], None
        decoded = [] if parts and self._batching == "static" else self._rows
        if not parts and not decoded:
            return []
        with torch.inference_mode():
            return self._run(decoded, parts)

    def _run(self, decoded: list[_Row], parts: list[torch.Tensor]) -> list[Token]:
        self._filling = bool(parts)
        joined = self._joined(parts)
        newest = [row.token for row in decoded]
        fed = torch.stack(newest) if newest else parts[0][:0]
        logits = self._slots.run(fed, parts, len(joined))
        self._rows = [*self._rows, *joined]
        if not (rows := [*decoded, *joined]):
            return []
        tokens = self._choose(logits, rows)
        made = []
        for row, token, number in zip(rows, tokens, tokens.tolist(), strict=True):
            row.token, row.made = token, row.made + 1
            if row.made <= row.request.new_tokens:
                made.append(Token(row.request.number, number, last=row.made == row.request.new_tokens))
        self._let_go()
        return made

    def _joined(self, parts: list[torch.Tensor]) -> list[_Row]:
        """Take the requests from the queue whose prompts end with their part; return their rows."""
        joined = []
        for part in parts:
            request = self._waiting[0]
            self._read += len(part)
            if self._read == len(request.prompt):
                self._waiting.popleft()
                self._read = 0
                joined.append(_Row(request, request.prompt[0], 0, self._generator(request)))
        return joined

    def _let_go(self) -> None:
        """Free the rows of answers that are whole; a static batch goes all at once."""
        unfinished = [i for i, row in enumerate(self._rows) if row.made < row.request.new_tokens]
        if len(unfinished) == len(self._rows):
            return
        if self._batching == "static" and unfinished:
            return
        self._slots.keep(unfinished)
        self._rows = [self._rows[i] for i in unfinished]
        self._filling = not self._rows

    def _generator(self, request: Request) -> torch.Generator | None:
        if self._sampling.top_k == 1:
            return None
        generator = torch.Generator(request.prompt.device)
        return generator.manual_seed(self._sampling.seed + request.number)

    def _choose(self, logits: torch.Tensor, rows: list[_Row]) -> torch.Tensor:
        """Return a token for each row of logits, (rows,)."""
        how, self.logits = self._sampling, logits
        if how.top_k == 1:
            return logits.argmax(-1)
        drawn = []
        for one, row in zip(logits, rows, strict=True):
            assert row.generator is not None, "greedy alone draws nothing"
            drawn.append(
                sample(one[None], temperature=how.temperature, top_k=how.top_k, generator=row.generator)
            )
        return torch.cat(drawn)
