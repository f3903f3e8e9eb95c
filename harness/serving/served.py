"""What a span served: its log, its ends and its limits; from these alone its metrics and evidence follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from harness.records.evidence import declared
from harness.records.schema import Facts, Metric
from harness.serving.metrics import Limits, endings, request_metrics, saturated, tokens_within
from harness.serving.requests import ServedRequest, from_series, to_series
from workloads.base import Units


@dataclass(frozen=True, slots=True)
class Work:
    """Model FLOPs of one sequence, in closed form."""

    read: Callable[[int], float]
    """Of a prompt of so many tokens, and its first token."""
    step: Callable[[int], float]
    """Of the next token, behind so many positions."""


@dataclass(frozen=True, slots=True)
class Served:
    """One replica's requests."""

    requests: tuple[ServedRequest, ...]
    span_ns: tuple[int, int]
    """On the clock of the stamps."""
    limits: Limits
    open_loop: bool
    balance: Facts | None = None
    """How the counted requests were shared among several engines; None of one."""

    def units(self, work: Work) -> Units:
        """Return the tokens that came and the requests that were answered within the span, with their FLOPs.

        A prompt counts where its first token came, and each further token for its own step.
        """
        begin, end = self.span_ns
        flops = 0.0
        for request in self.requests:
            prompt = request.prompt_tokens
            for made, stamp in enumerate(request.token_ns):
                if begin < stamp <= end and prompt is not None:
                    flops += work.step(prompt + made - 1) if made else work.read(prompt)
        return Units(0, *self.counts(), flops)

    def counts(self) -> tuple[int, int]:
        """Return the tokens that came and the requests that were answered within the span."""
        begin, end = self.span_ns
        done = sum(request.answered and begin < request.end_ns <= end for request in self.requests)
        return round(tokens_within(self.requests, self.span_ns) or 0), done

    def metrics(self) -> list[Metric]:
        """Return the metrics of the requests, but for the rates that every trial has."""
        return request_metrics(self.requests, self.span_ns, self.limits)

    def evidence(self) -> Facts:
        """Return how the requests ended, and whether the engine fell behind an open loop."""
        behind = saturated(self.requests) if self.open_loop else None
        shared = {} if self.balance is None else {"balance": self.balance}
        return declared(__name__, {"requests": endings(self.requests), "saturated": behind, **shared})

    def series(self) -> dict[str, Any]:
        """Return the log as columns for `loop.parquet`."""
        return to_series(self.requests)[0]

    def facts(self) -> Facts:
        """Return what, beside the columns, makes it again."""
        return {
            "endings": to_series(self.requests)[1],
            "span_ns": list(self.span_ns),
            "limits": asdict(self.limits),
            "open_loop": self.open_loop,
        }

    @classmethod
    def kept(cls, facts: Mapping[str, Any], series: Mapping[str, Any]) -> Served:
        """Make it again from `facts` and `series`.

        Raises:
            ValueError, KeyError, TypeError: they are not what was kept.
        """
        words: Sequence[str] = facts["endings"]
        begin, end = facts["span_ns"]
        limits = Limits(**facts["limits"])
        return cls(from_series(series, words), (begin, end), limits, bool(facts["open_loop"]))
