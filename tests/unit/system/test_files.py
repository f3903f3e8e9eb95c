"""Files written whole or not at all, whatever happens while they are written."""

from __future__ import annotations

import os

import pytest

from harness.system.files import replacing, write_atomically


def test_what_was_there_is_replaced_whole(tmp_path):
    """Text and bytes, in folders that were not there; nothing else is left beside them."""
    path = tmp_path / "a" / "b.txt"
    assert write_atomically(path, "first") == path
    write_atomically(path, b"\xffsecond")
    assert path.read_bytes() == b"\xffsecond"
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_leaves_what_was_there(tmp_path):
    """Neither half a file nor a temporary one."""
    path = write_atomically(tmp_path / "kept", "old")

    def fail():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_in_the_way_is_not_followed(tmp_path):
    """Neither where the file is to stand nor where it is written first."""
    outside = write_atomically(tmp_path / "outside", "theirs")
    path = tmp_path / "in" / "file"
    with replacing(path) as temporary:
        temporary.write_text("x")
    for link in (path, temporary):
        link.unlink(missing_ok=True)
        link.symlink_to(outside)
    write_atomically(path, "ours")
    assert outside.read_text() == "theirs"
    assert not path.is_symlink()
    assert path.read_text() == "ours"


@pytest.mark.parametrize("linked", [False, True])
def test_a_pipe_keeps_its_place(tmp_path, linked):
    """As do devices: whoever may write into `/dev` would have a file there instead of `/dev/full`."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    path = tmp_path / "link" if linked else pipe
    if linked:
        path.symlink_to(pipe)
    with pytest.raises(OSError, match="not a plain file"):
        write_atomically(path, "ours")
    assert pipe.is_fifo()
    assert path.is_symlink() == linked
