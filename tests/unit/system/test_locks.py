"""Locks: one run a device, and a wait that says what it waits for."""

from __future__ import annotations

from harness.system.locks import device_locks


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
