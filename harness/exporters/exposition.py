"""The text formats of Prometheus and OpenMetrics: families of gauges, escaped and named by their rules."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from harness.exporters.common import names, plain_text, usable
from harness.records.results import TrialResult, config_columns

_UNITS = {"s": "seconds", "B": "bytes", "J": "joules", "W": "watts", "1": "ratio", "C": "celsius"}
_BAD = re.compile("[^a-z0-9]+")


@dataclass
class Family:
    """One metric family: gauges of one name that differ by their labels."""

    name: str
    help: str
    samples: list[tuple[Mapping[str, str], float]] = field(default_factory=list)


def render(families: Iterable[Family], *, openmetrics: bool = False) -> str:
    """Return the text of families that have samples; OpenMetrics ends it by a mark of its own."""
    lines: list[str] = []
    for family in families:
        if family.samples:
            # Prometheus escapes only backslash and newline in a help text, OpenMetrics the quote as well.
            said = _escape(family.help) if openmetrics else _escape(family.help).replace('\\"', '"')
            head = [f"# HELP {family.name} {said}", f"# TYPE {family.name} gauge"]
            lines += head[::-1] if openmetrics else head
            lines += [f"{family.name}{_labels(labels)} {_number(v)}" for labels, v in family.samples]
    if openmetrics:
        lines.append("# EOF")
    return "".join(f"{line}\n" for line in lines)


def of_results(results: Sequence[TrialResult]) -> Iterator[Family]:
    """Yield what is known of finished trials: a family a metric, with its bounds in families beside it."""
    replicas = Family("joulemark_trial_replicas", "Good processes of a trial.")
    failed = Family("joulemark_trial_failed", "1 for a trial whose last attempt failed, else 0.")
    found: dict[str, Family] = {}
    for result, name in zip(results, names(results), strict=True):
        labels = _identity(result, name)
        replicas.samples.append((labels, result.replicas_ok))
        failed.samples.append((labels, result.status not in {"ok", "refused"}))
        for e in usable(result):
            base = _name(e.metric_id, e.unit)
            bounds = f"{e.level:.0%} interval" if e.level is not None else "interval"
            for family, said, value in (
                (base, e.title, e.value),
                (f"{base}_low", f"{e.title}: lower bound of the {bounds}", e.low),
                (f"{base}_high", f"{e.title}: upper bound of the {bounds}", e.high),
            ):
                if value is not None:
                    sample = ({**labels, "validity": e.validity}, value)
                    found.setdefault(family, Family(family, said)).samples.append(sample)
    yield from (replicas, failed, *found.values())


def _name(metric_id: str, unit: str) -> str:
    """Return `joulemark_iteration_mean_seconds` for `iteration.mean` in s; no word stands there twice."""
    stem, suffix = _word(metric_id), unit_word(unit)
    return f"joulemark_{stem.removesuffix('_' + suffix.partition('_')[0])}_{suffix}"


def unit_word(unit: str) -> str:
    """Return a unit as a metric's name carries it: `tokens/s` is `tokens_per_second`."""
    top, _, bottom = unit.partition("/")
    word = _UNITS.get(top) or _word(top)
    return f"{word}_per_{_UNITS.get(bottom, _word(bottom)).removesuffix('s')}" if bottom else word


def _identity(result: TrialResult, name: str) -> dict[str, str]:
    return {
        "sweep": result.sweep,
        "trial": name,
        "trial_id": result.trial_id[:16],
        "machine_id": result.machine_id[:16],
        "code_id": result.code_id[:16],
        **{c: value for c, value in config_columns(result.config).items() if value is not None},
    }


def _word(text: str) -> str:
    return _BAD.sub("_", text.lower()).strip("_")


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in labels.items()) + "}"


def _escape(text: str) -> str:
    """Return text between quotes: a control in a label would end a line for some readers."""
    shown = plain_text(text).replace("\r", " ")
    return shown.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(float(value))
