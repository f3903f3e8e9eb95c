"""LoadGen's own log, and what of it holds: its verdict is taken over, not believed blindly.

Seen with 6.0.17: a run whose first tokens were never told is VALID with latencies of exactly 0 ns; an answer
of one token has a negative time per output token; Offline tells no token latencies.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DETAIL, SUMMARY, TRACE = "mlperf_log_detail.txt", "mlperf_log_summary.txt", "mlperf_log_trace.json"
LOG_LIMIT_BYTES = 256 * 2**20
PREFIX = ":::MLLOG "
_SAMPLE = re.compile(
    r'"name":"Sample",.*"ph":"b",.*"ts":(\d+)\.(\d{3}),.*"sample_seq":(\d+),.*"complete_ns":(\d+)'
)
"""A line of the trace; the file as a whole is no JSON."""


@dataclass(frozen=True, slots=True)
class Log:
    """The last value of each key, and the errors."""

    values: Mapping[str, Any]
    errors: tuple[str, ...] = ()

    @property
    def valid(self) -> bool:
        """LoadGen's own verdict."""
        return self.values.get("result_validity") == "VALID"

    def seconds(self, key: str) -> float | None:
        """Return a latency of the log, s; None where it tells none."""
        value = self.values.get(key)
        return None if isinstance(value, bool) or not isinstance(value, int | float) else value / 1e9


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A sample by LoadGen's clock, ns."""

    at_ns: int
    """When it was due."""
    took_ns: int
    """From then to its end."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What may be published of a run, and why the rest may not."""

    valid: bool
    """LoadGen's verdict, and nothing against it."""
    reasons: tuple[str, ...]
    """Against the whole run."""
    void: Mapping[str, str] = field(default_factory=dict)
    """What of LoadGen's figures says nothing (`ttft`, `tpot`, `tokens`), with the reason."""


def read_log(path: Path) -> Log:
    """Read `mlperf_log_detail.txt`.

    Raises:
        ValueError: it is absent, too large, or holds no entry.
    """
    try:
        if path.stat().st_size > LOG_LIMIT_BYTES:
            raise ValueError(f"{path}: more than {LOG_LIMIT_BYTES} bytes")
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise ValueError(f"LoadGen left no log: {error}") from None
    values, errors = dict[str, Any](), list[str]()
    for line in lines:
        if not line.startswith(PREFIX):
            continue
        try:
            entry = json.loads(line[len(PREFIX) :])
        except ValueError:
            continue  # a line that was cut off
        if not isinstance(entry, dict) or not isinstance(entry.get("key"), str):
            continue
        metadata = entry.get("metadata")
        if isinstance(metadata, dict) and metadata.get("is_error"):
            errors.append(f"{entry['key']}: {str(entry.get('value'))[:200]}")
        else:
            values[entry["key"]] = entry.get("value")
    if not values:
        raise ValueError(f"{path}: no entry of LoadGen in it")
    return Log(values, tuple(errors))


def read_schedule(path: Path) -> dict[int, Scheduled]:
    """Read from `mlperf_log_trace.json` when each sample was due, by its number in the order of issue.

    Raises:
        ValueError: it is absent.
    """
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            found = [match for line in lines if (match := _SAMPLE.search(line))]
    except OSError as error:
        raise ValueError(f"LoadGen left no trace: {error}") from None
    return {
        int(number): Scheduled(int(us) * 1000 + int(ns), int(took))
        for us, ns, number, took in (match.groups() for match in found)
    }


def judged(log: Log, *, scenario: str, answers: Sequence[int], told_first: int) -> Judged:
    """Say what of a run holds.

    Args:
        log: Of LoadGen.
        scenario: That was run.
        answers: Tokens of each answer that was completed.
        told_first: First tokens that LoadGen was told of.
    """
    reasons, void = list[str](), dict[str, str]()
    if not log.valid:
        reasons.append(f"LoadGen says {log.values.get('result_validity', 'nothing')}: {_why(log)}")
    if log.errors:
        reasons.append(f"LoadGen logged {len(log.errors)} errors, the first: {log.errors[0]}")
    if not answers or min(answers) == 0:
        reasons.append(f"{sum(1 for n in answers if not n)} of {len(answers)} answers have no token")
    if told_first < len(answers):
        missing = f"LoadGen was never told {len(answers) - told_first} of {len(answers)} first tokens"
        void |= {"ttft": missing, "tpot": missing}
    if scenario == "offline":
        none = "Offline has no token latencies"
        void |= {"ttft": none, "tpot": none}
    for name, key in (
        ("ttft", "result_first_token_99.00_percentile_latency_ns"),
        ("tpot", "result_time_per_output_token_99.00_percentile_ns"),
    ):
        value = log.seconds(key)
        if name not in void and value is not None and value <= 0:
            void[name] = f"LoadGen's own is {value} s, which no answer takes"
    if single := sum(1 for n in answers if n == 1):
        none = f"{single} answers of one token have no time per output token"
        void = {"tpot": none, "tokens": f"LoadGen leaves out {single} answers of one token"} | void
    return Judged(not reasons, tuple(reasons), void)


def _why(log: Log) -> str:
    said = [
        str(log.values[key])
        for key in ("result_invalid_reason", "result_validity_reason")
        if key in log.values
    ]
    said += [key for key in ("result_min_duration_met", "result_min_queries_met", "early_stopping_met")
             if log.values.get(key) is False]  # fmt: skip
    return ", ".join(said) or "no reason given"
