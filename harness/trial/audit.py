"""What an audit needs of a replica, and the metrics made from it again.

The record keeps the few numbers, `loop.parquet` beside it every duration, mark and edge. `replayed` puts them
together to what the trial had in its hands, and summarises it by the very same rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from harness.config.models import Config
from harness.devices.base import Peak
from harness.energy import EnergyResult
from harness.energy.estimation import replay
from harness.records.evidence import declared
from harness.records.loop import Series, keep_raw, write_loop
from harness.records.schema import Facts, Metric
from harness.serving.served import Served
from harness.timing import Measurement
from harness.timing.loop import Stretches
from harness.timing.steady import drifted, moved, stalled
from harness.trial.evidence import thin
from harness.trial.metrics import EnergyUse, RankRun, summarise
from workloads.base import Units

VERSION = 2
"""Of what is kept, and of the rules by which metrics follow from it."""
_STRETCHES = ("iterations", "wall_ns", "cpu_ns", "involuntary", "waited_ns")
_MARK, _EDGE = "mark.", "edge."


def evidence(
    ranks: Sequence[RankRun],
    *,
    peak: Peak,
    ceiling: Peak,
    energy: EnergyUse,
    window: EnergyResult,
    single_threaded: bool,
    output_tokens: int | None,
    rank_metrics: Mapping[str, float],
    served: Served | None = None,
) -> Facts:
    """Return what a record keeps of everything that its metrics were made of, series and trace aside."""
    found = {
        "version": VERSION,
        "ranks": [_rank(rank) for rank in ranks],
        "peak": _limit(peak),
        "ceiling": _limit(ceiling),
        "energy": asdict(energy),
        "window": replay.kept(window),
        "single_threaded": single_threaded,
        "output_tokens": output_tokens,
        "rank_metrics": dict(rank_metrics),
        **({} if served is None else {"served": served.facts()}),
    }
    return declared(__name__, {"audit": found})


def keep_series(
    ranks: Sequence[RankRun],
    losses: Sequence[float],
    folder: str | None,
    served: Served | None = None,
    *,
    raw: bool = False,
) -> None:
    """Write `loop.parquet` into the attempt's folder: the slowest rank's span, the losses, the requests.

    Args:
        ranks: all of them.
        losses: of training.
        folder: None keeps nothing.
        served: the requests, where there were any.
        raw: leave the numbers to the sweep, which makes the file of them.

    Raises:
        OSError: it cannot be written.
    """
    if folder is None:
        return
    m = max((rank.measurement for rank in ranks), key=lambda measurement: measurement.span_ns)
    series: Series = {"duration_ns": m.durations_ns}
    series |= {f"{_MARK}{name}": times for name, times in m.marks.items()}
    if m.stretches is not None:
        edges = {name: getattr(m.stretches, name) for name in _STRETCHES}
        series |= {f"{_EDGE}{name}": values for name, values in edges.items() if values is not None}
    series["warmup.before_ns"], series["warmup.last_ns"] = (np.asarray(w, float) for w in m.warmup_windows)
    series["loss"] = np.asarray(losses, float)
    series |= {} if served is None else served.series()
    (keep_raw if raw else write_loop)(series, Path(folder))


@dataclass(frozen=True, slots=True)
class Replay:
    """What a replica's record must say, by what it kept."""

    ranks: tuple[RankRun, ...]
    """Of their durations only the slowest's are known."""
    losses: tuple[float, ...]
    metrics: list[Metric]
    timing: Facts
    """Evidence of timing."""
    series: dict[str, list[float]]
    """Short series of iterations and losses."""
    served: Facts
    """Evidence of the requests; empty where nothing was served."""

    @property
    def slowest(self) -> Measurement:
        """The rank whose durations are kept."""
        return max((rank.measurement for rank in self.ranks), key=lambda m: m.span_ns)


def config_of(recorded: Mapping[str, Any]) -> Config:
    """Return the configuration that a record keeps, beside the words that asked for it.

    Raises:
        pydantic.ValidationError: it is none of this version.
    """
    return Config.model_validate({key: part for key, part in recorded.items() if key != "overrides"})


def replayed(facts: Mapping[str, Any], series: Series, config: Config) -> Replay:
    """Return the metrics, and the evidence of timing, that follow from what was kept.

    Args:
        facts: the evidence `audit` of a record.
        series: as `keep_series` wrote them.
        config: of the record.

    Raises:
        ValueError: they are not what was kept, or do not belong together.
    """
    try:
        return _replayed(facts, series, config)
    except (KeyError, TypeError, ArithmeticError, AttributeError, IndexError, AssertionError) as error:
        raise ValueError(
            f"what it keeps for an audit is not whole: {type(error).__name__} {error}"
        ) from error


