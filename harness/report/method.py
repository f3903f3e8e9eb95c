"""How it was measured, in words made from the records' own settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.report.document import Item, Items, Section
from harness.report.numbers import quantity
from harness.report.text import line, listing, plural
from harness.report.trials import Trial, fact


def level_text(trials: Sequence[Trial]) -> str:
    """The level of the intervals, e.g. `95 %`; `stated` when the records hold several levels."""
    levels = {e.level for t in trials for e in t.result.estimates.values() if e.level is not None}
    return f"{100 * levels.pop():.3g}\u00a0%" if len(levels) == 1 else "Uncertainty" if not levels else "Mixed-level"


def method_section(trials: Sequence[Trial], level: str) -> Section:
    """Preset, replicas, clock, intervals, ranking, energy and limits."""
    ok = [t for t in trials if t.result.status == "ok"]
    items = [
        Item("Preset", _preset(trials)),
        Item(
            "Replicas",
            f"Each trial is measured by replicas, each a new process. {_replicas(ok)} Rounds run in random order, so "
            "that a trial's replicas spread over the sweep.",
        ),
        Item("Throughput", "Total items ÷ total time of the measured span; never a mean of rates, nothing filtered."),
        Item("Clock", _clock(ok)),
        Item(
            "Intervals",
            f"The {level} interval of a trial is a t-interval on the logarithm of its replicas' values: over repeats "
            "of the whole experiment on this machine it holds the true value that often. It does not cover other "
            "machines of the same kind, other software, or a sensor's own calibration.",
        ),
        Item(
            "Ranking",
            "Only within one workload, mode and size. Two trials are ordered only when their intervals do not "
            "overlap; a rank such as 1–3 says what the intervals leave open. Flagged values are ranked and marked, "
            "invalid ones never.",
        ),
        Item("Digits", "A number is rounded where its interval ends; without an interval it has three digits."),
        Item("Cost", "Not computed: no price was given." if not _priced(trials) else "Not part of this report."),
    ]
    single = [t for t in ok if t.within_run_only]
    if single:
        items.insert(
            5,
            Item(
                "Within-run only",
                f"{plural(len(single), 'trial')} rest on one process each. Their intervals do not hold what changes "
                "from process to process, so they are shown and not ranked.",
            ),
        )
    return Section("method", "Method", (Items(tuple(items)),))


def facts_rows(facts: Mapping[str, Any], most: int = 100) -> list[tuple[str, str]]:
    """Flatten nested facts into names and texts, in their order, at most `most` of them."""
    rows: list[tuple[str, str]] = []

    def walk(path: tuple[str, ...], value: Any) -> None:
        if len(rows) >= most or len(path) > 6:
            return
        if isinstance(value, Mapping):
            for key, below in value.items():
                walk((*path, line(key, 60)), below)
        elif isinstance(value, list | tuple) and any(isinstance(v, Mapping) for v in value):
            for i, below in enumerate(value):
                walk((*path, str(i)), below)
        else:
            rows.append((" · ".join(path), _fact_text(path[-1] if path else "", value)))

    walk((), facts)
    return rows


def _fact_text(key: str, value: Any) -> str:
    if value is None or value == "" or value == []:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return line(", ".join(str(v) for v in value), 300)
    if isinstance(value, int | float):
        for suffix, unit, scale in (("_bytes", "B", 1), ("_mhz", "Hz", 1e6), ("_hz", "Hz", 1), ("_ns", "s", 1e-9),
                                    ("_mw", "W", 1e-3), ("_w", "W", 1), ("_s", "s", 1)):
            if key.endswith(suffix):
                return quantity(value * scale, unit).text
    return line(value, 300)


def _preset(trials: Sequence[Trial]) -> str:
    found: dict[str, None] = {}
    for t in trials:
        measure = fact(t.result.config, "measure")
        if isinstance(measure, Mapping):
            soak = "warmed as a whole before the sweep" if measure.get("soak") else "not soaked before the sweep"
            found[
                f"{line(measure.get('preset'), 40)}: {measure.get('replicas')} to {measure.get('max_replicas')} replicas of "
                f"{measure.get('seconds')} s each, after a warm-up of at least {measure.get('warmup_s')} s until steady; "
                f"the device was {soak}"
            ] = None
    return ". ".join(list(found)[:4]) + "." if found else "not recorded."


def _replicas(ok: Sequence[Trial]) -> str:
    counts = sorted({t.result.replicas_ok for t in ok})
    if not counts:
        return "None finished."
    span = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"Here {span} finished per trial."


def _clock(ok: Sequence[Trial]) -> str:
    ticks = sorted({v for t in ok for r in t.result.records if isinstance(v := r.evidence.get("tick_ns"), int | float)})
    text = "Host time by a monotonic clock; device time by events on the device's stream; neither stands for the other."
    if not ticks:
        return text + " The tick was not recorded."
    shown = listing([quantity(v * 1e-9, "s").text for v in ticks], 4)
    return text + f" The timer's tick, probed at each trial: {shown}."


def _priced(trials: Sequence[Trial]) -> bool:
    return any(fact(t.result.config, "price", "name") not in {None, "none"} for t in trials)
