"""How long prompts and answers are: all equal, log-normal, or as a user's trace tells."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.system.errors import InputError, access_to

TRACE_LIMIT_BYTES = 256 * 2**20
LINE_LIMIT_BYTES = 2**20
_PROMPT = ("prompt_tokens", "input_length")
_OUTPUT = ("output_tokens", "output_length")


@dataclass(frozen=True, slots=True)
class Length:
    """What one request asks for."""

    prompt_tokens: int
    output_tokens: int
    arrival_s: float | None = None
    """Since the start of its trace; None where it tells none."""


def fixed(count: int, *, prompt_tokens: int, output_tokens: int) -> tuple[Length, ...]:
    """Return `count` equal requests."""
    return (Length(_at_least_one(prompt_tokens), _at_least_one(output_tokens)),) * count


def log_normal(
    count: int, *, prompt_tokens: float, output_tokens: float, sigma: float, longest: int, seed: int
) -> tuple[Length, ...]:
    """Return `count` requests whose lengths are exp(N(ln median, sigma)), rounded.

    Args:
        count: Of requests.
        prompt_tokens: Median of the prompts' lengths.
        output_tokens: Median of the answers' lengths.
        sigma: Standard deviation of the lengths' logarithms; 0 makes all of them the median.
        longest: Positions of the model: a prompt is cut to leave room for one token, an answer to what
            is left.
        seed: Of the lengths.

    Raises:
        ValueError: a number out of range.
    """
    if longest < 2 or not (math.isfinite(sigma) and sigma >= 0) or min(prompt_tokens, output_tokens) < 1:
        raise InputError(
            f"log-normal lengths need medians of 1 at least, sigma of 0 at least and 2 positions, not "
            f"{prompt_tokens}, {output_tokens}, {sigma} and {longest}"
        )
    drawn = np.exp(np.random.default_rng(seed).normal(size=(count, 2)) * sigma)
    medians = np.array([prompt_tokens, output_tokens])
    rounded = np.minimum(np.maximum(np.rint(drawn * medians), 1), longest).astype(int)
    return tuple(_cut(int(prompt), int(output), longest) for prompt, output in rounded)


def from_jsonl(path: Path) -> tuple[Length, ...]:
    """Read a trace: one JSON object a line, in the order of arrival.

    `prompt_tokens` and `output_tokens`, and `arrival_s` or nothing; or, as published traces have it,
    `input_length`, `output_length` and `timestamp` in milliseconds. Other keys are passed over.

    Raises:
        InputError: a line is no such object, the file is empty, too large or no file; the message names it.
        ResourceError: the file cannot be read.
    """
    lengths: list[Length] = []
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: not a plain file")
    with access_to(path), path.open("rb") as lines:
        if (size := os.fstat(lines.fileno()).st_size) > TRACE_LIMIT_BYTES:
            raise InputError(f"{path}: {size} bytes; a trace of lengths has at most {TRACE_LIMIT_BYTES}")
        number = 0
        while line := lines.readline(LINE_LIMIT_BYTES):
            number += 1
            if not line.strip():
                continue
            try:
                lengths.append(_length(json.loads(line)))
            except (ValueError, RecursionError) as error:
                raise InputError(f"{path}:{number}: {error}") from None
    if not lengths:
        raise InputError(f"{path}: no request in it")
    if len({length.arrival_s is None for length in lengths}) > 1:
        raise InputError(f"{path}: some requests tell when they arrive and others do not")
    return tuple(lengths)


def _length(found: object) -> Length:
    if not isinstance(found, dict):
        raise InputError("not a JSON object")
    prompt, output = _whole(found, _PROMPT), _whole(found, _OUTPUT)
    at, scale = ("timestamp", 1e-3) if "timestamp" in found else ("arrival_s", 1.0)
    arrival = found.get(at)
    if arrival is None:
        return Length(prompt, output)
    if isinstance(arrival, bool) or not isinstance(arrival, int | float) or not 0 <= arrival < math.inf:
        raise InputError(f"{at} must be a time of 0 at least, not {str(arrival)[:40]}")
    return Length(prompt, output, arrival * scale)


def _whole(found: dict[str, Any], names: tuple[str, ...]) -> int:
    name = next((name for name in names if name in found), None)
    if name is None:
        raise InputError(f"neither {' nor '.join(names)}")
    value = found[name]
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 2**31:
        raise InputError(f"{name} must be a whole number of 1 at least, not {str(value)[:40]}")
    return value


def _at_least_one(tokens: int) -> int:
    if tokens < 1:
        raise InputError(f"a request has one token at least, not {tokens}")
    return tokens


def _cut(prompt: int, output: int, longest: int) -> Length:
    prompt = min(prompt, longest - 1)
    return Length(prompt, min(output, longest - prompt))
