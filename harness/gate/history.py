"""Nights from a results folder: each a sweep, its values from records, its verdicts from `gate.json`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

from harness.gate.policy import matches, unmatched
from harness.gate.series import GOOD_NIGHTS_BACK, Event, Label, Night, last_good
from harness.records.errors import faults_of
from harness.records.estimates import trial_results
from harness.records.index import read_records
from harness.records.results import TrialResult, own_first
from harness.records.store import Store, read_bounded
from harness.system.errors import UsageError

VERDICT = "gate.json"
_MOST_BYTES = 64 << 20
Series = tuple[str, str, str]
"""Work, machine and metric: what is compared from night to night."""


class Judged(BaseModel):
    """What an earlier run of the gate said of one metric of one trial."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    work_id: Annotated[str, StringConstraints(max_length=64)]
    machine_id: Annotated[str, StringConstraints(max_length=64)]
    metric: str
    label: Label
    event: Event | None = None

    @property
    def series(self) -> Series:
        """What it was said of."""
        return self.work_id, self.machine_id, self.metric


class JudgedNight(BaseModel):
    """The file that the gate leaves in a night's sweep."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    night: str
    verdicts: tuple[Judged, ...]


@dataclass
class History:
    """The nights before, and tonight."""

    tonight: str
    results: list[TrialResult]
    """Tonight's."""
    before: dict[Series, list[Night]] = field(default_factory=dict)
    """Oldest first."""
    commits: dict[tuple[Series, str], str] = field(default_factory=dict)
    """By series and night, the commit that was measured."""
    expected: dict[str, str] = field(default_factory=dict)
    """By label of a trial that was measured within the last two weeks of nights, the newest such night."""
    left_out: list[str] = field(default_factory=list)

    def nights(self, series: Series) -> list[Night]:
        """Return the nights of one series, oldest first."""
        return self.before.get(series, [])

    def good_commit(self, series: Series) -> str | None:
        """Return the commit that tonight is measured against; None where none is known."""
        night = last_good(self.nights(series))
        return self.commits.get((series, night.name)) if night is not None else None


def read_history(
    store: Store, *, pattern: str = "*", tonight: str | None = None, accept: tuple[str, ...] = ()
) -> History:
    """Read the nights of a results folder.

    Args:
        store: the results.
        pattern: of the sweeps' names.
        tonight: the night to judge; None is the newest.
        accept: nights whose level is the new normal.

    Raises:
        ValueError: there are no nights, the newest by name has no record that can be read, or a `gate.json`
            is malformed; the line names the file and field.
    """
    names = [name for name in store.sweeps() if matches(name, pattern) or name == tonight]
    nights: list[_Measured] = []
    left_out: list[str] = []
    unread: dict[str, str] = {}
    for name in names:
        records, torn = read_records(store, name)
        left_out += [f"{bad.path}: {bad.reason}" for bad in torn]
        if torn and not records:
            unread[name] = left_out[-1]
        if records:
            kept, beside = own_first(trial_results(records))
            left_out += [f"{name}: merged beside what was measured here: {r.label}" for r in beside]
            nights.append(_Measured.of(name, kept))
    nights = _in_order(nights, store.journal.order())
    if tonight is not None:
        at = next((i for i, night in enumerate(nights) if night.name == tonight), None)
        if at is None:
            raise UsageError(f"{store.root}: no records of the night {tonight}")
        nights = nights[: at + 1]
    if tonight is None and unread and (not nights or max(unread) > nights[-1].name):
        raise UsageError(
            f"{unread[max(unread)]}; no record of the night {max(unread)} can be read: "
            "remove it, or name the night to judge by --night"
        )
    if not nights:
        raise UsageError(f"{store.root}: no sweep matches {pattern!r}, so there is no night to judge")
    *earlier, last = nights
    known = [night.name for night in nights]
    left_out += [f"accept: there is no night {name}" for name in unmatched(accept, known)]
    history = History(last.name, last.results, left_out=left_out)
    for night in earlier[-GOOD_NIGHTS_BACK:]:
        history.expected |= {result.label: night.name for result in night.results if result.status == "ok"}
    for night in earlier:
        judged = _judged(store.root / night.name / VERDICT)
        _add(history, night.name, night.results, judged, accepted=night.name in accept)
    return history


@dataclass(frozen=True, slots=True)
class _Measured:
    """A night's results, and when it says that it began."""

    date: str
    name: str
    results: list[TrialResult]
    own: bool
    """Whether this user measured something of it here."""

    @classmethod
    def of(cls, name: str, results: list[TrialResult]) -> _Measured:
        """Date a night by its first record, of those that are not in the future."""
        latest = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        dates = [record.started_at for result in results for record in result.records]
        date = min((date for date in dates if date <= latest), default="")
        return cls(date, name, results, any(not result.merged for result in results))


def _in_order(nights: list[_Measured], begun: Sequence[str]) -> list[_Measured]:
    """Return the nights oldest first: by date, but our own among each other as the journal has them.

    A night that a wrong clock dated 2099 is then not the newest for ever; a merged one of such a date is the
    oldest.

    Args:
        nights: in any order.
        begun: the sweeps in the order in which they were begun here.
    """
    turn = {name: place for place, name in enumerate(begun)}
    dated = sorted(nights, key=lambda night: (night.date, night.name))
    places = [place for place, night in enumerate(dated) if night.own and night.name in turn]
    ours = sorted((dated[place] for place in places), key=lambda night: turn[night.name])
    for place, night in zip(places, ours, strict=True):
        dated[place] = night
    return dated


def _add(
    history: History,
    name: str,
    results: list[TrialResult],
    judged: dict[Series, Judged],
    *,
    accepted: bool,
) -> None:
    for result in results:
        for e in result.estimates.values():
            if e.value is None or e.value <= 0 or e.validity == "invalid":
                continue
            series = (result.work_id, result.machine_id, e.metric_id)
            said = judged.get(series)
            # A night that no gate has judged counts as accepted: that is how a history begins.
            night = Night(
                name,
                e.value,
                said.label if said else "insufficient_data",
                "accepted" if accepted else said.event if said else None,
            )
            history.before.setdefault(series, []).append(night)
            commit = result.records[-1].code.get("git_commit")
            if isinstance(commit, str):
                history.commits[series, name] = commit


def _judged(path: Path) -> dict[Series, Judged]:
    with faults_of(path):
        try:
            data = read_bounded(path, _MOST_BYTES)
        except FileNotFoundError:
            return {}
        night = JudgedNight.model_validate_json(data)
    return {verdict.series: verdict for verdict in night.verdicts}
