"""Measure the last good code against tonight's, in pairs, in the same job (docs/method.md, section 3)."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from harness.comparison.pairs import Pairs, SideFailedError
from harness.comparison.sides import environment, make_side
from harness.gate.history import History, Series
from harness.gate.paired import is_settled, paired_comparison
from harness.gate.policy import Rule
from harness.records.results import TrialResult
from harness.records.schema import Record
from harness.records.store import Store
from harness.stats import Comparison, StatsError

_OWN_MODEL = ("workload.factory", "workload.program", "workload.folder")
_RUN_CONTROL = ("run.name", "run.results", "run.monitor", "run.monitor_port", "run.worker")


@dataclass(frozen=True, slots=True)
class Where:
    """Where one side's code is; None is taken from the records, or is what runs here."""

    python: str | None = None
    checkout: str | None = None


def overrides_of(result: TrialResult) -> list[str]:
    """Return the overrides that make this one trial again, without those that only control a run."""
    words = [str(word) for word in result.config.get("overrides", ())]
    words = [w for w in words if w.partition("=")[0].lstrip("+") not in _RUN_CONTROL]
    # The trial's own overrides stand for the experiment's grids.
    return [*words, "sweep=[]"] if any(w.startswith("+experiment=") for w in words) else words


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

    def _is_settled(self, key: tuple[str, int], metric_id: str, delta: float) -> bool:
        measured = self._sets[key]
        return measured is None or is_settled(*measured, metric_id, delta)

    def _measure(
        self, result: TrialResult, series: Series, rule: Rule, number: int
    ) -> tuple[list[Record], list[Record]] | None:
        if result.machine_id != self.machine_id:
            self.note.append(f"{result.label}: measured on another machine, so it cannot be confirmed here")
            return None
        checkout = self.base.checkout
        if checkout is None and self.base.python is None:
            checkout = self.history.good_commit(series)
            if checkout is None:
                self.note.append(f"{result.label}: no commit of a good night is known; name one by --base-")
                return None
        words = [*overrides_of(result), "run.worker=exec"]
        if any(word.partition("=")[0].lstrip("+") in _OWN_MODEL for word in words):
            # Records may come from elsewhere; only a command line may name code to be run.
            self.note.append(f"{result.label}: your own model, which no record may start: use `joulemark ab`")
            return None
        if self.pair_seconds is not None:
            words.append(f"measure.seconds={self.pair_seconds:g}")
        name = f"confirm-{self.history.tonight}-{result.trial_id[:8]}-{number}"
        try:
            with contextlib.ExitStack() as stack:
                old = stack.enter_context(environment(self.base.python, checkout))
                new = stack.enter_context(environment(self.head.python, self.head.checkout))
                base = make_side("base", words, old, self.config_dirs)
                head = make_side("head", words, new, self.config_dirs)
                assert rule.delta is not None
                settled = partial(is_settled, metric_id=series[2], delta=rule.delta)
                pairs = Pairs(name[:70], base, head, self.store, delta=rule.delta, settled=settled)
                pairs.run()
                return pairs.records(base), pairs.records(head)
        except (ValueError, SideFailedError) as error:
            self.note.append(f"{result.label}: {error}")
            return None
