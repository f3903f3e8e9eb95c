"""A request as its user saw it: stamps on one monotonic clock, and how it ended.

The same words for an engine in this process, an endpoint and LoadGen (docs/glossary.md):

- `ttft`: arrival to the first token of any kind, content or reasoning; an empty delta is none;
- `ttfa`: arrival to the first token of the answer proper, after any reasoning;
- `tpot`: (last - first) / (n - 1), n the tokens of the answer as the engine or the server's usage tells them;
- `gap`: between two neighbouring pieces of an answer;
- `e2e`: arrival to the end; `queue`: arrival to the start.

An arrival is when the user wanted the answer, which under an open loop is the schedule's time and not when a
late sender got to it.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

ANSWERED, REJECTED, UNFINISHED = "answered", "rejected", "unfinished"
"""How a request may end; every other word names a kind of error."""
Series = Mapping[str, Any]
_NONE = -1
_PREFIX = "request."


@dataclass(frozen=True, slots=True)
class ServedRequest:
    """One request; times are ns since any one moment."""

    number: int
    arrival_ns: int
    """When its user wanted it."""
    end_ns: int
    """When its last token or its error came, or when it was given up."""
    ended: str
    """`answered`, or why not."""
    token_ns: tuple[int, ...] = ()
    """When each piece with content came, ascending: a token in this process, an event of a stream."""
    tokens: int | None = None
    """Tokens of the answer; None where nobody told."""
    start_ns: int | None = None
    """When it was sent, or when the engine began to read it; None where it never was."""
    answer_ns: int | None = None
    """When the first token after the reasoning came, where the two are told apart."""
    prompt_tokens: int | None = None
    counted: bool = True
    """False for those that only keep the load up, before and after the ones that count."""

    @property
    def answered(self) -> bool:
        """Whether the whole answer came."""
        return self.ended == ANSWERED

    @property
    def ttft_ns(self) -> int | None:
        """Time to first token; None where none came."""
        return self.token_ns[0] - self.arrival_ns if self.token_ns else None

    @property
    def ttfa_ns(self) -> int | None:
        """Time to first token of the answer proper; None where it is not told apart or none came."""
        return None if self.answer_ns is None else self.answer_ns - self.arrival_ns

    @property
    def tpot_ns(self) -> float | None:
        """Time per output token; None where the tokens are not known or fewer than two."""
        if self.tokens is None or self.tokens < 2 or not self.token_ns:
            return None
        return (self.token_ns[-1] - self.token_ns[0]) / (self.tokens - 1)

    @property
    def gaps_ns(self) -> tuple[int, ...]:
        """Times between neighbouring pieces."""
        return tuple(later - earlier for earlier, later in itertools.pairwise(self.token_ns))

    @property
    def e2e_ns(self) -> int:
        """Time from the arrival to the end."""
        return self.end_ns - self.arrival_ns

    @property
    def queue_ns(self) -> int | None:
        """Time until it was begun; None where it never was."""
        return None if self.start_ns is None else self.start_ns - self.arrival_ns


_NUMBERS = ("number", "arrival_ns", "end_ns", "tokens", "start_ns", "answer_ns", "prompt_tokens", "counted")


def to_series(requests: Sequence[ServedRequest]) -> tuple[dict[str, Any], list[str]]:
    """Return the log as columns of int64 for `loop.parquet`, and the words of its endings.

    `request.ended` counts into the words; -1 stands for None; `request.token_ns` holds all stamps one after
    another, `request.pieces` of each request.
    """
    words = list(dict.fromkeys(request.ended for request in requests))
    columns: dict[str, list[int]] = {
        name: [_NONE if (value := getattr(request, name)) is None else int(value) for request in requests]
        for name in _NUMBERS
    }
    columns["ended"] = [words.index(request.ended) for request in requests]
    columns["pieces"] = [len(request.token_ns) for request in requests]
    columns["token_ns"] = [stamp for request in requests for stamp in request.token_ns]
    return {f"{_PREFIX}{name}": np.asarray(column, np.int64) for name, column in columns.items()}, words


def from_series(series: Series, words: Sequence[str]) -> tuple[ServedRequest, ...]:
    """Return the log that `to_series` made columns of.

    Raises:
        ValueError: the columns do not belong together.
    """
    kept = {
        name: np.asarray(series.get(f"{_PREFIX}{name}", ()), np.int64).tolist()
        for name in (*_NUMBERS, "ended", "pieces", "token_ns")
    }
    count = len(kept["number"])
    pieces, stamps = kept["pieces"], kept.pop("token_ns")
    if any(len(column) != count for column in kept.values()) or sum(pieces) != len(stamps):
        raise ValueError("the columns of the requests are of unlike lengths")
    if min(pieces, default=0) < 0 or not all(0 <= word < len(words) for word in kept["ended"]):
        raise ValueError("the columns of the requests hold what no request has")
    ends = list(itertools.accumulate(pieces))

    def told(name: str, i: int) -> int | None:
        value: int = kept[name][i]
        return None if value == _NONE else value

    return tuple(
        ServedRequest(
            number=kept["number"][i],
            arrival_ns=kept["arrival_ns"][i],
            end_ns=kept["end_ns"][i],
            ended=words[kept["ended"][i]],
            token_ns=tuple(stamps[ends[i] - pieces[i] : ends[i]]),
            tokens=told("tokens", i),
            start_ns=told("start_ns", i),
            answer_ns=told("answer_ns", i),
            prompt_tokens=told("prompt_tokens", i),
            counted=bool(kept["counted"][i]),
        )
        for i in range(count)
    )
