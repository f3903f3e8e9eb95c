"""Judge tonight by a policy: a verdict for each series, one exit code, as JSON, Markdown and lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from harness.gate.history import History, Series
from harness.gate.policy import Policy, Rule
from harness.gate.series import Judgement, Label, is_value, judge_night
from harness.gate.suspects import Suspects, suspects
from harness.records.escape import literal
from harness.records.numbers import quantity
from harness.records.results import Estimate, TrialResult
from harness.records.validity import describe
from harness.stats import Comparison

Confirm = Callable[[TrialResult, Series, Rule], Comparison | None]
"""Measures the last good code against tonight's, for one metric of one trial."""
_ORDER: tuple[Label, ...] = (
    "regression",
    "suspicious",
    "environment_shift",
    "insufficient_data",
    "no_regression",
)


@dataclass(frozen=True, slots=True)
class SeriesVerdict:
    """One metric of one trial on one machine."""

    label: Label
    trial: str
    metric: str
    work_id: str
    machine_id: str
    value: float | None
    unit: str
    judgement: Judgement
    suspects: Suspects | None = None
    """Of a regression whose commits are known."""

    def sentence(self) -> str:
        """Say it in one line."""
        j = self.judgement
        parts = [f"{self.label}: {self.trial} {self.metric}"]
        if self.value is not None:
            parts.append(quantity(self.value, self.unit).text)
        if j.screened is not None and j.screened.shift is not None:
            parts.append(f"{j.screened.shift:+.2%} from the last {j.screened.nights} nights")
        if j.comparison is not None:
            parts.append(f"pairs {j.comparison.effect:+.2%}{_bounds(j.comparison)} over {j.comparison.pairs}")
        if j.reason is not None:
            parts.append(j.reason)
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class RuleMatches:
    """What one rule of the policy came to watch tonight."""

    metric: str
    trials: str
    matched: int
    """Trials of tonight whose label it matches."""
    judged: int
    """Series of its metric that were judged by it, or by a rule before it."""

    def sentence(self) -> str:
        """Say it in one line."""
        what = f"rule {self.metric} of {self.trials!r}"
        if not self.matched:
            return f"{what}: no trial of tonight matches, so it watches nothing"
        if not self.judged:
            return f"{what}: none of the {self.matched} trials that match has this metric"
        return f"{what}: {self.matched} trials match, {self.judged} series judged"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The whole night."""

    night: str
    series: tuple[SeriesVerdict, ...]
    left_out: tuple[str, ...] = ()
    rules: tuple[RuleMatches, ...] = ()

    @property
    def exit_code(self) -> int:
        """3 when something got worse; 4 when something cannot be said; else 0."""
        labels = {s.label for s in self.series}
        if "regression" in labels:
            return 3
        if not all(rule.matched and rule.judged for rule in self.rules):
            return 4
        return 4 if labels & {"suspicious", "insufficient_data"} or not labels else 0

    def counts(self) -> dict[str, int]:
        """Count the labels, the worst first."""
        found = Counter(s.label for s in self.series)
        return {label: found[label] for label in _ORDER if found[label]}

    def lines(self) -> list[str]:
        """Return what was left out and what is not plain quiet, a line each, and the counts."""
        lines = [f"left out: {line}" for line in self.left_out]
        lines += [rule.sentence() for rule in self.rules]
        lines += [s.sentence() for s in self.series if s.label != "no_regression" or s.judgement.event]
        counts = ", ".join(f"{n} {label}" for label, n in self.counts().items()) or "nothing was judged"
        return [*lines, f"gate of {self.night}: {counts}"]

    def plain(self) -> dict[str, Any]:
        """Return everything as JSON values; `history` reads the label and the event back."""
        return {
            "night": self.night,
            "exit_code": self.exit_code,
            "counts": self.counts(),
            "verdicts": [
                {
                    "label": s.label,
                    "event": s.judgement.event,
                    "trial": s.trial,
                    "metric": s.metric,
                    "value": s.value,
                    "unit": s.unit,
                    "work_id": s.work_id,
                    "machine_id": s.machine_id,
                    "reason": s.judgement.reason,
                    "screen": asdict(s.judgement.screened) if s.judgement.screened else None,
                    "pairs": asdict(s.judgement.comparison) if s.judgement.comparison else None,
                    "base": s.suspects.base if s.suspects else None,
                    "head": s.suspects.head if s.suspects else None,
                    "bisect": s.suspects.command if s.suspects else None,
                }
                for s in self.series
            ],
            "rules": [asdict(rule) for rule in self.rules],
            "left_out": list(self.left_out),
        }

    def markdown(self) -> str:
        """Return a summary for a CI step."""
        counts = ", ".join(f"**{n}** {label}" for label, n in self.counts().items())
        rows = [
            "| label | trial | metric | tonight | screen | pairs | reason |",
            "|---|---|---|---|---|---|---|",
        ]
        for s in self.series:
            j = s.judgement
            shift = f"{j.screened.shift:+.2%}" if j.screened and j.screened.shift is not None else "—"
            pairs = f"{j.comparison.effect:+.2%}{_bounds(j.comparison)}" if j.comparison else "—"
            value = quantity(s.value, s.unit).text if s.value is not None else "—"
            cells = (s.label, s.trial, s.metric, value, shift, pairs, j.reason or "")
            rows.append("| " + " | ".join(map(literal, cells)) + " |")
        left_out = [f"- left out: {literal(line)}" for line in self.left_out]
        left_out += [f"- {literal(r.sentence())}" for r in self.rules if not (r.matched and r.judged)]
        found = [line for s in self.series for line in _search(s)]
        return "\n".join(
            [f"## Gate of {self.night}: {counts or 'nothing was judged'}", "", *rows, *found, *left_out, ""]
        )


def _search(series: SeriesVerdict) -> list[str]:
    """Return, of a regression, between which commits it lies and the command that finds it."""
    found = series.suspects
    if found is None:
        return []
    between = f"base `{found.base}`, head `{found.head}`"
    return ["", f"{literal(series.trial)} {literal(series.metric)}: {between}. To find the commit:", "",
            "```sh", found.command, "```"]  # fmt: skip


def judge_history(
    history: History,
    policy: Policy,
    confirm: Confirm = lambda _result, _series, _rule: None,
    floors: Mapping[tuple[str, str, str], float] = MappingProxyType({}),
) -> Verdict:
    """Judge every metric that the policy watches, the worst first.

    Args:
        history: from `read_history`.
        policy: from `read_policy`.
        confirm: measures pairs; called only for suspects.
        floors: of trials, metrics and machines that were measured; they stand for the policy's.
    """
    found = [*_judge_results(history, policy, confirm, floors), *_missing(history, policy)]
    found.sort(key=lambda s: (_ORDER.index(s.label), s.trial, s.metric))
    rules = tuple(_matched(rule, history, found) for rule in policy.metrics)
    return Verdict(history.tonight, tuple(found), tuple(history.left_out), rules)


def _matched(rule: Rule, history: History, found: Sequence[SeriesVerdict]) -> RuleMatches:
    labels = [result.label for result in history.results if rule.matches(result.label)]
    judged = [s for s in found if s.metric == rule.metric and (s.trial in labels or s.trial == rule.trials)]
    return RuleMatches(rule.metric, rule.trials, len(labels), len(judged))


def _judge_results(
    history: History, policy: Policy, confirm: Confirm, floors: Mapping[tuple[str, str, str], float]
) -> Iterator[SeriesVerdict]:
    for result in history.results:
        for metric_id in dict.fromkeys(rule.metric for rule in policy.metrics):
            rule = policy.rule(metric_id, result.label)
            if rule is None or result.status == "refused":
                continue
            series = (result.work_id, result.machine_id, metric_id)
            estimate = result.estimates.get(metric_id)
            problem = _problem(result, estimate)
            if problem is None:
                assert estimate is not None
                assert estimate.value is not None
                assert rule.delta is not None
                assert rule.floor is not None
                assert rule.direction is not None
                judgement = judge_night(
                    history.nights(series),
                    estimate.value,
                    lambda r=result, s=series, rule=rule: confirm(r, s, rule),  # type: ignore[misc]
                    delta=rule.delta,
                    floor=floors.get((result.label, metric_id, result.machine_id), rule.floor),
                    direction=rule.direction,
                )
            elif rule.required:
                judgement = Judgement("regression", reason=f"a required metric {problem}")
            elif history.nights(series):
                judgement = Judgement("insufficient_data", reason=f"it {problem}")
            else:
                continue
            yield SeriesVerdict(
                judgement.label,
                result.label,
                metric_id,
                result.work_id,
                result.machine_id,
                estimate.value if estimate is not None else None,
                estimate.unit if estimate is not None else "",
                judgement,
                suspects(result, metric_id, history.good_commit(series))
                if judgement.label == "regression"
                else None,
            )


def _problem(result: TrialResult, estimate: Estimate | None) -> str | None:
    """Say why a metric cannot be judged, None where it can."""
    if result.status != "ok":
        said = f": {result.reason}" if result.reason else ""
        return f"is absent: the trial {result.status} in phase {result.phase}{said}"
    if estimate is None:
        return "is absent"
    if estimate.value is None:
        return f"has no value: {'; '.join(estimate.reasons) or 'no reason was recorded'}"
    if not is_value(estimate.value):
        return "is zero"
    if estimate.validity == "invalid":
        return "is invalid: " + "; ".join(describe(reason) for reason in estimate.reasons)
    return None


def _missing(history: History, policy: Policy) -> Iterator[SeriesVerdict]:
    """Yield a failure for every trial of a required metric that tonight has not measured at all."""
    measured = {r.label for r in history.results if r.status != "refused"}
    refused = {r.label: r.reason for r in history.results if r.status == "refused"}
    for rule in policy.metrics:
        if not rule.required:
            continue
        if not any(rule.matches(label) for label in measured):
            yield _absent(rule.trials, rule.metric, "no trial of tonight matches")
            continue
        for label, night in history.expected.items():
            if label not in measured and policy.rule(rule.metric, label) and rule.matches(label):
                why = f": {refused[label]}" if label in refused else ""
                yield _absent(label, rule.metric, f"{night} measured this trial, tonight has not{why}")


def _absent(trials: str, metric_id: str, why: str) -> SeriesVerdict:
    judgement = Judgement("regression", reason=f"a required metric is absent: {why}")
    return SeriesVerdict("regression", trials, metric_id, "", "", None, "", judgement)


def _bounds(comparison: Comparison) -> str:
    if comparison.low is None or comparison.high is None:
        return ""
    return f" ({comparison.low:+.2%} to {comparison.high:+.2%})"
