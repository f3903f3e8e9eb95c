"""What steps processed against their workload: units and FLOPs in closed form, counted again in a process."""

from __future__ import annotations

import importlib.util
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pydantic import ValidationError

from harness.bundles.finding import Finding, difference
from harness.identity.fingerprint import workloads_digest
from harness.records.schema import Facts, Record
from harness.trial.audit import VERSION, config_of
from harness.trial.work_count import COUNTED, Work, count, why_not

_CODE = "units of other code"


@dataclass
class Works:
    """The distinct works of an audit, each with one record's path."""

    _known: dict[str, tuple[Work, list[Any], str]] = field(default_factory=dict)
    """By what was configured and told, the work, what was told of each rank's steps, and where."""
    not_counted: Counter[str] = field(default_factory=Counter)
    """By reason, how many records."""

    def add(self, path: str, record: Record) -> None:
        """Note what a good attempt processed, where its code is this one."""
        kept, seal = record.evidence.get("audit"), record.seal
        if record.status != "ok" or seal is None or seal.size is None or not isinstance(kept, dict):
            return
        ranks = kept.get("ranks")
        if kept.get("version") != VERSION or not isinstance(ranks, list):
            return
        reason = self._noted(path, record, seal.size, seal.data, ranks)
        if reason is not None:
            self.not_counted[reason] += 1

    def _noted(
        self, path: str, record: Record, size: Facts, data: str | None, ranks: Sequence[Any]
    ) -> str | None:
        if record.code.get("workloads_sha256") != _digest():
            return _CODE
        told = [one.get("cycle") for one in ranks if isinstance(one, dict)]
        named = ("workload", "parallel", "precision", "device", "seed")
        key = json.dumps([{name: record.config.get(name) for name in named}, size, told], sort_keys=True)
        if key in self._known:
            return None
        try:
            config = config_of(record.config)
        except ValidationError:
            return None  # `check_replay` names it
        reason = why_not(config, data)
        if reason is None:
            self._known[key] = (Work(record.config, size, len(told)), told, path)
        return reason

    def include(self, others: Works) -> None:
        """Add the works of another part of the audit."""
        for key, work in others._known.items():
            self._known.setdefault(key, work)
        self.not_counted.update(others.not_counted)

    def check(self) -> Iterator[Finding]:
        """Yield every work whose steps processed something else than its workload does."""
        if not self._known:
            return
        if importlib.util.find_spec("torch") is None:
            self.not_counted["units, without torch"] += len(self._known)
            return
        known = list(self._known.values())
        for (_, told, path), made in zip(known, count([work for work, _, _ in known]), strict=True):
            if "reason" in made:
                self.not_counted[str(made["reason"])] += 1
            elif (where := _difference(told, made["cycles"])) is not None:
                yield Finding(path, "units", f"a step of this workload processes something else: {where}")


def _difference(told: Sequence[Any], made: Sequence[Sequence[Mapping[str, Any]]]) -> str | None:
    """Return where what was told of each rank's steps differs."""
    shown = [
        [{name: units.get(name) for name in COUNTED} for units in cycle if isinstance(units, dict)]
        if isinstance(cycle, list)
        else None
        for cycle in told
    ]
    return difference(shown, made, "rank")


_digest = cache(workloads_digest)
