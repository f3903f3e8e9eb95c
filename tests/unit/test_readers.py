"""Every reader takes its seeds, and refuses what is cut, changed or swollen by an error that it may raise."""

from __future__ import annotations

import random

import pytest
from standins.readers import READERS, refuses, seeds


@pytest.mark.parametrize("name", READERS)
def test_a_reader_refuses_and_never_fails(name: str) -> None:
    """Twelve changes of each seed; `make bench-fuzz` looks for more, led by what code they reach."""
    chance = random.Random(name)
    for seed in seeds()[name][:2]:
        refuses(READERS[name], seed)
        for _ in range(12):
            data = bytearray(seed[: 1 << 14])
            at = chance.randrange(len(data))
            match chance.randrange(4):
                case 0:
                    del data[at:]
                case 1:
                    data[at] ^= 1 << chance.randrange(8)
                case 2:
                    data[at:at] = bytes(chance.randrange(256) for _ in range(8))
                case _:
                    data[at : at + 4] = b"9e999"
            refuses(READERS[name], bytes(data))
