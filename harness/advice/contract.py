"""A contract: thresholds with risks, and the runs that the buyer's nonce chooses."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from harness.advice.requirements import Amount, Work
from harness.config.yaml_files import read_yaml, validated
from harness.records.metrics import METRICS
from harness.records.results import TrialResult
from harness.records.schema import Record
from harness.records.validity import judge
from harness.stats.acceptance import Acceptance, accept
from harness.system.errors import InputError

_KEY = re.compile(r"[a-z_]\w{0,40}(\.\w{1,40}){0,6}")


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Term(_Closed):
    """One promise about one metric of one piece of work."""

    work: Work = Work()
    label: str = ""
    """Words that the trial's label must have, e.g. `bf16`."""
    metric: str
    threshold: Amount
    margin: float = Field(default=0.05, gt=0, le=10)
    """How much better than the threshold the seller is safe at."""

    @model_validator(mode="after")
    def _has_a_direction(self) -> Self:
        if self.metric not in METRICS or METRICS[self.metric].direction == "none":
            raise ValueError(f"{self.metric}: no metric of which more or less is better")
        return self


class Contract(_Closed):
    """Thresholds that stand or fall together."""

    title: str = "contract"
    terms: tuple[Term, ...] = Field(min_length=1)
    buyer_risk: float = Field(default=0.05, gt=0, lt=0.5)
    seller_risk: float = Field(default=0.05, gt=0, lt=0.5)
    """Of the whole contract; each term has its share of it."""
    pilot: int = Field(default=6, ge=2, le=30)
    nonce: str | None = Field(default=None, min_length=8, max_length=200)
    """Chosen by the buyer after the machine is fixed; it chooses values within `ranges`."""
    ranges: dict[str, tuple[int, int]] = Field(default_factory=dict)
    """By key of the configuration (`seed`, `workload.batch`, `workload.shape.…`), the least and the most."""

    @model_validator(mode="after")
    def _ranges_need_a_nonce(self) -> Self:
        if self.ranges and self.nonce is None:
            raise ValueError("ranges: a nonce chooses within them, and there is none")
        if wrong := [key for key in self.ranges if not _KEY.fullmatch(key)]:
            raise ValueError(f"ranges: {wrong[0][:60]!r} is no key of the configuration, e.g. workload.batch")
        if wrong := [key for key, (low, high) in self.ranges.items() if low > high]:
            raise ValueError(f"ranges: {wrong[0]}: the least stands first")
        return self

    def chosen(self) -> dict[str, int]:
        """Return the value of each ranged key that the nonce chooses."""
        return {key: _choice(f"{self.nonce} {key}", low, high) for key, (low, high) in self.ranges.items()}


@dataclass(frozen=True, slots=True)
class TermVerdict:
    """What became of a term."""

    term: Term
    label: str
    found: Acceptance
    replicas: int
    left_out: tuple[str, ...]
    """Replicas that do not count, with their reasons."""

    @property
    def more(self) -> int:
        """Replicas that are still needed."""
        return max(self.found.needed - self.replicas, 0)


def load_contract(path: Path) -> Contract:
    """Read a contract.

    Raises:
        ValueError: it is none; one line that names file and key.
    """
    return validated(Contract, read_yaml(path), path)


def judge_contract(contract: Contract, results: Sequence[TrialResult]) -> tuple[str, list[TermVerdict]]:
    """Return `accepted`, `rejected` or `not enough data`, and the verdict on each term.

    All terms must hold, so that each is tested at the buyer's whole risk, and at its share of the seller's.

    Raises:
        ValueError: the records are not of the run that the contract asks for.
    """
    verdicts = [_judge(contract, term, results) for term in contract.terms]
    decisions = {v.found.decision for v in verdicts}
    if "rejected" in decisions:
        return "rejected", verdicts
    return ("accepted" if decisions == {"accepted"} else "not enough data"), verdicts


def _judge(contract: Contract, term: Term, results: Sequence[TrialResult]) -> TermVerdict:
    records = _records(contract, term, results)
    counted, left_out = [], []
    for record in records:
        why = _not_counted(record, term.metric)
        found = record.metric(term.metric)
        if why or found is None or found.value is None:
            left_out.append(f"replica {record.replica}: {why or 'no value'}")
        else:
            counted.append(found.value)
    verdict = accept(
        counted,
        term.threshold,
        direction="higher" if METRICS[term.metric].direction == "higher" else "lower",
        margin=term.margin,
        buyer_risk=contract.buyer_risk,
        seller_risk=contract.seller_risk / len(contract.terms),
        pilot=contract.pilot,
    )
    return TermVerdict(term, records[0].label, verdict, len(counted), tuple(left_out))


def _records(contract: Contract, term: Term, results: Sequence[TrialResult]) -> list[Record]:
    asked = {"name": term.work.workload, "size": term.work.size, "mode": term.work.mode}
    fitting = [
        r
        for r in results
        if all(v is None or r.config.get("workload", {}).get(k) == v for k, v in asked.items())
        and all(word in r.label.split() for word in term.label.split())
    ]
    works = {r.work_id for r in fitting}
    if not fitting:
        raise InputError(f"no trial of what the contract asks: {_words(term)}")
    if len(works) > 1:
        labels = ", ".join(sorted({r.label for r in fitting}))
        raise InputError(f"{_words(term)}: several trials fit ({labels}): name words of one by `label`")
    if len({r.machine_id for r in fitting}) > 1:
        raise InputError(f"{_words(term)}: records of several machines: a contract is about one")
    for key, value in contract.chosen().items():
        if (held := _setting(fitting[0].config, key)) != value:
            raise InputError(f"{fitting[0].label}: the nonce asks for {key}={value}, the records have {held}")
    last = {(r.trial_id, x.replica): x for r in fitting for x in r.records}
    return sorted(last.values(), key=lambda x: (x.started_at, x.replica))


def _not_counted(record: Record, metric: str) -> str:
    if record.status != "ok":
        return record.status
    verdict = judge(record).get(metric)
    return f"invalid ({', '.join(verdict[1])})" if verdict and verdict[0] == "invalid" else ""


def _setting(config: dict[str, Any], key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _words(term: Term) -> str:
    named = [v for v in (term.work.workload, term.work.size, term.work.mode, term.label) if v]
    return f"{' '.join(named) or 'any work'}, {term.metric}"


def _choice(text: str, low: int, high: int) -> int:
    """Return a whole number of the range, evenly by the text's digest."""
    digest = int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")
    return low + digest % (high - low + 1)
