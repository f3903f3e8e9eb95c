"""How many of a configuration a load takes, what they cost together, and which limits they keep."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.advice.candidates import Candidate, Floats
from harness.advice.requirements import Requirements
from harness.cost.derive import per_item
from harness.cost.equations import YEAR_S, Number, Values, carbon_terms, money_terms, total
from harness.cost.inputs import Input
from harness.records.metrics import METRICS

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of a candidate under requirements, each of shape (draws,)."""

    units: Floats
    """How many of the candidate; 0 where the limits leave room for none."""
    value: Floats
    """Of the objective."""
    excess: Mapping[str, Floats]
    """By limit, the logarithm of how many times it is exceeded: above 0 it is broken."""

    def kept(self, *, but: str = "") -> npt.NDArray[np.bool_]:
        """Return where every limit is kept, one aside."""
        kept: npt.NDArray[np.bool_] = self.units >= 1
        for name, excess in self.excess.items():
            if name != but:
                kept = kept & (excess <= _ROUNDING)
        return kept


def evaluate(
    c: Candidate, needs: Requirements, at: Mapping[str, Number], item: str, ignore: Collection[str] = ()
) -> Outcome:
    """Work out a candidate at measured values, or at many draws of them at once.

    Args:
        c: The candidate; it has every metric that the requirements ask for (`missing`).
        needs: Load, limits and objective.
        at: By metric id.
        item: What is counted: `tokens`, `samples` or `requests`.
        ignore: Limits that are waived.
    """
    rate = np.atleast_1d(np.asarray(at[f"throughput.{item}"], np.float64))
    per_unit = {k: v for k, v in _per_unit(c, needs, at, rate).items() if k not in ignore}
    excess: dict[str, Floats] = {}
    for metric in needs.limits:
        if metric not in ignore:
            value, limit = np.broadcast_to(at[metric], rate.shape), needs.limit(metric)
            sign = 1 if METRICS[metric].direction == "lower" else -1
            excess[metric] = sign * np.log(value / limit)
    load = needs.per_s
    if load is None:
        room = [np.floor(limit / used + _ROUNDING) for used, limit in per_unit.values()]
        units = np.min(np.stack(np.broadcast_arrays(*room, rate * np.inf)), axis=0) if room else None
        units = np.ones_like(rate) if units is None else units
        for name, (used, limit) in per_unit.items():
            excess[name] = np.broadcast_to(np.log(used / limit), rate.shape)  # of a single unit
        spare = np.ones_like(rate)
    else:
        units = np.maximum(np.ceil(load * (1 + needs.head_room) / rate - _ROUNDING), 1.0)
        spare = units * rate / load
        for name, (used, limit) in per_unit.items():
            excess[name] = np.log(units * used / limit)
    return Outcome(units, _value(c, needs, at, item, rate, units, spare), excess)


def _per_unit(
    c: Candidate, needs: Requirements, at: Mapping[str, Number], rate: Floats
) -> dict[str, tuple[Floats, float]]:
    """What one unit takes of each limit of the fleet, and that limit."""
    fleet, found = needs.fleet, {}
    one = np.ones_like(rate)
    if fleet.devices is not None:
        found["devices"] = (one * c.devices, float(fleet.devices))
    if fleet.budget is not None:
        found["budget"] = (one * unit_price(c), fleet.budget)
    watts = one * (at.get("power.mean", 0.0) + _input(c, "host_w"))
    if fleet.power is not None:
        found["power"] = (watts, fleet.power)
    if fleet.rack_power is not None:
        in_rack = np.floor(fleet.rack_power / watts + _ROUNDING)
        if fleet.racks is None:
            # Without a number of racks a unit need only fit into one; as many as are needed are taken.
            found["rack_power"] = (np.where(in_rack >= 1, 1e-12, watts / fleet.rack_power), 1.0)
        else:
            found["rack_power"] = (np.where(in_rack >= 1, 1 / np.maximum(in_rack, 1), np.inf), fleet.racks)
    if fleet.carbon_per_year is not None and c.basis is not None:
        per_s = total(carbon_terms(values_at(c, at, carbon=True)))
        found["carbon_per_year"] = (
            one * per_s * YEAR_S * c.basis.carbon["utilisation"].mid,
            fleet.carbon_per_year,
        )
    return found


