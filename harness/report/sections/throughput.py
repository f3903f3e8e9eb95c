"""Throughput: every trial in its rank; of a search for goodput the outcome, for its rates are loads."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from harness.report.document import Block, Item, Items, Paragraph, Section
from harness.report.sections.goodput import Rates, apart, best_run, outcome
from harness.report.sections.plots import limited, plots
from harness.report.sections.ranking import Place, rank
from harness.report.sections.tables import ranked_table
from harness.report.trials import Trial, groups, headline


def throughput_section(ranked: Sequence[Sequence[Place]], level: str) -> Section:
    """Rank the trials of each group, and say of each search what it found.

    Args:
        ranked: Each group's places.
        level: Of the intervals, in words.
    """
    found: list[Rates] = []
    places: list[Sequence[Place]] = []
    for group in ranked:
        searches, rest = apart([p.trial for p in group])
        found += searches
        if rest:
            places.append(rank(rest, headline(rest)) if searches else group)
    blocks: list[Block] = []
    if places:
        blocks.append(ranked_table(places, level))
    if found:
        blocks.append(Items(tuple(_item(rates) for rates in found)))
    if not blocks:
        blocks.append(Paragraph("No trial has a result."))
    by_metric: dict[str, list[Trial]] = defaultdict(list)
    for members in groups([p.trial for group in places for p in group]).values():
        by_metric[headline(members)] += members
    figures = [
        p
        for metric, members in by_metric.items()
        for p in plots(metric.replace(".", "-"), "Throughput", {metric: "throughput"}, members)
    ]
    return Section("throughput", "Throughput", (*blocks, *limited(figures)))


def _item(rates: Rates) -> Item:
    trial = best_run(rates)
    named = " · ".join(part for part in (f"{trial.workload} {trial.mode}", trial.config, trial.where) if part)
    return Item(named, f"{outcome(rates)[1]}.", trial.workload)
