"""What a runner-up would have to cost to win, and what a point between two measured ones would do."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.advice.candidates import Candidate
from harness.advice.fleet import higher_is_better, objective_metric, values_at, with_spare
from harness.advice.recommend import Option, Recommendation
from harness.cost.equations import money_terms, total
from harness.records.metrics import METRICS

PRICES = ("capex", "rent_per_hour", "rent_per_used_hour")


@dataclass(frozen=True, slots=True)
class Between:
    """A batch between two measured ones that would just keep a limit: interpolated, not measured."""

    candidate: Candidate
    batch: int
    measured: tuple[int, int]
    limit: str
    throughput: float


def price_to_win(option: Option, answer: Recommendation) -> tuple[str, float, float] | None:
    """Return the price input, its value now and the one at which the option would cost as little as the best.

    Exact, because a cost is linear in its price; None where no price brings it down that far.
    """
    best = answer.best
    if answer.objective != "cost" or best is None or option.candidate.basis is None:
        return None
    name = next((n for n in PRICES if n in option.candidate.basis.money), None)
    if name is None:
        return None
    now = option.candidate.basis.money[name].mid
    at_now, at_none = (_cost(option, answer, name, price) for price in (now, 0.0))
    if at_now == at_none:
        return None
    price = now * (best.value - at_none) / (at_now - at_none)
    return (name, now, price) if price >= 0 else None


def _cost(option: Option, answer: Recommendation, name: str, price: float) -> float:
    c = option.candidate
    assert c.basis is not None
    rate = c.values[f"throughput.{answer.item}"]
    load = answer.needs.per_s
    spare = 1.0 if load is None else option.units * rate / load
    values = with_spare({**values_at(c, c.values), name: price}, spare)
    return c.basis.many * float(total(money_terms(values))) / rate


def between(answer: Recommendation, candidates: Sequence[Candidate]) -> list[Between]:
    """Return, for neighbouring batches of which one keeps a limit and the other breaks it, the batch between.

    Throughput and the limited metric are taken to run straight between the two on logarithmic scales; only
    what would be better than the best is returned. Nothing is extrapolated.
    """
    metric_limits = [m for m in answer.needs.limits if m in METRICS]
    throughput = f"throughput.{answer.item}"
    families: dict[str, list[tuple[int, Candidate]]] = {}
    for c in candidates:
        if (batch := batch_of(c)) is not None and throughput in c.values:
            families.setdefault(_but_for_batch(c), []).append((batch, c))
    found: list[Between] = []
    for members in families.values():
        members.sort(key=lambda pair: pair[0])
        for (low, a), (high, b) in itertools.pairwise(members):
            if high - low < 2:
                continue
            made = (_crossing(answer, a, b, low, high, metric) for metric in metric_limits)
            found += [each for each in made if each is not None]
    return [f for f in found if _better(f, answer)]


def _crossing(
    answer: Recommendation, a: Candidate, b: Candidate, low: int, high: int, metric: str
) -> Between | None:
    if metric not in a.values or metric not in b.values or min(a.values[metric], b.values[metric]) <= 0:
        return None
    limit = answer.needs.limit(metric)
    sign = 1 if METRICS[metric].direction == "lower" else -1
    over = [sign * math.log(c.values[metric] / limit) for c in (a, b)]
    if (over[0] <= 0) == (over[1] <= 0):
        return None
    share = over[0] / (over[0] - over[1])
    exact = math.exp(math.log(low) + share * math.log(high / low))
    batch = math.floor(exact + 1e-6) if over[0] <= 0 else math.ceil(exact - 1e-6)
    if not low < batch < high:
        return None
    throughput = f"throughput.{answer.item}"
    at = math.log(batch / low) / math.log(high / low)
    rate = a.values[throughput] * (b.values[throughput] / a.values[throughput]) ** at
    return Between(a, batch, (low, high), metric, float(rate))


def _better(found: Between, answer: Recommendation) -> bool:
    if answer.best is None:
        return True
    objective = objective_metric(answer.needs.objective, answer.item)
    if objective != "cost" and not higher_is_better(objective):
        return False
    throughput = f"throughput.{answer.item}"
    mine = found.candidate.values[throughput]
    same = found.candidate.result.machine_id == answer.best.candidate.result.machine_id
    rate = answer.best.candidate.values[throughput] if same else mine
    return bool(np.greater(found.throughput, rate * 1.01))


def batch_of(c: Candidate) -> int | None:
    """Return the batch that a candidate's configuration names."""
    batch = c.result.config.get("workload", {}).get("batch")
    return batch if isinstance(batch, int) and batch > 0 else None


def _but_for_batch(c: Candidate) -> str:
    config = c.result.config
    parts = {k: config.get(k) for k in ("compress", "parallel", "precision", "optimize", "device")}
    workload = {k: v for k, v in config.get("workload", {}).items() if k != "batch"}
    return json.dumps([c.result.machine_id, workload, parts], sort_keys=True, default=str)
