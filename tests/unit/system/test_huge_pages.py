"""Memory in huge pages: what is moved, what is left alone, and that its contents stay."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.system import huge_pages

SIZE = 4 * 2**20


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """Return settings under which 2 MiB pages are made for who asks."""
    (tmp_path / "enabled").write_text("always [madvise] never\n")
    (tmp_path / "hpage_pmd_size").write_text(f"{2**21}\n")
    return tmp_path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, int]]:
    """Return what the kernel is asked for, by start, length and advice; it does all of it."""
    calls: list[tuple[int, int, int]] = []

    def madvise(*call: int) -> int:
        calls.append(call)  # type: ignore[arg-type]
        return 0

    monkeypatch.setattr(ctypes, "CDLL", lambda _name: SimpleNamespace(madvise=madvise))
    return calls


def test_private_memory_is_moved_and_nothing_else(
    settings: Path, asked: list[tuple[int, int, int]], tmp_path: Path
) -> None:
    """Only whole huge pages of what has no file behind it, is not shared, and can be written."""
    maps = tmp_path / "maps"
    maps.write_text(
        "00100000-00700000 rw-p 00000000 00:00 0                          [heap]\n"
        "10000000-10200000 r--p 00000000 00:00 0 \n"
        "20000000-20200000 rw-p 00000000 08:01 77                         /usr/lib/x.so\n"
        "30000000-30200000 rw-s 00000000 00:00 0 \n"
        "40000000-40200000 rw-p 00000000 00:00 0                          [stack]\n"
        "50001000-50201000 rw-p 00000000 00:00 0 \n"
        "60000000-60400000 rw-p 00000000 00:00 0 \n"
    )
    assert huge_pages.gather(maps, settings) == 0x400000 + 0x400000
    assert asked == [(0x200000, 0x400000, 25), (0x60000000, 0x400000, 25)]


def test_never_is_never(settings: Path, asked: list[tuple[int, int, int]]) -> None:
    """The administrator's setting holds, though the kernel would obey."""
    (settings / "enabled").write_text("always madvise [never]\n")
    assert huge_pages.gather(settings=settings) == 0
    assert not asked


def test_a_kernel_without_them_is_left_alone(tmp_path: Path, asked: list[tuple[int, int, int]]) -> None:
    """A kernel can be built without huge pages."""
    assert huge_pages.gather(settings=tmp_path / "none") == 0
    assert not asked


def test_what_memory_holds_stays(tmp_path: Path) -> None:
    """Real pages, real kernel: every byte is as it was, and the pages are huge."""
    held = bytearray(bytes(range(256)) * (3 * SIZE // 256))
    start = ctypes.addressof(ctypes.c_char.from_buffer(held))
    maps = tmp_path / "maps"
    maps.write_text(f"{start:x}-{start + 2 * SIZE:x} rw-p 00000000 00:00 0 \n")
    if not huge_pages.gather(maps):
        pytest.skip("this kernel makes no huge pages when asked")
    assert held == bytes(range(256)) * (3 * SIZE // 256)
    listed = Path("/proc/self/smaps").read_text()
    for mapping in re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", listed, flags=re.MULTILINE)[1:]:
        first, last = (int(address, 16) for address in mapping.split(" ")[0].split("-"))
        if first <= start < last:
            assert int(re.findall(r"AnonHugePages: +(\d+) kB", mapping)[0]) >= 4096
            return
    pytest.fail("the memory is mapped nowhere")
