"""Locks: one run a device, and a wait that says what it waits for."""

from __future__ import annotations

import pytest

from harness.system.locks import SweepMovedError, device_locks, sweep_lock


def test_a_device_in_use_is_waited_for_and_said_once(monkeypatch, tmp_path):
    """The wait is told once, however long it takes, and ends when the device is free."""
    monkeypatch.setattr("harness.system.locks.tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr("harness.system.locks.time.sleep", lambda _seconds: None)
    notes: list[str] = []
    waits = 0
    first = device_locks(["none-0", "none-1"])
    first.__enter__()

    def wait() -> None:
        nonlocal waits
        waits += 1
        if waits == 3:
            first.__exit__(None, None, None)

    with device_locks(["none-1"], wait, notes.append):
        assert waits == 3
    assert notes == ["waiting for none-1, which another run measures on"]


def test_a_held_folder_that_is_moved_or_replaced_is_noticed(tmp_path):
    """By the folder itself, not by its name."""
    folder = tmp_path / "sweep"
    with sweep_lock(folder) as held:
        held.require()
        folder.rename(tmp_path / "moved")
        with pytest.raises(SweepMovedError, match="renamed, deleted or replaced"):
            held.require()
        folder.mkdir()
        with pytest.raises(SweepMovedError):
            held.require()
        folder.rmdir()
        (tmp_path / "moved").rename(folder)
        held.require()
