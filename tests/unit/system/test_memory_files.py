"""Files in memory: they hold what they were given, and nothing is left of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.system.memory_files import in_memory


def _open() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir() if path.is_symlink()}


def test_each_holds_its_bytes_and_goes_with_the_block():
    """Also where the block fails; no descriptor stays open."""
    before = _open()

    def fail():
        with in_memory([b"one", b"", b"x" * 300_000]) as paths:
            held.extend(Path(path).read_bytes() for path in paths)
            raise RuntimeError

    held: list[bytes] = []
    with pytest.raises(RuntimeError):
        fail()
    assert held == [b"one", b"", b"x" * 300_000]
    assert _open() == before
