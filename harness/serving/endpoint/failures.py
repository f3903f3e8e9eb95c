"""Why a request to an endpoint got no whole answer: one word for each kind."""

from __future__ import annotations

import math
import time
from email.utils import parsedate_to_datetime

REFUSED = "refused"
"""No connection came about."""
RESET = "reset"
"""The connection broke before the answer's end."""
STALLED = "stalled"
"""The connection stayed, and nothing came for the longest pause."""
TIMEOUT = "timeout"
TRUNCATED = "truncated"
"""The stream ended before the answer did."""
MALFORMED = "malformed"
"""What came is no HTTP, no event stream or no JSON."""
TOO_LARGE = "too_large"
ERROR_EVENT = "error_event"
"""The server told an error within the stream."""
NO_TOKEN = "no_token"  # noqa: S105 - an ending, not a secret
CLIENT_LIMIT = "client_limit"
"""It was never sent: this client has no room for one more."""
LONGEST_TEXT = 200
LONGEST_RETRY_S = 3600.0


class RequestError(Exception):
    """One request failed.

    Attributes:
        kind: A word of this module, or `http_` and the status.
        retry_after_s: After how long the server wants to be asked again; None where it does not say.
    """

    def __init__(self, kind: str, text: str, retry_after_s: float | None = None) -> None:
        self.kind, self.retry_after_s = kind, retry_after_s
        super().__init__(one_line(text))


def one_line(text: str) -> str:
    """Return the beginning of a text of someone else, printable and in one line."""
    words = " ".join(text[: 8 * LONGEST_TEXT].split())
    return "".join(c if c.isprintable() else "?" for c in words)[:LONGEST_TEXT]


def retry_after_s(header: str | None, date: str | None = None) -> float | None:
    """Return the seconds of a header `Retry-After`, a number or a date (RFC 9110, section 10.2.3).

    Args:
        header: Its value; one out of range, or none, says nothing.
        date: The server's own clock, its header `Date`; without it ours holds.
    """
    seconds: float | None
    try:
        seconds = float(header or "")
    except ValueError:
        wanted, now = _seconds(header), _seconds(date)
        seconds = None if wanted is None else max(0.0, wanted - (time.time() if now is None else now))
    if seconds is None or not math.isfinite(seconds) or not 0 <= seconds <= LONGEST_RETRY_S:
        return None
    return seconds


def _seconds(date: str | None) -> float | None:
    """Return a date of HTTP as seconds since 1970; None where it is none."""
    try:
        return parsedate_to_datetime(date or "").timestamp()
    except (ValueError, OverflowError):
        return None
