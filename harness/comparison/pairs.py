"""A against B: pairs of new processes in random order, looked at as planned, until there is a verdict.

Each process leaves an ordinary record, the base's in one sweep and the head's in another, replica i of both
being pair i. What is measured is never measured again: the same name goes on where it stopped.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from harness.comparison.sides import Side
from harness.comparison.verdicts import Line, verdicts
from harness.execution.attempt import Attempts
from harness.execution.host_watch import HostWatch
from harness.execution.ledger import Ledger
from harness.execution.session import Session
from harness.planning.plan import Plan, plan_payload
from harness.records.chain import Chain, last_of, plan_digest
from harness.records.headline import CLEAN_PROCESSES
from harness.records.schema import Record
from harness.records.store import Store
from harness.stats import compare, finished
from harness.stats.compare import LOOKS
from harness.system.errors import JoulemarkError
from harness.system.locks import sweep_lock


class SideFailedError(JoulemarkError, RuntimeError):
    """A side's process failed, so that nothing can be compared. Its record says how."""


@dataclass
class Pairs:
    """One comparison of two sides.

    Args:
        name: the sweeps are called `NAME-base` and `NAME-head`.
        base: what is compared with.
        head: what is compared.
        store: where records go.
        delta: the effect below which a difference does not matter.
        on_pair: called after each pair with their number and the verdicts so far.
        on_wait: called about twice per second while a process runs.
        note: called with what is worth one line.
        session: what is known of the accelerators, filled by a soak before the first pair.
        host: looks at the host once before the first pair; all pairs wait as that says.
        settled: tells from the records of base and head, pair by pair, whether they are enough; None asks the
            headline's verdict.
    """

    name: str
    base: Side
    head: Side
    store: Store
    delta: float = 0.01
    on_pair: Callable[[int, list[Line]], None] = lambda _pairs, _lines: None
    on_wait: Callable[[], None] = lambda: None
    note: Callable[[str], None] = lambda _text: None
    session: Session = field(default_factory=Session)
    host: HostWatch = field(default_factory=HostWatch)
    settled: Callable[[Sequence[Record], Sequence[Record]], bool] | None = None
    _ledgers: dict[str, Ledger] = field(default_factory=dict)
    _chains: dict[str, Chain] = field(default_factory=dict)

    def sweep(self, side: Side) -> str:
        """Return the name of a side's sweep."""
        return f"{self.name}-{side.name}"

    def run(self) -> list[Line]:
        """Measure pairs until they are settled, or the last look has passed; return all lines.

        Raises:
            ValueError: the name makes no names of sweeps; nothing has been written.
            SideFailedError: a process of one side did not end well.
            SweepBusyError: another process measures under this name.
            KeyboardInterrupt: after the process in flight has its record.
        """
        self.store.check_writable()
        with contextlib.ExitStack() as stack:
            for side in (self.base, self.head):
                stack.enter_context(sweep_lock(self.store.sweep_dir(self.sweep(side))))
                self._open(side)
            ours = stack.enter_context(self.base.environment.workers())
            theirs = ours
            # One server for both, where it can be: two would lay out memory each in its own way, for all
            # processes of a side alike, and that would look like a difference.
            if self.base.environment != self.head.environment:
                theirs = stack.enter_context(self.head.environment.workers())
            run = {
                side.name: partial(self._attempts(side).run, workers)
                for side, workers in ((self.base, ours), (self.head, theirs))
            }
            lines = self._look()
            if not self._done(lines):
                self.host.note = self.note
                self.host.before(self.base.trial.config.run.quiet_wait_s, self.on_wait)
                self.session.run([self.base.trial, self.head.trial], ours, self.note, self.on_wait)
            while not self._done(lines):
                self._pair(run)
                lines = self._look()
                self.on_pair(self.pairs(), lines)
        return lines

    def pairs(self) -> int:
        """Return how many pairs are complete, counted from the first without a gap."""
        number = 0
        while self._complete(number):
            number += 1
        return number

    def records(self, side: Side) -> list[Record]:
        """Return a side's records, one for each complete pair."""
        ledger = self._ledgers[side.name]
        good = {r.replica: r for r in ledger.ok(side.trial.trial_id)}
        return [good[i] for i in range(self.pairs())]

    def _attempts(self, side: Side) -> Attempts:
        return Attempts(
            self.sweep(side),
            self.store,
            side.identity,
            self.on_wait,
            self.session.evidence,
            self.note,
            wait_policy=self.host.wait_policy,
            chain=self._chains[side.name],
        )

    def _open(self, side: Side) -> None:
        records, _ = self.store.records(self.sweep(side))
        ledger = Ledger.read(records, side.identity.machine_id, {side.trial.trial_id: side.identity.code_id})
        if merged := ledger.merged_note(self.sweep(side)):
            self.note(merged)
        if others := ledger.elsewhere:
            what = "another configuration, machine or code"
            self.note(f"{self.sweep(side)}: {others} earlier records are of {what}, and do not count")
        self._ledgers[side.name] = ledger
        plan = Plan(self.sweep(side), (side.trial,), side.trial.overrides)
        payload = plan_payload(plan, side.identity)
        mine = [r for r in records if r.machine_id == side.identity.machine_id and not r.merged]
        self._chains[side.name] = Chain(plan_digest(payload), last_of(mine))
        self.store.write_plan(plan.sweep, payload)

    def _complete(self, number: int) -> bool:
        return all(
            self._ledgers[side.name].is_done(side.trial.trial_id, number) for side in (self.base, self.head)
        )

    def _look(self) -> list[Line]:
        base, head = self.records(self.base), self.records(self.head)
        return verdicts(base, head, partial(compare, delta=self.delta), paired=True) if base else []

    def _done(self, lines: list[Line]) -> bool:
        # Looks count the pairs that may be compared; disturbed ones are replaced, up to a share.
        if self.pairs() * CLEAN_PROCESSES >= LOOKS[-1]:
            return True
        if self.settled is not None:
            return self.settled(self.records(self.base), self.records(self.head))
        headline = lines[0].comparison if lines else None
        # What cannot be compared at the first look will not be after more pairs either.
        return self.pairs() >= LOOKS[0] if headline is None else finished(headline)

    def _pair(self, run: dict[str, partial[Record]]) -> None:
        """Measure the next pair; where one of the two is there already, both anew, side by side."""
        number = self.pairs()
        sides = [self.base, self.head]
        # The second of each two pairs begins the other way: six that begin alike pass a drift for a change.
        random.Random(f"{self.name}:{number // 2}").shuffle(sides)
        if number % 2:
            sides.reverse()
        for order, side in enumerate(sides):
            record = run[side.name](side.trial, number, order)
            self._ledgers[side.name].add(record)
            if record.status != "ok":
                raise SideFailedError(f"{side.name} {record.status}: {record.reason}")