def _replayed(facts: Mapping[str, Any], series: Series, config: Config) -> Replay:
    ranks = _ranks(facts, series)
    losses = tuple(float(loss) for loss in series.get("loss", ()))
    served = Served.kept(facts["served"], series) if "served" in facts else None
    if served is not None:
        counted = {
            None if one.counted is None else (one.counted.tokens, one.counted.requests) for one in ranks
        }
        if counted != {served.counts()}:
            raise ValueError("its tokens and requests are not those of its log of requests")
    metrics = summarise(
        ranks,
        peak=Peak(**facts["peak"]),
        ceiling=Peak(**facts["ceiling"]),
        energy=EnergyUse(**facts["energy"]),
        single_threaded=bool(facts["single_threaded"]),
        output_tokens=facts["output_tokens"],
        losses=losses,
        rank_metrics=facts["rank_metrics"],
        served=None if served is None else served.metrics(),
    )
    slowest = max((rank.measurement for rank in ranks), key=lambda m: m.span_ns)
    return Replay(
        tuple(ranks),
        losses,
        metrics,
        _timing(slowest, len(ranks), series, config),
        short_series(slowest, losses, serves=served is not None),
        {} if served is None else served.evidence(),
    )


def short_series(m: Measurement, losses: Sequence[float], *, serves: bool) -> dict[str, list[float]]:
    """Return the series of iterations and losses that a record keeps for figures and within-run intervals."""
    return {
        **({} if serves else {"iteration_s": thin(m.durations_ns / 1e9 / m.group)}),
        **({"loss": thin(losses)} if losses else {}),
    }


def _rank(rank: RankRun) -> Facts:
    m = rank.measurement
    numbers = ("warmup_iterations", "warmup_ns", "first_index", "iterations", "span_ns", "host_ns", "group")
    return {
        **{name: getattr(m, name) for name in (*numbers, "cpu_ns")},
        "every": None if m.stretches is None else m.stretches.every,
        "cycle": [asdict(units) for units in rank.cycle],
        "memory": dict(rank.memory),
        "device": rank.device,
        **({} if rank.counted is None else {"counted": asdict(rank.counted)}),
    }


def _limit(peak: Peak) -> Facts:
    return {field.name: getattr(peak, field.name) for field in fields(peak)}


def _ranks(facts: Mapping[str, Any], series: Series) -> list[RankRun]:
    told = facts["ranks"]
    slowest = max(range(len(told)), key=lambda i: told[i]["span_ns"])
    return [
        RankRun(
            _measurement(one, series if number == slowest else {}),
            [Units(**units) for units in one["cycle"]],
            one["memory"],
            one["device"],
            counted=Units(**one["counted"]) if "counted" in one else None,
        )
        for number, one in enumerate(told)
    ]


def _measurement(one: Mapping[str, Any], series: Series) -> Measurement:
    durations_ns = series.get("duration_ns", np.empty(0, np.int64))
    if series and len(durations_ns) * one["group"] != one["iterations"]:
        raise ValueError(
            f"{len(durations_ns)} durations of {one['group']} for {one['iterations']} iterations"
        )
    edges: dict[str, Any] = {name: series.get(f"{_EDGE}{name}") for name in _STRETCHES}
    stretches = None
    if one["every"] is not None and edges["iterations"] is not None:
        stretches = Stretches(**edges, every=one["every"])
    numbers = {k: one[k] for k in ("warmup_iterations", "warmup_ns", "first_index", "iterations", "span_ns")}
    return Measurement(
        **numbers,
        host_ns=one["host_ns"],
        durations_ns=durations_ns,
        group=one["group"],
        stretches=stretches,
        cpu_ns=one["cpu_ns"],
        steal_ratio=None,
        involuntary_switches=0,
        tick_ns=None,
        clock="",
        steady=True,
        drift=False,
        marks={k.removeprefix(_MARK): v for k, v in series.items() if k.startswith(_MARK)},
        flags=(),
    )


def _timing(m: Measurement, ranks: int, series: Series, config: Config) -> Facts:
    """Return what the durations and the warm-up say, as `harness.timing.measure` says it."""
    target, tolerance = config.measure.target(config.device.hardware), config.measure.steady_tolerance
    before, last = series.get("warmup.before_ns", ()), series.get("warmup.last_ns", ())
    steady = min(len(before), len(last)) >= 2 and not moved(before, last, tolerance)
    drift = drifted(m.durations_ns, target)
    total_ns = int(m.durations_ns.sum())
    return {
        "iterations": m.iterations,
        "span_ns": m.span_ns,
        "host_ns": m.host_ns,
        "drift": bool(drift),
        "steady": steady,
        "durations_ns": total_ns,
        "flags": {
            "not_steady": not steady,
            "drift": bool(drift),
            "drift_unknown": drift is None,
            "stalled": stalled(m.durations_ns),
            "grouped": m.group > 1,
            # Of one rank on the host's clock, whose span ends by time.
            "buffer_full": ranks == 1 and total_ns < round(config.measure.seconds * 1e9),
        },
    }
