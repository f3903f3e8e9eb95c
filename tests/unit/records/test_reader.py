"""Records whose parts repeat: whatever the bytes, the outcome is that of parsing them alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from standins.strange_records import STRANGE

from harness.records.codec import parse, serialise
from harness.records.reader import Reader

GOLDEN = sorted((Path(__file__).parents[2] / "golden" / "records").glob("*.json"))


def _outcome(read: Any, data: bytes) -> Any:
    try:
        record = read(data)
    except ValueError as error:
        return str(error)
    return record.sha256, record.model_dump_json(), record.model_fields_set


@pytest.fixture
def known(make_record: Any) -> tuple[Reader, bytes]:
    """Return a reader that has seen a record, and the record's bytes."""
    data = serialise(make_record({"throughput.samples": 1.5}, machine={"cpu": "x"}, code={"torch": "2"}))
    reader = Reader()
    reader.parse(data)
    return reader, data


def test_real_records_come_out_as_parsed_alone() -> None:
    """Each one twice, so that the second shares its facts with the first."""
    reader = Reader()
    for path in GOLDEN * 2:
        data = path.read_bytes()
        assert _outcome(reader.parse, data) == _outcome(parse, data)


def test_what_repeats_is_one_object(known: tuple[Reader, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """The second record's facts are the first one's, and its bytes are not parsed whole."""
    reader, data = known
    first = reader.parse(data)
    monkeypatch.setattr("harness.records.reader.parse", lambda _data: pytest.fail("parsed whole"))
    second = reader.parse(data.replace(b"1.5", b"2.5"))
    assert (first.config is second.config, first.machine is second.machine) == (True, True)
    assert second.metrics[0].value == 2.5


@pytest.mark.parametrize("what", STRANGE)
def test_strange_bytes_come_out_as_parsed_alone(known: tuple[Reader, bytes], what: str) -> None:
    """Parts that lie elsewhere, come twice or surround what is wrong neither hide nor change anything.

    Nor do texts, numbers and depths at which readers of JSON differ; a number keeps its sign.
    """
    reader, data = known
    bad = STRANGE[what](data)
    assert bad != data
    assert _outcome(reader.parse, bad) == _outcome(parse, bad)
    assert _outcome(reader.parse, data) == _outcome(parse, data)


def test_every_cut_and_every_changed_byte_comes_out_the_same(known: tuple[Reader, bytes]) -> None:
    """A record is cut, and one of its bytes turned into a quote, at every seventh place."""
    reader, data = known
    for place in range(0, len(data), 7):
        for bad in (data[:place], data[:place] + b'"' + data[place + 1 :]):
            assert _outcome(reader.parse, bad) == _outcome(parse, bad)


def test_what_is_kept_is_bounded(make_record: Any) -> None:
    """Thousands of configurations are not held at once."""
    reader = Reader()
    for seed in range(200):
        reader.parse(serialise(make_record(config={"seed": seed})))
    assert max(map(len, reader._known)) <= 64
