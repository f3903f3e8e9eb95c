"""Show a sweep while it runs: a live table on a terminal, one plain line a replica elsewhere.

Drawn only between replicas and while waiting for one, at most twice per second, by the process that does not
measure.
"""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING, Self, TextIO

from harness.planning.plan import Plan, PlannedTrial
from harness.records.headline import HEADLINES
from harness.records.numbers import quantity
from harness.records.schema import Record

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

_BETWEEN_DRAWS_S = 0.5


def duration(seconds: float) -> str:
    """Return a duration as people say it: 4 s, 3 min 20 s, 2 h 05 min."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def headline(record: Record) -> str:
    """Return what one record found, in a few words."""
    if record.status != "ok":
        return " ".join((record.reason or record.status).split())[:100]
    for name in HEADLINES:
        metric = record.metric(name)
        if metric is not None and metric.value is not None:
            return quantity(metric.value, metric.unit).text
    return "ok"


class PlainProgress:
    """One line a replica."""

    def __init__(self, plan: Plan, out: TextIO | None = None) -> None:
        self._out = out or sys.stderr
        self._total = len(plan.runnable)
        self._done = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def started(self, trial: PlannedTrial, replica: int) -> None:
        """Say nothing: the line comes with the result."""

    def tick(self) -> None:
        """Say nothing."""

    def finished(self, record: Record, remaining_s: float) -> None:
        """Print the replica's line."""
        self._done += 1
        self.note(
            f"{self._done:4d}  {record.status:<11} {record.label}  replica {record.replica}  "
            f"{headline(record)}  ({record.wall_s:.1f} s; {duration(remaining_s)} left)"
        )

    def note(self, text: str) -> None:
        """Print one line, if anybody takes it: a sweep goes on without a listener."""
        with contextlib.suppress(OSError, ValueError):
            shown = "".join(c if c.isprintable() or c == "\u00a0" else "\ufffd" for c in text)
            print(shown, file=self._out, flush=True)


class LiveProgress:
    """A table of all trials that is redrawn in place."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._rows: dict[str, tuple[int, str, str]] = {}
        self._running: tuple[str, int, float] | None = None
        self._remaining_s = plan.estimated_s
        self._drawn = 0.0
        self._live: Live

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=Console(stderr=True), auto_refresh=False, transient=True)
        self._live.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.__exit__(None, None, None)

    def started(self, trial: PlannedTrial, replica: int) -> None:
        """Mark the trial as running."""
        self._running = (trial.trial_id, replica, time.monotonic())
        self.tick()

    def tick(self) -> None:
        """Redraw, at most twice per second."""
        now = time.monotonic()
        if now - self._drawn >= _BETWEEN_DRAWS_S:
            self._drawn = now
            self._live.update(self._table(), refresh=True)

    def finished(self, record: Record, remaining_s: float) -> None:
        """Take the result into the table."""
        done = self._rows.get(record.trial_id, (0, "", ""))[0] + (record.status == "ok")
        self._rows[record.trial_id] = (done, record.status, headline(record))
        self._running, self._remaining_s = None, remaining_s
        self.tick()

    def note(self, text: str) -> None:
        """Print one line above the table."""
        self._live.console.print(text, markup=False, highlight=False)

    def _table(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        table = Table(title=f"{self._plan.sweep}: {duration(self._remaining_s)} left", title_justify="left")
        table.add_column("trial", no_wrap=True)
        table.add_column("replicas", justify="right")
        table.add_column("state")
        table.add_column("last result", no_wrap=True, overflow="ellipsis")
        height = max(5, self._live.console.size.height - 6)
        shown = self._visible(height)
        for trial in shown:
            done, status, text = self._rows.get(trial.trial_id, (0, "waiting", ""))
            if trial.refusal is not None:
                status, text = "refused", trial.refusal
            if self._running is not None and self._running[0] == trial.trial_id:
                status = f"running {time.monotonic() - self._running[2]:.0f} s"
            table.add_row(
                Text(trial.label), f"{done}/{max(done, trial.config.measure.replicas)}", status, Text(text)
            )
        if len(shown) < len(self._plan.trials):
            table.caption = f"{len(self._plan.trials) - len(shown)} more trials"
        return table

    def _visible(self, height: int) -> list[PlannedTrial]:
        """Return as many trials as fit, around the one that runs."""
        trials = list(self._plan.trials)
        if len(trials) <= height:
            return trials
        current = self._running[0] if self._running else None
        at = next((i for i, t in enumerate(trials) if t.trial_id == current), 0)
        first = min(max(0, at - height // 2), len(trials) - height)
        return trials[first : first + height]


def make(plan: Plan) -> PlainProgress | LiveProgress:
    """Return the live table when standard error is a terminal, else plain lines."""
    return LiveProgress(plan) if sys.stderr.isatty() else PlainProgress(plan)
