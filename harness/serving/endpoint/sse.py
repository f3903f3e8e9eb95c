"""Server-sent events, cut out of reads of any length (HTML Living Standard, section 9.2)."""

from __future__ import annotations

import re

from harness.serving.endpoint.failures import MALFORMED, TOO_LARGE, RequestError

EVENT_LIMIT_BYTES = 1 << 20
_BOM = b"\xef\xbb\xbf"
"""A byte order mark, which a stream may begin with."""
_END_OF_LINE = re.compile(rb"\r\n|\n|\r")


class EventCutter:
    """Takes bytes as they come, gives the data of each event that is whole."""

    def __init__(self) -> None:
        self._rest = b""
        self._begun = False
        self._data: list[bytes] = []
        self._size = 0

    @property
    def inside(self) -> bool:
        """Whether an event has begun and not ended."""
        return bool(self._rest or self._data)

    def feed(self, read: bytes) -> list[bytes]:
        """Return the data of the events that this read ends; comments and other fields are passed over.

        Raises:
            RequestError: an event of more than a megabyte, or a byte that no text has.
        """
        text = self._rest + read
        if not self._begun and len(text) >= len(_BOM):
            text, self._begun = text.removeprefix(_BOM), True
        # A line end of two bytes may come in two reads.
        held = text.endswith(b"\r")
        lines = _END_OF_LINE.split(text[:-1] if held else text) if b"\r" in text else text.split(b"\n")
        self._rest = lines.pop() + (b"\r" if held else b"")
        events: list[bytes] = []
        for line in lines:
            if not line:
                if self._data:
                    events.append(b"\n".join(self._data))
                    self._data, self._size = [], 0
            elif line.startswith(b"data:"):
                data = line[6:] if line.startswith(b"data: ") else line[5:]
                self._data.append(data)
                self._size += len(data)
            elif b"\0" in line:
                raise RequestError(MALFORMED, "a zero byte in an event stream")
        if len(self._rest) + self._size > EVENT_LIMIT_BYTES:
            raise RequestError(TOO_LARGE, f"an event of more than {EVENT_LIMIT_BYTES} bytes")
        return events
