"""The index reads records by another library: whatever the bytes, the outcome is that of `codec.parse`."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from standins.strange_records import STRANGE

from harness.records.codec import parse, serialise
from harness.records.index.decoded import Decoder
from harness.records.schema import Metric

GOLDEN = sorted((Path(__file__).parents[3] / "golden" / "records").glob("*.json"))


def _outcome(read: Any, data: bytes) -> Any:
    try:
        record = read(data)
    except ValueError as error:
        return str(error)
    metrics = tuple(Metric(**{f.name: getattr(m, f.name) for f in fields(Metric)}) for m in record.metrics)
    whole = record.model_copy(update={"metrics": metrics})
    return record.sha256, record.merged, whole.model_dump_json(), record.model_fields_set, list(vars(record))


@pytest.fixture
def known(make_record: Any) -> tuple[Decoder, bytes]:
    """Return a decoder that has seen a record, and the record's bytes."""
    data = serialise(make_record({"throughput.samples": 1.5}, machine={"cpu": "x"}, code={"torch": "2"}))
    decoder = Decoder()
    decoder.parse(data)
    return decoder, data


def test_real_records_come_out_as_parsed() -> None:
    """Each one twice, so that the second shares its facts with the first."""
    decoder = Decoder()
    for path in GOLDEN * 2:
        data = path.read_bytes()
        assert _outcome(decoder.parse, data) == _outcome(parse, data)


def test_our_own_records_need_no_plain_way(make_record: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records of both schemas, with everything in them, come by the fast way."""
    newer = make_record({"throughput.samples": 1.5, "energy.sample": None}, series={"loss": (1.0, 2.5e-9)})
    older = {k: v for k, v in json.loads(serialise(newer)).items() if k != "seal"} | {"schema_version": 1}
    for data in (serialise(newer), json.dumps(older).encode()):
        expected = _outcome(parse, data)
        with monkeypatch.context() as patch:
            patch.setattr(
                "harness.records.index.decoded.parse", lambda _data: pytest.fail("parsed the plain way")
            )
            assert _outcome(Decoder().parse, data) == expected


def test_what_repeats_is_one_object(known: tuple[Decoder, bytes]) -> None:
    """Two records of one configuration and machine share what is known of them."""
    decoder, data = known
    first, second = decoder.parse(data), decoder.parse(data.replace(b"1.5", b"2.5"))
    assert (first.config is second.config, first.machine is second.machine) == (True, True)
    assert [r.value("throughput.samples") for r in (first, second)] == [1.5, 2.5]


@pytest.mark.parametrize("what", STRANGE)
def test_strange_bytes_come_out_as_parsed(known: tuple[Decoder, bytes], what: str) -> None:
    """Texts, numbers, depths and repeated fields count as they do everywhere; a number keeps its sign."""
    decoder, data = known
    bad = STRANGE[what](data)
    assert bad != data
    assert _outcome(decoder.parse, bad) == _outcome(parse, bad)
    assert _outcome(decoder.parse, data) == _outcome(parse, data)


def test_every_cut_and_every_changed_byte_comes_out_the_same(known: tuple[Decoder, bytes]) -> None:
    """A record is cut, and one of its bytes turned into a quote or a brace, at every seventh place."""
    decoder, data = known
    for place in range(0, len(data), 7):
        for bad in (
            data[:place],
            data[:place] + b'"' + data[place + 1 :],
            data[:place] + b"}" + data[place:],
        ):
            assert _outcome(decoder.parse, bad) == _outcome(parse, bad)


def test_what_is_kept_is_bounded(make_record: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of configurations and units of metrics are not held at once."""
    monkeypatch.setattr("harness.records.index.decoded._WORDS", 10)
    decoder, data = Decoder(), serialise(make_record({"throughput.samples": 1.5}, config={"seed": 0}))
    for seed in range(100):
        changed = data.replace(b'"seed": 0', b'"seed": %d' % seed).replace(b'"samples/s"', b'"%d"' % seed)
        assert decoder.parse(changed).metrics[0].unit == str(seed)
    assert max(map(len, decoder._known.values())) == 64
    assert len(decoder._words) == 10
