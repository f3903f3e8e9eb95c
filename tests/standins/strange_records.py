"""Bytes that are almost those of a record: readers of JSON differ in many of them."""

from __future__ import annotations

import json
import re


def _part(data: bytes) -> bytes:
    return data[data.find(b', "config": ') : data.find(b', "metrics": [')]


STRANGE = {
    "named again later": lambda d: d.replace(b', "log_tail"', b', "config": {"seed": 9}, "log_tail"'),
    "named again, empty": lambda d: d.replace(b', "log_tail"', b', "machine": {}, "log_tail"'),
    "named before": lambda d: b'{"config": {"seed": 9}, ' + d[1:],
    "deeper, in an object": lambda d: b'{"x": {"a": 1' + _part(d) + b"}, " + d[1:],
    "deeper, in a list": lambda d: b'{"x": [{"a": 1' + _part(d) + b"}], " + d[1:],
    "only deeper": lambda d: d.replace(_part(d), b"").replace(
        b'"evidence": {', b'"evidence": {"a": 1' + _part(d) + b', "b": '
    ),
    "twice": lambda d: d.replace(_part(d), _part(d) * 2),
    "in a text": lambda d: d.replace(
        _part(d), b', "label": ' + json.dumps(_part(d).decode()).encode() + _part(d)
    ),
    "cut": lambda d: d[:-20],
    "cut within": lambda d: d[: d.find(b', "metrics": [') + 5],
    "no list of metrics": lambda d: d.replace(b', "metrics": [', b', "metrics": ['[:-1] + b"{"),
    "unknown field": lambda d: d.replace(b', "log_tail"', b', "zzz": 1, "log_tail"'),
    "not finite": lambda d: d.replace(b'"evidence": {', b'"evidence": {"a": NaN, '),
    "too large": lambda d: d.replace(b'"evidence": {', b'"evidence": {"a": 1e999, '),
    "a large number": lambda d: d.replace(b'"evidence": {', b'"evidence": {"a": ' + b"9" * 30 + b", "),
    "too large, after a digest": lambda d: d.replace(
        b'"evidence": {', b'"evidence": {"d": "7e1234", "a":1E+0999, '
    ),
    "not finite, in the configuration": lambda d: d.replace(b'"config": {', b'"config": {"a": -Infinity, '),
    "too large, in the configuration": lambda d: d.replace(b'"config": {', b'"config": {"a": [-25.5e1000], '),
    "a large number, in the machine": lambda d: d.replace(
        b'"machine": {', b'"machine": {"a": -' + b"9" * 21 + b", "
    ),
    "digests and a long number": lambda d: d.replace(
        b'"evidence": {', b'"evidence": {"d": "' + b"8e1234" * 60 + b'", "a": 0.' + b"1" * 30 + b", "
    ),
    "a text for a number": lambda d: d.replace(b": 1.5", b': "1.5"'),
    "a truth for a number": lambda d: d.replace(b": 1.5", b": true"),
    "newer": lambda d: d.replace(b'"schema_version": 2', b'"schema_version": 99'),
    "older than the first": lambda d: d.replace(b'"schema_version": 2', b'"schema_version": 0'),
    "a bad metric": lambda d: d.replace(b"1.5", b"1e999"),
    "bytes that are no text": lambda d: d.replace(b'"log_tail": "', b'"log_tail": "\xff'),
    "garbage before": lambda d: b"x" + d,
    "braces in the label": lambda d: d.replace(b'"label": "', b'"label": "{['),
    "half a character": lambda d: d.replace(b'"label": "', b'"label": "\\ud800'),
    "half a character as bytes": lambda d: d.replace(b'"label": "', b'"label": "\xed\xa0\x80'),
    "half a character in a name": lambda d: d.replace(b'"series": {', b'"series": {"\\udc00": [1], '),
    "half a character in a fact": lambda d: d.replace(b'"evidence": {', b'"evidence": {"a": "\\udc00", '),
    "an overlong character": lambda d: d.replace(b'"label": "', b'"label": "\xc0\x80'),
    "a control": lambda d: d.replace(b'"label": "', b'"label": "\x01'),
    "a line's end in a text": lambda d: d.replace(b'"label": "', b'"label": "\n'),
    "no such escape": lambda d: d.replace(b'"label": "', b'"label": "\\x'),
    "an escaped zero": lambda d: d.replace(b'"label": "', b'"label": "\\u0000'),
    "a byte order mark": lambda d: b"\xef\xbb\xbf" + d,
    "another space before": lambda d: b"\x0c" + d,
    "space around": lambda d: b" \t\r\n" + d + b"\n ",
    "more after it": lambda d: d + b"{}",
    "nothing": lambda _d: b"",
    "null": lambda _d: b"null",
    "a list": lambda _d: b"[]",
    "two commas": lambda d: d.replace(b', "log_tail"', b',, "log_tail"'),
    "a comma at the end": lambda d: d.rstrip()[:-1] + b",}",
    "a digest and a line's end": lambda d: re.sub(rb'("trial_id": "[0-9a-f]+)"', rb'\1\\n"', d),
    "a name and a line's end": lambda d: d.replace(b'"sweep": "demo"', b'"sweep": "demo\\n"'),
    "a short digest": lambda d: re.sub(rb'"code_id": "[0-9a-f]+"', b'"code_id": "abc"', d),
    "a replica beyond all": lambda d: d.replace(b'"replica": 0', b'"replica": 10000'),
    "half a replica": lambda d: d.replace(b'"replica": 0', b'"replica": 0.5'),
    "a replica with a point": lambda d: d.replace(b'"replica": 0', b'"replica": 0.0'),
    "a whole number of seconds": lambda d: re.sub(rb'"wall_s": [0-9.]+', b'"wall_s": 3', d),
    "seconds without end": lambda d: re.sub(rb'"wall_s": [0-9.]+', b'"wall_s": 1e999', d),
    "series without end": lambda d: d.replace(b'"series": {', b'"series": {"a": [1e999], '),
    "series of whole numbers": lambda d: d.replace(b'"series": {', b'"series": {"a": [1, -0, 2], '),
    "series of texts": lambda d: d.replace(b'"series": {', b'"series": {"a": ["1"], '),
    "series of nothing": lambda d: d.replace(b'"series": {', b'"series": {"a": [null], '),
    "no such status": lambda d: d.replace(b'"status": "ok"', b'"status": "fine"'),
    "another century": lambda d: re.sub(rb'"started_at": "[^"]*"', b'"started_at": "1960-01-01"', d),
    "no time": lambda d: re.sub(rb'"started_at": "[^"]*"', b'"started_at": "soon"', d),
    "an unknown field of a metric": lambda d: d.replace(b'"value": 1.5', b'"zzz": 1, "value": 1.5'),
    "a metric's field again": lambda d: d.replace(b'"value": 1.5', b'"value": 1.5, "value": 2.5'),
    "a metric's field, wrong first": lambda d: d.replace(b'"value": 1.5', b'"value": "x", "value": 1.5'),
    "a metric's field is missing": lambda d: d.replace(b'"provenance": "measured", ', b""),
    "a long id": lambda d: d.replace(b'"id": "', b'"id": "' + b"x" * 300),
    "a bell in an id": lambda d: d.replace(b'"id": "', b'"id": "\\u0007'),
    "a direction that is none": lambda d: d.replace(b'"direction": "higher"', b'"direction": "up"'),
    "too many samples": lambda d: d.replace(b'"n": ', b'"n": 9223372036854775808'),
    "facts that are a list": lambda d: d.replace(b'"machine": {', b'"machine": [], "x": {'),
    "no facts": lambda d: d.replace(b'"evidence": {', b'"evidence": null, "x": {'),
    "a section that is none": lambda d: d.replace(b'"config": {', b'"config": {"price": 3, '),
    "a configuration without end": lambda d: d.replace(b'"config": {', b'"config": {"a": 1e999, '),
    "a large number of the machine": lambda d: d.replace(
        b'"machine": {', b'"machine": {"a": ' + b"9" * 30 + b", "
    ),
    "an unknown field of the worker": lambda d: d.replace(b'"worker": {', b'"worker": {"zzz": 1, '),
    "a text for the worker's number": lambda d: d.replace(b'"worker": {', b'"worker": {"pid": "1", '),
    "a seal that is none": lambda d: re.sub(rb'"seal": .*\}', b'"seal": 3}', d),
    "no seal": lambda d: re.sub(rb', "seal": .*\}', b"}", d),
    **{
        f"{depth} deep": lambda d, depth=depth: d.replace(
            b'"evidence": {', b'"evidence": {"a": ' + b"[" * depth + b"]" * depth + b", "
        )
        for depth in (58, 59, 60, 61, 62, 300, 100_000)
    },
    **{
        f"the fact {number[:24].decode()}": lambda d, number=number: d.replace(
            b'"evidence": {', b'"evidence": {"a": ' + number + b", "
        )
        for number in (
            *(b"18446744073709551615", b"18446744073709551616", b"-18446744073709551616", b"9" * 19),
            *(b"[18446744073709551616]", b"0.00012345678901234567", b"1e99", b"1e100", b"1e308", b"-1E+309"),
            *(b"1e00000000000000000001", b'"' + b"0" * 64 + b'"', b"1" * 20 + b".5", b"1" * 19 + b".5e99"),
            *(b"[" * 25 + b"]" * 25 + b', "b": ' + b"[" * 61 + b"]" * 61, b"NaN", b"-Infinity"),
        )
    },
    **{
        f"the number {number[:12].decode()}": lambda d, number=number: d.replace(b": 1.5", b": " + number)
        for number in (
            *(b"-0", b"-0.0", b"01", b"1.", b".5", b"+1", b"1e", b"1_0", b"0x1", b"NaN", b"Infinity", b"1E5"),
            *(b"1e100", b"1.0000000000000002e100", b"-1e100", b"2e100", b"2.47032822920623e-324", b"1e-400"),
            *(b"0.1000000000000000055511151231257827021181583404541015625", b"9007199254740993", b"9" * 5000),
            *(b"8" * 25, b"1" + b"0" * 400 + b"e-400", b"123456789012345678901234567890.5"),
        )
    },
}  # fmt: skip
"""By what is wrong with it, what makes it of a record whose one metric is 1.5."""
