"""The record of one replica: frozen, versioned, and strict about what it does not know.

Schema history: 1 — the first. 2 — the seal: what an audit needs of a record's place among others.
"""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, PrivateAttr, StringConstraints
from pydantic.dataclasses import dataclass

SCHEMA_VERSION = 2
Status = Literal["ok", "oom", "crashed", "hung", "refused", "interrupted", "harness"]
UNJUDGED: frozenset[Status] = frozenset({"interrupted", "harness"})
"""Attempts that say nothing of their configuration: the next run makes them again."""
Direction = Literal["higher", "lower", "none"]
Provenance = Literal["measured", "counted", "derived", "estimated", "declared"]
DIGEST_PATTERN = r"[0-9a-f]{16,64}"
NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._+-]{0,79}"
Digest = Annotated[str, StringConstraints(pattern=f"^{DIGEST_PATTERN}$")]
Name = Annotated[str, StringConstraints(pattern=f"^{NAME_PATTERN}$")]
"""A folder's name: no separator, no leading dot."""
Facts = dict[str, Any]
Quantity = Annotated[FiniteFloat, Field(ge=-1e100, le=1e100)]
"""A measured number: so bounded that no sum or interval over records overflows."""
Count = Annotated[int, Field(ge=-(2**63), lt=2**63)]
"""A whole number that fits a database's column."""


@lru_cache(maxsize=1 << 12)
def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("it holds what cannot be printed")
    return text


def _when(text: str) -> str:
    if not datetime.fromisoformat(text).year >= 1970:
        raise ValueError("no time of a measurement")
    return text


def _sections(config: Facts) -> Facts:
    for name in SECTIONS:
        section = config.get(name, {})
        if not isinstance(section, dict):
            raise ValueError(f"{name}: not a section")  # noqa: TRY004 - a file's contents
        for key in _TEXTS & section.keys():
            if not isinstance(section[key], str | None):
                raise ValueError(f"{name}.{key}: not a text")  # noqa: TRY004 - a file's contents
    return config


SECTIONS = (
    *("workload", "compress", "parallel", "precision", "optimize", "device"),
    *("measure", "power", "run", "price", "report"),
)
_TEXTS = frozenset({"name", "mode", "kind", "title", "question", "sensor", "preset"})
Configuration = Annotated[Facts, AfterValidator(_sections)]
"""A resolved configuration: its sections are mappings, and what names something in them is a text."""
Word = Annotated[str, StringConstraints(max_length=200), AfterValidator(_printable)]
"""An id or a unit: short, in one line, without controls of a terminal."""
Time = Annotated[str, StringConstraints(max_length=40), AfterValidator(_when)]
"""ISO 8601."""


class Frozen(BaseModel):
    """Immutable, and closed: an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, slots=True, kw_only=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class Metric:
    """One number with its unit and its uncertainty. A missing number is None with a reason.

    A record has dozens, a report thousands of records: with slots one takes a tenth of a model's memory.
    """

    id: Word
    value: Quantity | None
    unit: Word
    direction: Direction
    estimator: str
    """How the value was made, e.g. `total items / span`, `process quantile`."""
    ci_low: Quantity | None = None
    ci_high: Quantity | None = None
    ci_level: Quantity | None = None
    n: Count = 0
    """Samples behind the value (iterations in a replica, replicas in a trial)."""
    semantics_version: Count = 1
    provenance: Provenance = "measured"
    reason: str | None = None
    """Why there is no value."""


def plain(metric: Metric) -> Facts:
    """Return a metric as plain data, as it crosses a socket."""
    return {name: getattr(metric, name) for name in _METRIC_FIELDS}


_METRIC_FIELDS = tuple(field.name for field in fields(Metric))


class WorkerFacts(Frozen):
    """What the operating system reported of the worker process when it was reaped."""

    kind: Literal["warm", "exec", "none"]
    pid: Count | None = None
    exit_code: Count | None = None
    signal: str | None = None
    """Name of the signal that ended it, e.g. `SIGSEGV`."""
    wall_s: FiniteFloat = 0.0
    user_s: FiniteFloat = 0.0
    system_s: FiniteFloat = 0.0
    max_rss_bytes: Count = 0
    involuntary_switches: Count = 0
    killed: Count = 0
    """Processes that had to be killed: the worker itself and what it left behind."""


class Seal(Frozen):
    """A record's place among those of its sweep, so that one left out, added or changed later shows."""

    version: Count = 1
    run: Digest
    """Random; which run of which process wrote it."""
    number: Count
    """Counted within the run, from 0."""
    plan: Digest
    """sha256 of what was planned: the trials, and which of them were refused."""
    previous: Digest | None
    """sha256 of the record before it in its sweep on its machine; None for the first."""
    files: dict[Name, Digest] = Field(default_factory=dict)
    """sha256 of the files beside it."""
    size: Facts | None = None
    """Every size of the model and its batch, of which `work_id` is made; None where other code planned it."""
    data: str | None = None
    """Digest of the real data's contents; None for synthetic data."""


