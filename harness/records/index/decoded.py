"""Reads the many records of which an index is made: by msgspec where they are laid out as our own are.

Whatever that refuses goes the plain way, so that the outcome is always that of `harness.records.codec.parse`.
Equal bytes of a configuration, machine or code are validated once.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType
from pydantic import TypeAdapter

from harness.records.codec import is_sound, parse
from harness.records.schema import (
    DIGEST_PATTERN,
    NAME_PATTERN,
    SCHEMA_VERSION,
    Configuration,
    Direction,
    Facts,
    Provenance,
    Record,
    Seal,
    Status,
    Time,
    Word,
    WorkerFacts,
)

_Count = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
_Number = Annotated[int, Meta(ge=0, le=9999)]
_Quantity = Annotated[float, Meta(ge=-1e100, le=1e100)] | None
_Digest = Annotated[str, Meta(pattern=rf"\A{DIGEST_PATTERN}\Z")]
_Name = Annotated[str, Meta(pattern=rf"\A{NAME_PATTERN}\Z")]


class _Metric(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A metric, with every field of `harness.records.schema.Metric`: a fifth as long to make."""

    id: str
    value: _Quantity
    unit: str
    direction: Direction
    estimator: str
    ci_low: _Quantity
    ci_high: _Quantity
    ci_level: _Quantity
    n: _Count
    semantics_version: _Count
    provenance: Provenance
    reason: str | None


class _Record(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A record with every field, in the order of `Record`; free-form facts as their bytes."""

    schema_version: Annotated[int, Meta(ge=1, le=SCHEMA_VERSION)]
    sweep: _Name
    label: str
    work_id: _Digest
    trial_id: _Digest
    machine_id: _Digest
    code_id: _Digest
    replica: _Number
    attempt: _Number
    round_order: _Count
    status: Status
    phase: str
    reason: str | None
    started_at: str
    wall_s: float
    config: Raw
    machine: Raw
    code: Raw
    metrics: tuple[_Metric, ...]
    evidence: Raw
    series: dict[str, tuple[float, ...]]
    worker: Raw
    log_tail: str
    seal: Raw | UnsetType = UNSET


_decode = msgspec.json.Decoder(_Record).decode
_free = msgspec.json.Decoder(dict[str, Any]).decode
_configuration = TypeAdapter(Configuration).validate_python
_SHARED = ("config", "machine", "code")
_word = TypeAdapter(Word).validate_python
_time = TypeAdapter(Time).validate_python
_APART = {*_SHARED, "metrics", "evidence", "worker", "seal"}
_PLAIN = tuple(name for name in _Record.__struct_fields__ if name not in _APART)
_FIELDS = tuple(Record.model_fields)
_WHOLE = frozenset(_FIELDS)
_HELD, _LARGEST_BYTES = 64, 2**18
_WORDS = 1 << 12
_SIGNS = bytes(
    ord("0") if chr(c) in "0123456789" else
    ord("e") if chr(c) in "eE" else
    c if chr(c) in ".+" else
    ord(" ") if chr(c) in ":,[- \t\r\n" else
    ord("x")
    for c in range(256)
)  # fmt: skip
"""Digits and what else is of a number, blanks for what may stand before one, and x for the rest."""
_LONG, _EXPONENTS = b" " + b"0" * 20, (b"e000", b"e+000")
_BRACKETS, _ALIKE, _NUMBER_BYTES = 50, 50, 100


class Decoder:
    """Parses records one after another, and lets them share what repeats.

    Equal facts of two records may be one object, which nobody may change. The metrics have the fields of
    `Metric` and may be of another class.
    """

    def __init__(self) -> None:
        self._known: dict[str, dict[bytes, Facts]] = {name: {} for name in _SHARED}
        self._words: set[str] = set()

    def parse(self, data: bytes) -> Record:
        """Return the record that the bytes hold; what its fields hold is what `codec.parse` finds.

        Raises:
            ValueError: as `parse`.
        """
        try:
            record = self._fast(data)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            record = None
        return parse(data) if record is None else record

    def _fast(self, data: bytes) -> Record | None:
        """Return the record; None, or a `ValueError`, where the plain way is to judge it."""
        read = _decode(data)  # it takes no number beyond a float
        raw = bytes(read.evidence)
        evidence = _free(raw)
        if not (_is_modest(raw) or is_sound(evidence)):
            return None
        _time(read.started_at)
        self._check({word for metric in read.metrics for word in (metric.id, metric.unit)})
        held: Facts = {name: getattr(read, name) for name in _PLAIN}
        for name in _SHARED:
            held[name] = self._shared(name, bytes(getattr(read, name)))
        held["metrics"] = read.metrics
        held["evidence"] = evidence
        held["worker"] = WorkerFacts.model_validate_json(bytes(read.worker), strict=True)
        held["seal"] = None
        given = _WHOLE
        if read.seal is UNSET:
            given = _WHOLE - {"seal"}
        elif (seal := bytes(read.seal)) != b"null":
            held["seal"] = Seal.model_validate_json(seal, strict=True)
        record = Record.__new__(Record)
        for name, value in (
            ("__dict__", {name: held[name] for name in _FIELDS}),
            ("__pydantic_fields_set__", set(given)),
            ("__pydantic_extra__", None),
            ("__pydantic_private__", {"_sha256": hashlib.sha256(data).hexdigest(), "_merged": False}),
        ):
            object.__setattr__(record, name, value)
        return record

    def _shared(self, name: str, data: bytes) -> Facts:
        """Return the facts that bytes stand for, one object for equal bytes."""
        known = self._known[name]
        facts = known.get(data)
        if facts is None:
            facts = _free(data)
            if name == "config":
                facts = _configuration(facts, strict=True)
            if not (_is_modest(data) or is_sound(facts)):
                raise ValueError(name)
            if len(data) <= _LARGEST_BYTES:
                if len(known) >= _HELD:
                    del known[next(iter(known))]  # the oldest
                known[data] = facts
        return facts

    def _check(self, words: set[str]) -> None:
        """Validate ids and units that were not seen before."""
        for word in words - self._words:
            _word(word)
            if len(self._words) < _WORDS:
                self._words.add(word)


def _is_modest(data: bytes) -> bool:
    """Say whether JSON's numbers are so short, and its brackets so few, that what it holds is sound.

    A number has fewer than twenty digits before its point, and an exponent below 100. Texts look like longer
    ones at times: then what they are in is to be looked at value by value.
    """
    if data.count(b"[") + data.count(b"{") > _BRACKETS:
        return False
    signs = data.translate(_SIGNS)
    return _LONG not in signs and not any(_may_have(signs, exponent) for exponent in _EXPONENTS)


def _may_have(signs: bytes, exponent: bytes) -> bool:
    """Say whether a number may have this exponent; in a digest a letter is before what looks like one."""
    at = -1
    for _ in range(_ALIKE):
        at = signs.find(exponent, at + 1)
        if at < 0:
            return False
        start = signs.rfind(b" ", max(0, at - _NUMBER_BYTES), at)
        if start < 0 or not signs[start + 1 : at].strip(b"0."):
            return True
    return True
