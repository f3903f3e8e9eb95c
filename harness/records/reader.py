"""Reads records of which many have one machine, code and configuration: equal bytes are validated once.

A record's bytes hold these facts side by side. Where the same bytes were part of an earlier record, short
stand-ins are parsed in their place, and the facts found then are put back. Whatever is not laid out as our
own records are goes the plain way, so that the outcome is always that of `parse`.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from harness.records.bounded_json import require_modest
from harness.records.codec import is_sound, parse
from harness.records.schema import SCHEMA_VERSION, Facts, Record

_PARTS = (("config",), ("machine", "code"))
"""What repeats together: replicas share a configuration, trials a machine and a code."""
_STARTS = tuple(f', "{names[0]}": '.encode() for names in _PARTS)
_END = b', "metrics": ['
_HELD = 64
_LARGEST_BYTES = 2**18


class Reader:
    """Parses records one after another, and lets them share what repeats.

    Equal facts of two records may be one object, which nobody may change.
    """

    def __init__(self) -> None:
        self._known: tuple[dict[bytes, Facts], ...] = tuple({} for _ in _PARTS)
        # Nobody can have guessed it: a stand-in that comes back is ours.
        mark = secrets.token_hex(16)
        self._marks: tuple[Facts, ...] = tuple({key: {"": mark} for key in names} for names in _PARTS)
        self._stand_ins = tuple(b", " + json.dumps(marks).encode()[1:-1] for marks in self._marks)

    def parse(self, data: bytes) -> Record:
        """Return the record that the bytes hold, as `harness.records.codec.parse` does.

        Raises:
            ValueError: as `parse`.
        """
        require_modest(data)
        begins = data.find(_STARTS[0])
        middle = data.find(_STARTS[1], begins)
        ends = data.find(_END, middle)
        if not 0 < begins < middle < ends:
            return parse(data)
        parts = data[begins:middle], data[middle:ends]
        found = [known.get(part) for known, part in zip(self._known, parts, strict=True)]
        record = None
        if any(found):
            record = self._put_back(data[:begins], parts, data[ends:], found)
        if record is None:
            record = parse(data)
        else:
            record._sha256 = hashlib.sha256(data).hexdigest()  # noqa: SLF001 - only its reader knows the bytes
        for place, facts in enumerate(found):
            if facts is None:
                self._learn(place, parts[place], record)
        return record

    def _put_back(
        self, head: bytes, parts: tuple[bytes, ...], tail: bytes, found: list[Facts | None]
    ) -> Record | None:
        """Parse stand-ins in place of the parts that were found; None where that proves nothing."""
        if head.count(b"{") != 1 or b"[" in head:  # the parts might lie deeper than in the record itself
            return None
        pieces = [
            part if facts is None else stand_in
            for part, facts, stand_in in zip(parts, found, self._stand_ins, strict=True)
        ]
        try:
            record = Record.model_validate_json(b"".join((head, *pieces, tail)), strict=True)
        except ValidationError:
            return None
        held = record.__dict__
        if not 1 <= record.schema_version <= SCHEMA_VERSION or not is_sound(record.evidence):
            return None
        for facts, marks in zip(found, self._marks, strict=True):
            if facts is None:
                if not all(is_sound(held[name]) for name in marks):
                    return None
            elif any(held[name] != mark for name, mark in marks.items()):
                return None  # the record names it a second time, and that counts
            else:
                held.update(facts)
        return record

    def _learn(self, place: int, part: bytes, record: Record) -> None:
        """Keep what a part of a valid record's bytes stands for, if it is whole members and no more."""
        known, names = self._known[place], _PARTS[place]
        facts: Facts = {name: getattr(record, name) for name in names}
        if len(part) > _LARGEST_BYTES or _members(part) != facts:
            return
        if len(known) >= _HELD:
            del known[next(iter(known))]  # the oldest
        known[part] = facts


def _members(part: bytes) -> Any:
    try:
        return from_json(b"{" + part[1:] + b"}")
    except ValueError:
        return None
