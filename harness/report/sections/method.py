"""How it was measured, in words made from the records' own settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from harness.records.evidence import metered_devices as devices_of
from harness.records.numbers import quantity
from harness.records.schema import Record
from harness.records.validity import RULES_VERSION
from harness.report.document import Item, Items, Section
from harness.report.text import line, listing, number, plural
from harness.report.trials import Trial, fact


def level_text(trials: Sequence[Trial]) -> str:
    """The level of the intervals, e.g. `95 %`; empty when there is none, or not one for all."""
    levels = {e.level for t in trials for e in t.result.estimates.values() if e.level is not None}
    return f"{100 * levels.pop():.3g}\u00a0%" if len(levels) == 1 else ""


def method_section(trials: Sequence[Trial], level: str) -> Section:
    """Preset, replicas, clock, intervals, ranking, energy and limits."""
    ok = [t for t in trials if t.result.status == "ok"]
    single = [t for t in ok if t.within_run_only]
    items = [
        Item("Preset", _preset(trials)),
        Item("Soak", _soak(ok)),
        Item(
            "Replicas",
            f"A trial is measured by replicas, each a new process. {_replicas(ok)} They run in rounds of "
            "random order, so that a trial's replicas spread over the sweep.",
        ),
        Item(
            "Throughput", "Total items ÷ total time of the measured span; no mean of rates, nothing filtered."
        ),
        Item("Clock", _clock(ok)),
        Item(
            "Intervals",
            f"{level or 'Stated'} intervals are t-intervals on the logarithm of the replicas' values: were "
            "the whole experiment repeated on this machine, that share of them would hold the true value. "
            "They do not cover other machines of the same kind, other software, or a sensor's calibration.",
        ),
        Item(
            "Ranking",
            "Only within one workload, mode and size. Two trials are ordered only when Tukey's test on the "
            "logarithms of their replicas' values tells them apart; a range of ranks is what it leaves open. "
            "Flagged values are ranked and marked, invalid ones never.",
        ),
    ]
    if single:
        items.append(
            Item(
                "Within-run only",
                f"{plural(len(single), 'trial')} of one process each. How speed changes from process to "
                "process is unknown there, so their values are shown and not ranked.",
            )
        )
    if own := _own_models(trials):
        items.append(Item("Own models", own))
    if metered := metered_devices([record for t in trials for record in t.result.records]):
        items.append(Item("Energy from", metered))
    items += [
        Item(
            "Digits", "A number ends where its interval's half-width begins; without one it has three digits."
        ),
        Item("Cost", "Computed where prices are given, by docs/cost.md of the software named below."),
        Item("Validity", f"Judged by version {RULES_VERSION} of the rules, over the records' own evidence."),
        Item("Equations", "docs/method.md of the software named below."),
        Item("Words", "docs/glossary.md of the software named below."),
    ]
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
    if value is None or value in ("", []):
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return line(", ".join(str(v) for v in value), 300)
    if isinstance(value, int | float):
        for suffix, unit, scale in (
            ("_bytes", "B", 1),
            ("_khz", "Hz", 1e3),
            ("_mhz", "Hz", 1e6),
            ("_hz", "Hz", 1),
            ("_ns", "s", 1e-9),
            ("_mw", "W", 1e-3),
            ("_w", "W", 1),
            ("_s", "s", 1),
        ):
            if key.endswith(suffix):
                return quantity(value * scale, unit).text
    return line(value, 300)


def _preset(trials: Sequence[Trial]) -> str:
    found: dict[str, None] = {}
    for t in trials:
        measure = fact(t.result.config, "measure")
        if isinstance(measure, Mapping):
            keys = ("preset", "replicas", "max_replicas", "seconds", "warmup_s")
            said = {k: line(measure.get(k), 40) for k in keys}
            fewest, most = said["replicas"], said["max_replicas"]
            count = fewest if fewest == most else f"{fewest} to {most}"
            noun = "replica" if count == "1" else "replicas"
            found[
                f"{said['preset']}: {count} {noun} of {said['seconds']} s, each after its own warm-up of "
                f"at least {said['warmup_s']} s until steady"
            ] = None
    return ". ".join(list(found)[:4]) + "." if found else "not recorded."


def _own_models(trials: Sequence[Trial]) -> str:
    """Name the models that are none of the catalogue's, by the contents of what was run."""
    found: dict[str, None] = {}
    for t in trials:
        work = fact(t.result.config, "workload")
        sha256 = fact(t.result.config, "workload", "source_sha256")
        if sha256 is not None:
            name = next((line(work[k], 100) for k in ("factory", "program", "folder") if work.get(k)), "")
            found[f"{name} is sha256 {line(sha256, 64)}"] = None
    return listing(list(found)) + "." if found else ""


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def metered_devices(records: Sequence[Record]) -> str:
    """Name what the power sources metered, and what could not be, by the ids that `list sensors` shows."""
    found: dict[str, None] = {}
    for record in records:
        for device in devices_of(record.evidence):
            taken = next(
                (s.get("taken") for s in _listed(device.get("sensors")) if isinstance(s, Mapping)), ""
            )
            name = f"{device.get('source')}:{device.get('device')}"
            found[_metered(name, str(taken or ""), str(device.get("reason") or ""))] = None
    return listing(list(found)) + "." if found else ""


@lru_cache(maxsize=1024)
def _metered(name: str, taken: str, reason: str) -> str:
    said = f" ({line(taken, 300)})" if taken else ""
    return line(name, 200) + said + (f", not metered: {line(reason, 300)}" if reason else "")


def _soak(ok: Sequence[Trial]) -> str:
    """Say whether the devices were warmed before the sweep, by what the records hold."""
    found = [s for t in ok for r in t.result.records if isinstance(s := r.evidence.get("soak"), Mapping)]
    done = [s for s in found if s.get("done") is True]
    why = sorted({line(s.get("reason"), 80) for s in found if s.get("done") is not True})
    if not done:
        return f"None before the sweep: {listing(why)}." if why else "None before the sweep is recorded."
    seconds = max((s for d in done if (s := number(d.get("seconds"))) is not None), default=0.0)
    steady = all(d.get("steady") is True for d in done)
    text = f"Before the sweep the device was warmed for {quantity(seconds, 's').text}"
    text += ", until its speed was steady." if steady else "; its speed did not become steady."
    return text + (f" Not so where {listing(why)}." if why else "")


def _replicas(ok: Sequence[Trial]) -> str:
    counts = sorted({t.result.replicas_ok for t in ok})
    if not counts:
        return "None finished."
    span = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"Here {span} finished per trial."


def _clock(ok: Sequence[Trial]) -> str:
    ticks = sorted(
        {v for t in ok for r in t.result.records if isinstance(v := r.evidence.get("tick_ns"), int | float)}
    )
    text = (
        "Host time by a monotonic clock, device time by events on its stream; one never stands for the other."
    )
    if not ticks:
        return text + " The tick was not recorded."
    shown = listing([quantity(v * 1e-9, "s").text for v in ticks], 4)
    return text + f" The timer's tick, probed at each trial: {shown}."