class Record(Frozen):
    """One attempt at one replica of one trial."""

    schema_version: Count = SCHEMA_VERSION
    sweep: Name
    label: str
    """The configuration in a few words, e.g. `gpt tiny train bf16`."""
    work_id: Digest
    trial_id: Digest
    machine_id: Digest
    code_id: Digest
    replica: int = Field(ge=0, le=9999)
    attempt: int = Field(ge=0, le=9999)
    round_order: Count = 0
    """Place of this replica in its round's recorded random order."""
    status: Status
    phase: str
    """Where it ended: plan, start, build, check, warmup, measure, profile, finish or done."""
    reason: str | None = None
    started_at: Time
    """UTC, ISO 8601."""
    wall_s: FiniteFloat = 0.0
    config: Configuration
    machine: Facts
    code: Facts
    metrics: tuple[Metric, ...] = ()
    evidence: Facts = Field(default_factory=dict)
    """Facts that the validity rules judge: tick_ns, drift, steady, sensor flags, output checks, …"""
    series: dict[str, tuple[FiniteFloat, ...]] = Field(default_factory=dict)
    """Short series for figures (batch means, losses); long ones go to trace.parquet."""
    worker: WorkerFacts
    log_tail: str = ""
    seal: Seal | None = None
    """None in records of schema 1."""
    _sha256: str = PrivateAttr(default="")
    _merged: bool = PrivateAttr(default=False)

    @property
    def sha256(self) -> str:
        """Digest of the bytes it was read from or written as; empty before. It takes no part in `==`."""
        return str(self._told["_sha256"])

    @property
    def merged(self) -> bool:
        """Whether it was found in a results folder and this user did not write it on this machine."""
        return bool(self._told["_merged"])

    @property
    def _told(self) -> Facts:
        """What its reader knows; by its own name pydantic looks each up for ten times as long."""
        assert self.__pydantic_private__ is not None, "it has private attributes"
        return self.__pydantic_private__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Record) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((self.sweep, self.machine_id, self.trial_id, self.replica, self.attempt))

    def metric(self, metric_id: str) -> Metric | None:
        """Return the metric with this id, or None."""
        return next((m for m in self.metrics if m.id == metric_id), None)

    def value(self, metric_id: str) -> float | None:
        """Return the value of the metric with this id, or None where it has none."""
        found = self.metric(metric_id)
        return None if found is None else found.value


class Check(Frozen):
    """One test of the instrument: what it found, what it should have found."""

    id: str
    what: str
    """What is tested, in one sentence."""
    status: Literal["pass", "fail", "not available"]
    measured: Quantity | None = None
    unit: str = "1"
    expected: str = ""
    """What passes, in words, e.g. `at most 1000 ns`."""
    reason: str | None = None
    """Why it failed or could not be made."""


class MeasuredCeiling(Frozen):
    """One measured limit of a device."""

    id: str
    """`bandwidth.*`, `flops.<how>.<precision>`, `latency.*` or `clock.*`."""
    value: Quantity | None
    unit: str
    method: str
    threads: Count = 1
    median: Quantity | None = None
    per_cpu_s: Quantity | None = None
    """The same work over the CPU time of a thread."""
    n: Count = 0
    provenance: Provenance = "measured"
    reason: str | None = None


class Certificate(Frozen):
    """What `joulemark qualify` found of the instrument and of one device, at one time; never changed."""

    schema_version: Count = SCHEMA_VERSION
    machine_id: Digest
    code_id: Digest
    device_kind: str
    device_index: Count = 0
    device_name: str | None
    driver: str | None
    """The accelerator's driver; the certificate holds for no other."""
    made_at: str
    """UTC, ISO 8601."""
    wall_s: FiniteFloat
    quick: bool
    checks: tuple[Check, ...]
    ceilings: tuple[MeasuredCeiling, ...]
    facts: Facts = Field(default_factory=dict)

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.status == "fail")

    @property
    def bandwidth_b_s(self) -> float | None:
        """The best measured memory bandwidth."""
        return self._best("bandwidth.", "")

    def flop_s(self, precision: str) -> float | None:
        """The best measured arithmetic rate at `fp32`, `bf16`, …."""
        return self._best("flops.", f".{precision}")

    def _best(self, start: str, end: str) -> float | None:
        values = [c.value for c in self.ceilings if c.id.startswith(start) and c.id.endswith(end)]
        return max((value for value in values if value is not None), default=None)
