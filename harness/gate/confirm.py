"""Measure the last good code against tonight's, in pairs, in the same job (docs/method.md, section 3)."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from harness.comparison.pairs import Pairs
from harness.comparison.recorded import repeat
from harness.comparison.sides import Environment, checked_out, environment, make_side
from harness.gate.history import History, Series
from harness.gate.paired import is_settled, paired_comparison
from harness.gate.policy import Rule
from harness.records.repeatable import is_commit
from harness.records.results import TrialResult
from harness.records.schema import Record
from harness.records.store import Store
from harness.stats import Comparison, StatsError
from harness.system.errors import JoulemarkError, UsageError


@dataclass(frozen=True, slots=True)
class Where:
    """Where one side's code is; None is taken from the records, or is what runs here."""

    python: str | None = None
    checkout: str | None = None


@dataclass
class Confirmer:
    """Runs pairs for suspects; the metrics of one trial share each set of pairs.

    A set that has settled one metric goes on where another one needs more pairs.
    """

    history: History
    store: Store
    machine_id: str
    """This machine's: what was measured elsewhere cannot be measured again here."""
    base: Where
    head: Where
    config_dirs: tuple[Path, ...] = ()
    pair_seconds: float | None = None
    plan: tuple[str, ...] = ()
    """Overrides of the user's own sweep of nights, from the policy."""
    note: list[str] = field(default_factory=list)
    """Why pairs could not be measured."""
    _sets: dict[tuple[str, int], tuple[list[Record], list[Record]] | None] = field(default_factory=dict)
    _asked: dict[Series, int] = field(default_factory=dict)

    def __call__(self, result: TrialResult, series: Series, rule: Rule) -> Comparison | None:
        """Compare one metric by a set of pairs that this metric has not been judged by yet."""
        number = self._asked.get(series, 0)
        self._asked[series] = number + 1
        key = (result.trial_id, number)
        assert rule.delta is not None
        try:
            if key not in self._sets or not self._is_settled(key, series[2], rule.delta):
                self._sets[key] = self._measure(result, series, rule, number)
            measured = self._sets[key]
            if measured is None:
                return None
            found = paired_comparison(*measured, series[2], rule.delta, rule.direction or "lower")
        except StatsError as error:
            self.note.append(f"{result.label} {series[2]}: {error}")
            return None
        if found is None:
            self.note.append(
                f"{result.label} {series[2]}: too few of {len(measured[0])} pairs have a value on both sides"
            )
        return found

    def _good(self, series: Series) -> AbstractContextManager[Environment]:
        """Return the environment of the code that tonight is measured against.

        Raises:
            ValueError: no good night has a commit, or it is not one that this repository knows.
        """
        if self.base.checkout is not None or self.base.python is not None:
            return environment(self.base.python, self.base.checkout)
        commit = self.history.good_commit(series)
        if commit is None:
            raise UsageError("no commit of a good night is known; name one by --base-")
        if not is_commit(commit):
            raise UsageError("the commit that its good night names is no commit id; name one by --base-")
        return checked_out(None, commit)

    def _is_settled(self, key: tuple[str, int], metric_id: str, delta: float) -> bool:
        measured = self._sets[key]
        return measured is None or is_settled(*measured, metric_id, delta)

    def _measure(
        self, result: TrialResult, series: Series, rule: Rule, number: int
    ) -> tuple[list[Record], list[Record]] | None:
        if result.machine_id != self.machine_id:
            self.note.append(f"{result.label}: measured on another machine, so it cannot be confirmed here")
            return None
        try:
            words = [*repeat(result.trial_id, result.config, self.plan, self.config_dirs), "run.worker=exec"]
        except JoulemarkError as error:
            self.note.append(f"{result.label}: {error}; name the sweep in the policy's plan")
            return None
        if self.pair_seconds is not None:
            words.append(f"measure.seconds={self.pair_seconds:g}")
        name = f"confirm-{self.history.tonight}-{result.trial_id[:8]}-{number}"
        try:
            with contextlib.ExitStack() as stack:
                old = stack.enter_context(self._good(series))
                new = stack.enter_context(environment(self.head.python, self.head.checkout))
                base = make_side("base", words, old, self.config_dirs)
                head = make_side("head", words, new, self.config_dirs)
                assert rule.delta is not None
                settled = partial(is_settled, metric_id=series[2], delta=rule.delta)
                pairs = Pairs(name[:70], base, head, self.store, delta=rule.delta, settled=settled)
                pairs.run()
                return pairs.records(base), pairs.records(head)
        except JoulemarkError as error:
            self.note.append(f"{result.label}: {error}")
            return None
