"""Text from records, made safe to show: bounded, in one line, without characters that control a reader."""

from __future__ import annotations

import math
import unicodedata

from harness.records.numbers import NBSP

INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories that would move, hide or reverse the text around them."""


def _visible(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    return "".join("\ufffd" if unicodedata.category(c) in INVISIBLE else c for c in text)


def line(value: object, limit: int = 200) -> str:
    """Return a value as one visible line of at most `limit` characters."""
    words = " ".join(str(value)[: 4 * limit].split())
    words = _visible(words)
    return words if len(words) <= limit else words[: limit - 1].rstrip() + "…"


def tail(value: str, lines: int = 12, width: int = 160) -> str:
    """Return the last lines of a log, each visible and bounded."""
    kept = (
        value[-lines * width * 4 :]
        .replace("\r\n", "\n")
        .replace("\r", "\n")
        .expandtabs(4)
        .rstrip()
        .split("\n")
    )
    return "\n".join(_visible(k[: width - 1] + "…" if len(k) > width else k) for k in kept[-lines:])


def plural(n: int, one: str, many: str | None = None) -> str:
    """Return `n` with its noun: `1 trial`, `3 trials`."""
    return f"{n} {one if n == 1 else many or one + 's'}"


def listing(items: list[str], most: int = 6) -> str:
    """Return `a, b and c`; of more than `most` items the first ones and how many more there are."""
    if len(items) > most:
        return f"{', '.join(items[:most])} and {len(items) - most} more"
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else ""


def number(value: object) -> float | None:
    """Return a record's value when it is a finite number, else None."""
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if good else None  # type: ignore[arg-type]


def percent(share: float) -> str:
    """Return a probability in whole per cent, never 0 or 100 where it is neither."""
    if 0.995 <= share < 1:
        return f">{NBSP}99{NBSP}%"
    if 0 < share < 0.005:
        return f"<{NBSP}1{NBSP}%"
    return f"{100 * share:.0f}{NBSP}%"
