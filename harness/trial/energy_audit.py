"""A span's energy, and all that a record says of it, made again from what was kept and from the trace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from harness.energy import EnergyResult, IterationEnergy
from harness.energy.estimation import replay
from harness.energy.estimation.replay import MOST_ROWS, Columns
from harness.records.schema import Facts
from harness.trial import span_energy
from harness.trial.audit import Replay
from harness.trial.evidence import thin
from harness.trial.metrics import EnergyUse
from harness.trial.passes.phase_energy import attribution
from harness.trial.span_energy import SpanEnergy

__all__ = ["MOST_ROWS", "EnergyReplay", "energy_replayed"]
ITERATION = "iteration"
"""Series of a trace that no sensor wrote: the edges of iterations."""


@dataclass(frozen=True, slots=True)
class EnergyReplay:
    """What a record must say of its span's energy."""

    use: EnergyUse
    evidence: Facts
    """By its keys, but `energy_aliased`, whose loop left no trace."""
    series: dict[str, list[float]]
    zero: tuple[str, ...]
    """Ids of metrics whose every power sample was zero."""


def energy_replayed(
    evidence: Mapping[str, Any], kept: Mapping[str, Any], trace: Mapping[str, Columns], timed: Replay
) -> EnergyReplay:
    """Return what follows from a window's readings and its trace.

    Args:
        evidence: of the record, with the keys `energy` and, where it was aliased, `energy_aliased`.
        kept: from `harness.energy.estimation.replay.kept`.
        trace: by series.
        timed: the record's span; the first rank meters.

    Raises:
        ValueError: they are not what was kept, or do not belong together.
    """
    try:
        return _replayed(evidence, kept, trace, timed)
    except (KeyError, TypeError, ArithmeticError, AttributeError, IndexError, AssertionError) as error:
        raise ValueError(
            f"what it keeps of its energy is not whole: {type(error).__name__} {error}"
        ) from error


def _replayed(
    evidence: Mapping[str, Any], kept: Mapping[str, Any], trace: Mapping[str, Columns], timed: Replay
) -> EnergyReplay:
    sampled = {name: columns for name, columns in trace.items() if name != ITERATION}
    result = replay.remade(evidence["energy"], kept, sampled)
    measurement, alone = timed.ranks[0].measurement, len(timed.ranks) == 1
    told = evidence.get("energy_aliased")
    if alone:
        _require_one_span(result, timed, trace.get(ITERATION))
        if span_energy.in_step(result, measurement) != (told is not None):
            raise ValueError("its iterations came in step with its counter, or not, against what it says")
    spent = SpanEnergy(
        result,
        measurement,
        told is not None,
        shifted=None if told is None or told["shifted"] is None else _loop(told["shifted"]),
        unshifted=None if told is None else told["reason"],
    )
    made = spent.evidence() | (attribution(result, measurement) if alone else {})
    made.pop("energy_aliased", None)
    if spent.shifted is not None:
        made.pop("u_absolute_joules")  # of the loop's iterations; only of its window is it known
    return EnergyReplay(
        spent.use(),
        made,
        span_energy.series(result, thin),
        tuple(span_energy.zero_metrics(result)),
    )


def _require_one_span(result: EnergyResult, timed: Replay, edges: Columns | None) -> None:
    """Make sure that the window is the span's, and that the trace has the iterations where they were.

    Raises:
        ValueError: it is another's.
    """
    (begin_ns, end_ns), m = result.span_ns, timed.slowest
    whole = span_energy.iteration_edges(m, begin_ns)
    if end_ns - begin_ns < m.span_ns or not begin_ns <= whole[0] <= whole[-1] <= end_ns:
        raise ValueError("the window of its energy is not around its span")
    if edges is None:
        return
    known, _ = span_energy.kept_edges(m, begin_ns)
    if not (np.array_equal(edges[0], known[:-1]) and np.array_equal(edges[1], known[1:])):
        raise ValueError("its trace has iterations at other times than its loop")


def _loop(told: Mapping[str, Any]) -> IterationEnergy:
    """Return the loop that stood in for an aliased span, as far as the record tells of it.

    Raises:
        ValueError: an iteration's energy is not its window's share.
    """
    window = told["energy"]
    named = {f.name: window.get(f.name) for f in fields(EnergyResult)}
    result = EnergyResult(**named | {"devices": (), "trace": (), "inputs": ()})
    found = IterationEnergy(
        told["iterations"], told["blocks"], told["iteration_s"], told["joules"], told["u_joules"],
        window["u_absolute_joules"], result,
    )  # fmt: skip
    joules, share = found.joules, window["joules"] / found.iterations
    if joules is None or not abs(joules - share) <= 1e-9 * abs(share):
        raise ValueError("the shifted loop's energy of an iteration is not its window's share")
    return found