def unit_price(c: Candidate) -> float:
    """Return the purchase price of one unit with its share of host, network and rack."""
    return sum(_input(c, name) for name in ("capex", "host", "network", "rack"))


def values_at(c: Candidate, at: Mapping[str, Number], *, carbon: bool = False) -> dict[str, Number]:
    """Return the inputs of a candidate's money or carbon, prices at their middle, measured ones as given."""
    assert c.basis is not None
    inputs: Mapping[str, Input] = c.basis.carbon if carbon else c.basis.money
    values: dict[str, Number] = {name: i.mid for name, i in inputs.items()}
    values["throughput"] = at[f"throughput.{c.basis.item}s"]
    for name, metric in (("power_w", "power.mean"), ("idle_w", "power.idle")):
        if name in values and metric in at:
            values[name] = at[metric]
    return values


def with_spare(values: Values, spare: Number) -> dict[str, Number]:
    """Return inputs for units of which some stand idle: `spare` times as much as the load is paid for."""
    changed = dict(values)
    if "utilisation" in changed:
        changed["utilisation"] = changed["utilisation"] / spare
    for name in ("rent_per_used_hour", "opex_per_hour"):
        if name in changed:
            changed[name] = changed[name] * spare
    return changed


def _value(
    c: Candidate,
    needs: Requirements,
    at: Mapping[str, Number],
    item: str,
    rate: Floats,
    units: Floats,
    spare: Floats,
) -> Floats:
    objective = objective_metric(needs.objective, item)
    if objective in {"cost", "carbon"}:
        assert c.basis is not None
        terms = money_terms if objective == "cost" else carbon_terms
        values = with_spare(values_at(c, at, carbon=objective == "carbon"), spare)
        return np.broadcast_to(c.basis.many * total(per_item(terms, values)), rate.shape)
    if objective.startswith("throughput."):
        return rate * units if needs.per_s is None else rate
    return np.broadcast_to(np.asarray(at[objective], np.float64), rate.shape)


def objective_metric(objective: str, item: str) -> str:
    """Return the metric id behind an objective; `cost` and `carbon` stand for themselves."""
    return {
        "energy": f"energy.{item[:-1]}",
        "throughput": f"throughput.{item}",
        "latency": "latency.p99",
    }.get(objective, objective)


def higher_is_better(objective: str) -> bool:
    """Say whether more of the objective is better."""
    return objective.startswith("throughput.") or (
        objective in METRICS and METRICS[objective].direction == "higher"
    )


def missing(c: Candidate, needs: Requirements, item: str) -> str:
    """Return why a candidate cannot be judged; empty when it can."""
    for metric in wanted_metrics(needs, item):
        if metric not in c.values:
            return f"{metric} is not known of it"
    fleet = needs.fleet
    priced = (
        needs.objective in {"cost", "carbon"} or fleet.budget is not None or fleet.carbon_per_year is not None
    )
    if priced and c.basis is None:
        return c.price_missing or "it has no price"
    if (needs.objective == "carbon" or fleet.carbon_per_year is not None) and c.basis and not c.basis.carbon:
        return c.basis.carbon_missing
    if fleet.budget is not None and unit_price(c) <= 0:
        return "it has no purchase price, which the budget needs"
    return ""


def wanted_metrics(needs: Requirements, item: str) -> list[str]:
    """Return the metrics that a candidate must have."""
    wanted = [f"throughput.{item}", *needs.limits]
    if (metric := objective_metric(needs.objective, item)) in METRICS:
        wanted.append(metric)
    if needs.fleet.power is not None or needs.fleet.rack_power is not None:
        wanted.append("power.mean")
    return list(dict.fromkeys(wanted))


def _input(c: Candidate, name: str) -> float:
    if c.basis is None:
        return 0.0
    found = c.basis.money.get(name) or c.basis.carbon.get(name)
    return found.mid if found is not None else 0.0
