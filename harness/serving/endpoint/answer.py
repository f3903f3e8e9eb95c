"""What the events of a stream tell of one answer: its pieces, its reasoning, its end, the server's count."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from harness.serving.endpoint.failures import (
    ERROR_EVENT,
    MALFORMED,
    NO_TOKEN,
    TRUNCATED,
    RequestError,
    one_line,
)

DONE = b"[DONE]"
_REASONING = ("reasoning_content", "reasoning")
_MOST_TOKENS = 1 << 31


@dataclass(slots=True)
class Answer:
    """One answer as it comes; times are ns of the client's monotonic clock."""

    token_ns: list[int] = field(default_factory=list)
    """When each event with content or reasoning was read."""
    answer_ns: int | None = None
    """When the first content that is no reasoning was read."""
    tokens: int | None = None
    """As the server's usage tells them, if it tells any; never counted from events."""
    prompt_tokens: int | None = None
    empty_first: bool = False
    """Whether an event with a choice came before the first piece, without content: a role, as a rule."""
    finished: bool = False
    """Whether a choice told its reason to finish."""
    done: bool = False
    """Whether `[DONE]` came."""
    events: int = 0
    reasoned: bool = False
    """Whether reasoning came."""
    model: str | None = None
    """What the server says that it answers with, if it says so."""

    def take(self, data: bytes, at_ns: int) -> None:
        """Take one event's data, read at `at_ns`.

        Raises:
            RequestError: it is no JSON of this kind, or the server tells an error.
        """
        self.events += 1
        if data == DONE:
            self.done = True
            return
        try:
            event = json.loads(data)
        except (ValueError, RecursionError):
            raise RequestError(MALFORMED, f"an event that is no JSON: {_begin(data)}") from None
        if not isinstance(event, dict):
            raise RequestError(MALFORMED, f"an event that is no JSON object: {_begin(data)}")
        if event.get("error"):
            raise RequestError(ERROR_EVENT, error_text(event))
        if self.model is None and isinstance(said := event.get("model"), str):
            self.model = one_line(said)
        self._take_usage(event.get("usage"))
        choices = event.get("choices")
        if not isinstance(choices, list):
            return
        for choice in choices:
            if isinstance(choice, dict):
                self._take_choice(choice, at_ns)

    def _take_choice(self, choice: dict[str, Any], at_ns: int) -> None:
        delta = choice.get("delta")
        if isinstance(delta, dict):
            content = delta.get("content")
            reasons = any(delta.get(key) for key in _REASONING)
        else:
            content, reasons = choice.get("text"), False
        if content or reasons:
            self.token_ns.append(at_ns)
            self.reasoned = self.reasoned or reasons
            if content and self.answer_ns is None:
                self.answer_ns = at_ns
        elif not self.token_ns:
            self.empty_first = True
        if choice.get("finish_reason"):
            self.finished = True

    def _take_usage(self, usage: object) -> None:
        if not isinstance(usage, dict):
            return
        # Some servers send a running count with every event: the last one holds.
        self.tokens = _count(usage.get("completion_tokens"), self.tokens)
        self.prompt_tokens = _count(usage.get("prompt_tokens"), self.prompt_tokens)

    def drop_false_usage(self, most: int | None) -> bool:
        """Forget a count that cannot be: fewer than one token a piece, or more than were asked for.

        Args:
            most: Tokens that were asked for; the one that ends an answer may be counted too.

        Returns:
            Whether there was one.
        """
        told = self.tokens
        if told is None or (told >= len(self.token_ns) and (most is None or told <= most + 1)):
            return False
        self.tokens = None
        return True

    def check_end(self, *, inside: bool) -> None:
        """Say whether the answer was whole when its stream ended; `inside` says whether an event was cut.

        Raises:
            RequestError: it was not.
        """
        if not (self.done or self.finished):
            cut = " within an event" if inside else ""
            raise RequestError(TRUNCATED, f"the stream ended{cut} after {len(self.token_ns)} pieces")
        if not self.token_ns:
            raise RequestError(NO_TOKEN, "the answer has no content")


def error_text(event: object) -> str:
    """Return what an error of a server says, or nothing."""
    error = event.get("error", event.get("detail", event)) if isinstance(event, dict) else event
    if isinstance(error, dict):
        error = error.get("message", error)
    return error if isinstance(error, str) else json.dumps(error)[:400]


def _count(value: object, otherwise: int | None) -> int | None:
    """Return a count of tokens, or `otherwise` for what is none: a server that counts nothing may say 0."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < _MOST_TOKENS:
        return otherwise
    return value


def _begin(data: bytes) -> str:
    return data[:80].decode("utf-8", "replace")
