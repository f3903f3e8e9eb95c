"""The order of nights: what was begun here before, whatever the clock said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.gate.history import read_history
from harness.records.journal import Journal
from harness.records.store import Store


def _night(make_record: Any, store: Store, name: str, started_at: str) -> None:
    store.write(make_record({"throughput.samples": 1.0}, sweep=name, started_at=started_at))


def test_a_night_of_a_wrong_clock_is_not_the_newest_for_ever(make_record: Any, tmp_path: Path) -> None:
    """Our own nights come as they were begun, also where a clock said 1999 or 2099 in between."""
    store = Store(tmp_path / "results", Journal(tmp_path / "journal"))
    dates = ("2026-01-01", "2099-01-01", "1999-01-03", "2026-01-04")
    for number, date in enumerate(dates):
        _night(make_record, store, f"night-{number}", f"{date}T00:00:00+00:00")
    history = read_history(store)
    assert history.tonight == "night-3"
    ((_, nights),) = history.before.items()
    assert [night.name for night in nights] == ["night-0", "night-1", "night-2"]


def test_a_merged_night_of_the_future_is_not_tonight(make_record: Any, tmp_path: Path) -> None:
    """It comes before all, since nothing tells when it was; others keep their dates among ours."""
    store = Store(tmp_path / "results", Journal(tmp_path / "journal"))
    others = Store(tmp_path / "results", Journal(tmp_path / "another's"))
    _night(make_record, store, "own-1", "2026-01-01T00:00:00+00:00")
    _night(make_record, others, "merged-future", "2099-01-01T00:00:00+00:00")
    _night(make_record, others, "merged-between", "2026-01-02T00:00:00+00:00")
    _night(make_record, store, "own-2", "2026-01-03T00:00:00+00:00")
    history = read_history(store)
    assert history.tonight == "own-2"
    ((_, nights),) = history.before.items()
    assert [night.name for night in nights] == ["merged-future", "own-1", "merged-between"]
