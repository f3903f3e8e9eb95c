"""Records as the index keeps them: what few readers ask for is decoded, or read from its file, only then."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
from pydantic_core import from_json

from harness.records.codec import parse
from harness.records.listing import RECORD
from harness.records.schema import Facts, Metric, Record, Seal, WorkerFacts
from harness.records.store import Store
from harness.system.errors import ResourceError

if TYPE_CHECKING:
    from numpy.typing import NDArray

OF_KIND = ("id", "unit", "direction", "estimator", "provenance", "ci_level", "semantics_version", "reason")
_NUMBERS = ("value", "ci_low", "ci_high")
_IN_FILE = ("series", "log_tail")
"""Fields that are read from the record's own file."""
_LATER = frozenset({"metrics", "evidence", "worker", "seal", *_IN_FILE})
_ALL = set(Record.model_fields)
_DECODE: dict[str, Callable[[str], Any]] = {
    "worker": WorkerFacts.model_validate_json,
    "seal": Seal.model_validate_json,
}
_MOST_PARTS = 1024
"""Parts of evidence that are remembered at one time."""
_parts = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


@dataclass(slots=True)
class Shelf:
    """What a segment holds of its records beyond their plain fields, a column each."""

    store: Store
    texts: Mapping[str, list[str | None]]
    """`evidence`, `worker` and `seal` of each record, as JSON."""
    kinds: dict[int, tuple[Any, ...]]
    """Of each kind of metric by its number, the values of `OF_KIND`."""
    kind: NDArray[Any]
    """Of all metrics, those of a record side by side, in its order."""
    numbers: dict[str, NDArray[Any]]
    """`value`, `ci_low` and `ci_high`, NaN for none, and `n`."""
    parts: dict[bytes, Any]
    """Parts of the evidence by their bytes: those that several records have in common are one object."""
    _places: dict[bytes, dict[str, int]] = field(default_factory=dict)

    def places(self, start: int, stop: int) -> dict[str, int]:
        """Return by its id how far behind the start a metric between two places lies, the first of several.

        Records with metrics of the same kinds have one such object.
        """
        shape = self.kind[start:stop]
        key = shape.tobytes()
        places = self._places.get(key)
        if places is None:
            ids = [self.kinds[number][0] for number in shape.tolist()]
            places = self._places[key] = {name: at for at, name in reversed(list(enumerate(ids)))}
        return places

    def metric(self, at: int) -> Metric:
        """Return a metric as it was validated before it came into the index."""
        metric = object.__new__(Metric)
        for name, value in zip(OF_KIND, self.kinds[int(self.kind[at])], strict=True):
            object.__setattr__(metric, name, value)
        for name in _NUMBERS:
            number = float(self.numbers[name][at])
            object.__setattr__(metric, name, None if math.isnan(number) else number)
        object.__setattr__(metric, "n", int(self.numbers["n"][at]))
        return metric


@dataclass(frozen=True, slots=True)
class Held:
    """Where a record lies on its shelf."""

    shelf: Shelf
    row: int
    start: int
    stop: int
    """Of its metrics."""
    places: dict[str, int]
    """As `Shelf.places` gives them."""
    sha256: str
    merged: bool


class KeptRecord(Record):
    """A record from the index, equal to the one that its file holds."""

    __slots__ = ("_held",)

    if TYPE_CHECKING:
        _held: Held
    else:

        def __getattr__(self, name: str) -> Any:
            """Fill in a field that was left for later."""
            if name in _LATER:
                self._fill(name)
                return self.__dict__[name]
            return super().__getattr__(name)

    @property
    def sha256(self) -> str:
        """Digest of the bytes it was read from."""
        return self._held.sha256

    @property
    def merged(self) -> bool:
        """Whether this user did not write it on this machine."""
        return self._held.merged

    def metric(self, metric_id: str) -> Metric | None:
        """Return the metric with this id, or None."""
        held = self._held
        at = held.places.get(metric_id)
        return None if at is None else held.shelf.metric(held.start + at)

    def value(self, metric_id: str) -> float | None:
        """Return the value of the metric with this id, or None where it has none."""
        held = self._held
        at = held.places.get(metric_id)
        if at is None:
            return None
        number = float(held.shelf.numbers["value"][held.start + at])
        return None if math.isnan(number) else number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Record) and _whole(self).__dict__ == _whole(other).__dict__

    __hash__ = Record.__hash__

    def model_dump(self, **options: Any) -> dict[str, Any]:
        """Return it whole, as plain data."""
        _whole(self)
        return super().model_dump(**options)

    def model_dump_json(self, **options: Any) -> str:
        """Return it whole, as JSON."""
        _whole(self)
        return super().model_dump_json(**options)

    def _fill(self, name: str) -> None:
        held, fields = self._held, self.__dict__
        shelf = held.shelf
        if name == "metrics":
            fields[name] = tuple(shelf.metric(at) for at in range(held.start, held.stop))
        elif name in shelf.texts:
            text, shelf.texts[name][held.row] = shelf.texts[name][held.row], None  # it is asked for once
            if text is None:
                fields[name] = None
            else:
                fields[name] = _evidence(text, shelf.parts) if name == "evidence" else _DECODE[name](text)
        else:
            found = self._read()
            fields.update({each: getattr(found, each) for each in _IN_FILE})

    def _read(self) -> Record:
        """Read the record's own file.

        Raises:
            ResourceError: it changed since it was listed.
        """
        store = self._held.shelf.store
        folder = store.attempt_dir(self.sweep, self.machine_id, self.trial_id, self.replica, self.attempt)
        found = store.read_at(str(folder / RECORD), (), parse)
        if not isinstance(found, Record) or found.sha256 != self.sha256:
            raise ResourceError(f"{folder / RECORD}: changed while it was read; run the command again")
        return found


def kept_record(fields: dict[str, Any], held: Held) -> KeptRecord:
    """Return a record of the fields that are at hand, validated before they came into the index."""
    record = KeptRecord.__new__(KeptRecord)
    for name, value in (
        ("__dict__", fields),
        ("__pydantic_fields_set__", _ALL),
        ("__pydantic_extra__", None),
        ("__pydantic_private__", {}),
        ("_held", held),
    ):
        object.__setattr__(record, name, value)
    return record


def _evidence(text: str, parts: dict[bytes, Any]) -> Facts:
    """Return a record's evidence, parts of equal bytes as one object.

    Replicas of a trial, and trials of a machine, have most in common: that is decoded once. What is in one
    record alone is soon forgotten.
    """
    evidence: Facts = {}
    for name, part in _parts(text).items():
        data = bytes(part)
        if data not in parts:
            if len(parts) >= _MOST_PARTS:
                parts.clear()
            parts[data] = from_json(data)
        evidence[name] = parts[data]
    return evidence


def _whole(record: Record) -> Record:
    """Fill in every field, in the order of the schema."""
    if isinstance(record, KeptRecord):
        whole = {name: getattr(record, name) for name in Record.model_fields}
        object.__setattr__(record, "__dict__", whole)
    return record
