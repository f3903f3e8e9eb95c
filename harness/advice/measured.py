"""Make candidates of the records' results."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from harness.advice.candidates import LEAST_REPLICAS, Candidate, draw
from harness.advice.fleet import wanted_metrics
from harness.advice.requirements import Requirements, Work
from harness.config.prices import Prices, UnknownPrice
from harness.cost import Basis, basis_of, devices_of
from harness.records.headline import HEADLINES
from harness.records.machines import machine_names
from harness.records.results import TrialResult
from harness.system.errors import InputError

_ALSO = ("power.mean", "power.idle", "energy.token", "energy.sample", "energy.request")


def candidates(
    results: Sequence[TrialResult],
    needs: Requirements,
    prices: Prices | None = None,
    *,
    as_of: dt.date | None = None,
) -> tuple[list[Candidate], str]:
    """Return the configurations of the asked work, and what they count: `tokens`, `samples` or `requests`.

    Raises:
        ValueError: no result of that work, several pieces of work, or none that counts the load's items.
    """
    chosen = of_work(results, needs.work)
    item = needs.item or _item(chosen)
    return candidates_of(chosen, needs, item, prices, as_of=as_of), item


def candidates_of(
    chosen: Sequence[TrialResult],
    needs: Requirements,
    item: str,
    prices: Prices | None = None,
    *,
    as_of: dt.date | None = None,
) -> list[Candidate]:
    """Return these results as candidates, each named by what tells it from the others."""
    several = len({r.machine_id for r in chosen}) > 1
    names = machine_names(record for r in chosen for record in r.records) if several else {}
    shared = _shared_words([r.label for r in chosen])
    return [
        _candidate(
            r,
            needs,
            item,
            " ".join(w for w in r.label.split() if w not in shared) or r.label,
            names[r.machine_id] if several else "",
            prices,
            as_of,
        )
        for r in chosen
    ]


def of_work(results: Sequence[TrialResult], work: Work) -> list[TrialResult]:
    """Return the good results of one piece of work.

    Raises:
        ValueError: there is none, or there are several.
    """
    good = [r for r in results if r.replicas_ok]
    asked = {"name": work.workload, "size": work.size, "mode": work.mode}
    chosen = [
        r
        for r in good
        if all(v is None or r.config.get("workload", {}).get(k) == v for k, v in asked.items())
    ]
    kinds = dict.fromkeys(_kind(r) for r in chosen)
    if not kinds:
        there = ", ".join(dict.fromkeys(_kind(r) for r in good)) or "no result"
        raise InputError(f"no result of the asked work; there is {there}")
    if len(kinds) > 1:
        raise InputError(
            f"several pieces of work ({', '.join(kinds)}): name one in the requirements, "
            "e.g. `work: {workload: gpt, mode: decode}`"
        )
    return chosen


def _candidate(
    result: TrialResult,
    needs: Requirements,
    item: str,
    name: str,
    machine: str,
    prices: Prices | None,
    as_of: dt.date | None,
) -> Candidate:
    usable = {
        i: float(e.value)
        for i, e in result.estimates.items()
        if e.value is not None and e.validity in {"valid", "flagged"}
    }
    # A draw depends on the trial alone: another trial beside it changes no number.
    seed = int.from_bytes(
        hashlib.sha256(f"{result.trial_id} {result.machine_id}".encode()).digest()[:8], "big"
    )
    metrics = [m for m in dict.fromkeys([*wanted_metrics(needs, item), *_ALSO]) if m in usable]
    drawn, _ = draw(result, metrics, np.random.default_rng(seed))
    devices = devices_of(result)
    basis, missing = _basis(result, prices, devices, needs, as_of)
    wanted = wanted_metrics(needs, item)
    flagged = [
        f"{m}: {reason}"
        for m in wanted
        if m in usable and result.estimates[m].validity == "flagged"
        for reason in result.estimates[m].reasons
    ]
    replicated = result.replicas_ok >= LEAST_REPLICAS
    return Candidate(
        name, machine, result, devices, usable, drawn, basis, missing, replicated, tuple(flagged)
    )


def _basis(
    result: TrialResult, prices: Prices | None, devices: int, needs: Requirements, as_of: dt.date | None
) -> tuple[Basis | None, str]:
    if prices is None:
        return None, "no price file: name one by --price or `price:` in the requirements"
    try:
        return basis_of(result, prices, devices=devices, rent=needs.rent, as_of=as_of), ""
    except UnknownPrice as error:
        return None, str(error)


def _item(chosen: Sequence[TrialResult]) -> str:
    for metric in HEADLINES:
        if metric != "throughput.bytes" and any(
            (e := r.estimates.get(metric)) is not None and e.value is not None for r in chosen
        ):
            return metric.removeprefix("throughput.")
    raise InputError("no trial of this work has a throughput of tokens, samples or requests")


def _kind(result: TrialResult) -> str:
    workload: Mapping[str, object] = result.config.get("workload", {})
    return " ".join(str(workload.get(k) or "") for k in ("name", "size", "mode")).strip()


def _shared_words(labels: Sequence[str]) -> set[str]:
    words = [set(label.split()) for label in labels]
    return set.intersection(*words) if len(words) > 1 else set()
