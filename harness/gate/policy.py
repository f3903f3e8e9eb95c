"""What the gate watches, and how strictly: one YAML file, validated before anything is read."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from harness.records.bounded_yaml import load_yaml
from harness.records.errors import faults_of
from harness.records.metrics import METRICS
from harness.records.store import read_bounded
from harness.system.errors import InputError

_MOST_BYTES = 1 << 20
_MAY_BE_ZERO = frozenset({"quality.sqnr", "quality.agreement", "staleness.max"})
_Share = Annotated[float, Field(gt=0, lt=1)]
_Text = Annotated[str, Field(max_length=200)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Rule(_Strict):
    """One metric, for the trials whose label matches."""

    metric: _Text
    trials: _Text = "*"
    """Pattern of labels, e.g. `gpt * train *`."""
    direction: Literal["higher", "lower"] | None = None
    """Which values are better; only for a metric whose definition does not say."""
    delta: _Share | None = None
    """The effect below which a difference does not matter; the policy's unless given."""
    floor: _Share | None = None
    """The least standard deviation of ln value from night to night; the policy's unless given."""
    required: bool = False
    """Whether its absence fails the gate."""

    def matches(self, label: str) -> bool:
        """Tell whether the rule is of trials with this label."""
        return matches(label, self.trials)


class Policy(_Strict):
    """The whole file."""

    nights: _Text = "nightly*"
    """Pattern of the sweeps that are nights."""
    delta: _Share = 0.01
    floor: _Share = 0.003
    """From A/A runs on this runner (`joulemark gate --noise-floor`)."""
    accept: tuple[str, ...] = ()
    """Nights whose level is the new normal although it is worse: known and wanted."""
    plan: tuple[_Text, ...] = Field(default=(), max_length=200)
    """The overrides that the nights ran, as `joulemark run` takes them: what pairs are measured by. Without
    them a trial is repeated from its record, by settings that can name no file, program or host."""
    metrics: tuple[Rule, ...] = Field(min_length=1)

    def rule(self, metric_id: str, label: str) -> Rule | None:
        """Return the first rule for a metric of a trial, completed by the policy's own values."""
        for rule in self.metrics:
            if rule.metric == metric_id and rule.matches(label):
                return rule.model_copy(
                    update={
                        "delta": rule.delta or self.delta,
                        "floor": rule.floor or self.floor,
                        "direction": direction(rule),
                    }
                )
        return None


def matches(name: str, pattern: str) -> bool:
    """Tell whether a name matches a pattern, in which `*` and `?` are wild and brackets stand for themselves.

    Labels of tests have brackets, `t.py::test_mm[256]`, and are copied from our own output; `[[]`, as shells
    write a bracket, is one too.
    """
    literal = pattern.replace("[[]", "[").replace("[", "[[]")
    return fnmatchcase(name, literal)


def _without_ratio(metric_id: str) -> bool:
    """Tell whether a metric may be zero or negative, so that nights of it cannot be compared by ratios."""
    return metric_id in _MAY_BE_ZERO or (METRICS[metric_id].scale == "linear" and metric_id != "power.idle")


def unmatched(accept: Iterable[str], nights: Iterable[str]) -> list[str]:
    """Return the accepted nights that are none."""
    known = set(nights)
    return [name for name in accept if name not in known]


def direction(rule: Rule) -> Literal["higher", "lower"]:
    """Return which values of the rule's metric are better."""
    known = METRICS[rule.metric].direction
    return known if known != "none" else rule.direction or "lower"


def read_policy(path: Path) -> Policy:
    """Read and check a policy.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no policy; one line names the file and the field.
    """
    with faults_of(path):
        loaded = load_yaml(read_bounded(path, _MOST_BYTES))
        policy = Policy.model_validate(loaded)
    for i, rule in enumerate(policy.metrics):
        if rule.metric not in METRICS:
            raise InputError(
                f"{path}: metrics.{i}.metric: no metric {rule.metric!r}; see `joulemark list metrics`"
            )
        if _without_ratio(rule.metric):
            raise InputError(
                f"{path}: metrics.{i}.metric: {rule.metric} may be zero or negative, and nights are compared "
                "by ratios: it cannot be watched"
            )
        known = METRICS[rule.metric].direction
        if known == "none" and rule.direction is None:
            raise InputError(f"{path}: metrics.{i}.direction: {rule.metric} has none of its own, give one")
        if known != "none" and rule.direction not in {None, known}:
            raise InputError(f"{path}: metrics.{i}.direction: {rule.metric} is better when {known}")
    return policy
