"""Build the report's model from results: every text and number is decided here, once, for all formats."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

import harness
from harness.records.foreign import ForeignFile
from harness.records.results import TrialResult
from harness.report.document import Block, Code, Item, Items, Paragraph, Plot, ReportModel, Section, Table
from harness.report.sections import failures, reproduce, tables, verdict
from harness.report.sections.busy_host import busy_host
from harness.report.sections.cost import Costs, cost_section
from harness.report.sections.decision import Decision, answer_section, explanation_section
from harness.report.sections.foreign import foreign_section
from harness.report.sections.gains import gains_section
from harness.report.sections.method import level_text, method_section
from harness.report.sections.omissions import omissions_section
from harness.report.sections.plots import drawable, limited, plots
from harness.report.sections.question import question_section
from harness.report.sections.ranking import Place, rank
from harness.report.sections.roofline import certificate_section, roofline_section
from harness.report.sections.scaling import scaling_section
from harness.report.sections.serving import serving_section
from harness.report.sections.side_by_side import side_by_side_section
from harness.report.sections.speed import SpeedTest
from harness.report.sections.systems import device_section, machine_section, software_section
from harness.report.sections.tables import metric_table
from harness.report.sections.throughput import throughput_section
from harness.report.text import line, listing, plural
from harness.report.trials import Trial, groups, headline, trials


def build(
    results: Sequence[TrialResult],
    *,
    title: str,
    torn: Sequence[str] = (),
    generated_at: str,
    costs: Costs | None = None,
    foreign: Sequence[ForeignFile] = (),
    decision: Decision | None = None,
) -> ReportModel:
    """Decide everything that the report says.

    Args:
        results: Trials of one or more sweeps and machines.
        title: The report's title.
        torn: One line for each record that could not be read.
        generated_at: UTC, ISO 8601; the same model gives the same bytes.
        costs: For each trial, by `cost_key`, its figures of money and carbon; None is a report without.
        foreign: What other tools measured.
        decision: What was asked when the report was drawn, and what came of it.
    """
    named = trials(results)
    with_result = [t for t in named if t.result.status == "ok"]
    tests = [(m, SpeedTest(m, headline(m))) for m in groups(with_result).values()]
    ranked = [rank(members, test.metric_id, test) for members, test in tests]
    ok = [p.trial for places in ranked for p in places]
    level = level_text(ok)
    sections = [
        *_decided(named, tests, ranked, torn, level, costs or {}, decision or Decision()),
        foreign_section(foreign),
        *_circumstances(named, ok, torn, level),
    ]
    return ReportModel(
        title=line(title, 120),
        subtitle=_subtitle(named),
        generated_at=line(generated_at, 40),
        generator=f"Joulemark {harness.__version__}",
        tiles=_tiles(named),
        sections=tuple(_fitted(s) for s in sections if s.blocks),
        workloads=tuple(dict.fromkeys(t.workload for t in named)),
        notice=busy_host(with_result) or "",
    )


Tests = Sequence[tuple[Sequence[Trial], SpeedTest]]
"""Each group's trials with the test that decides who is faster."""


def _decided(
    named: Sequence[Trial],
    tests: Tests,
    ranked: Sequence[Sequence[Place]],
    torn: Sequence[str],
    level: str,
    costs: Costs,
    asked: Decision,
) -> list[Section]:
    """What was found, the answer first; then what it rests on: ranks, machines, money, energy, scaling."""
    ok = [p.trial for places in ranked for p in places]
    return [
        answer_section(tests, asked, costs),
        _verdict(named, ranked, torn),
        question_section(named, asked.limits),
        throughput_section(ranked, level),
        serving_section(ok),
        side_by_side_section(ok),
        gains_section(ok, verdict.energy(named), [test for _, test in tests]),
        cost_section(ok, costs),
        _energy(ok, named),
        scaling_section(ok),
        _metric_section(tables.LATENCY, ok, _latency_plots(ok)),
        _metric_section(tables.MEMORY, ok, _memory_plots(ok)),
        _metric_section(tables.COMPUTE, ok, []),
        _quality(ok),
        roofline_section(ok),
        explanation_section(asked.explanations),
        _metric_section(tables.STARTUP, ok, []),
        _metric_section(tables.other_table(ok), ok, []),
    ]


def _circumstances(
    named: Sequence[Trial], ok: Sequence[Trial], torn: Sequence[str], level: str
) -> list[Section]:
    """What failed, what was left out, and what the numbers hold for."""
    return [
        failures.failed_section(named),
        failures.refused_section(named),
        omissions_section(ok, torn),
        certificate_section(ok),
        method_section(named, level),
        machine_section(named),
        software_section(named),
        device_section(named),
        _reproduce(named),
    ]


def _subtitle(named: Sequence[Trial]) -> str:
    sweeps = list(dict.fromkeys(line(t.result.sweep, 60) for t in named))
    machines = plural(len({t.result.machine_id for t in named}), "machine")
    return f"{plural(len(sweeps), 'sweep')} ({listing(sweeps)}) on {machines}" if sweeps else ""


def _fitted(section: Section) -> Section:
    return replace(
        section, blocks=tuple(tables.widened(b) if isinstance(b, Table) else b for b in section.blocks)
    )


def _tiles(named: Sequence[Trial]) -> tuple[Item, ...]:
    status = Counter(t.result.status for t in named)
    failed = len(named) - status["ok"] - status["refused"]
    shown = [t.result.estimates.get(headline([t])) for t in named]
    flagged = sum(e is not None and e.validity in {"flagged", "invalid"} for e in shown)
    return tuple(
        Item(term, str(n))
        for term, n in (
            ("trials", len(named)),
            ("ok", status["ok"]),
            ("of them flagged", flagged),
            ("failed", failed),
            ("refused", status["refused"]),
        )
    )


def _verdict(named: Sequence[Trial], ranked: Sequence[Sequence[Place]], torn: Sequence[str]) -> Section:
    blocks: list[Block] = [Paragraph(verdict.outcome(named, torn), "lead")]
    winners = [
        replace(w, workload=places[0].trial.workload)
        for places in ranked
        if (w := verdict.winner(places)) is not None
    ]
    if winners:
        blocks.append(Items(tuple(winners[: verdict.MOST_WINNERS])))
    if len(winners) > verdict.MOST_WINNERS:
        blocks.append(
            Paragraph(f"{len(winners) - verdict.MOST_WINNERS} more groups stand in the ranked table.", "note")
        )
    blocks.append(Paragraph(verdict.energy(named)))
    return Section("verdict", "Verdict", tuple(blocks))


def _metric_section(spec: tables.MetricTable, ok: Sequence[Trial], figures: Sequence[Plot]) -> Section:
    table: Table | None = metric_table(spec, ok)
    return Section(spec.id, spec.title, (table, *limited(figures)) if table is not None else ())


def _quality(ok: Sequence[Trial]) -> Section:
    """The groups in which some trial's error is known, with the throughput that it bought."""
    judged = [
        t
        for members in groups(ok).values()
        if any(
            metric.startswith("quality.") and estimate.value is not None
            for m in members
            for metric, estimate in m.result.estimates.items()
        )
        for t in members
    ]
    return _metric_section(tables.QUALITY, judged, [])


def _latency_plots(ok: Sequence[Trial]) -> list[Plot]:
    """Percentiles; the mean where no trial has enough iterations for them."""
    quantiles = {"latency.p50": "p50", "latency.p90": "p90", "latency.p99": "p99"}
    return plots("latency", "Latency", quantiles, ok) or plots(
        "latency", "Iteration time", {"iteration.mean": "mean"}, ok
    )


def _memory_plots(ok: Sequence[Trial]) -> list[Plot]:
    """The device's own peak where a device has one, the process's resident peak elsewhere."""
    found: list[Plot] = []
    device, host = list[Trial](), list[Trial]()
    for t in ok:
        (host if drawable(t, "memory.peak_allocated") is None else device).append(t)
    for metric, members, axis in (
        ("memory.peak_allocated", device, "Peak memory allocated"),
        ("memory.peak_rss", host, "Peak resident memory"),
    ):
        found += plots(metric.replace(".", "-").replace("_", "-"), axis, {metric: "peak"}, members)
    return found


def _energy(ok: Sequence[Trial], named: Sequence[Trial]) -> Section:
    table = metric_table(tables.ENERGY, ok)
    blocks: list[Block] = [Paragraph(verdict.energy(named))]
    if table is not None:
        figures: list[Plot] = []
        for metric, axis in (
            ("energy.token", "Energy per token"),
            ("energy.sample", "Energy per sample"),
            ("energy.request", "Energy per request"),
        ):
            figures += plots(metric.replace(".", "-"), axis, {metric: "energy"}, ok)
        blocks += [table, *limited(figures)]
    return Section("energy", "Energy and power", tuple(blocks))


def _reproduce(named: Sequence[Trial]) -> Section:
    blocks: list[Block] = []
    by_sweep: dict[str, list[Trial]] = defaultdict(list)
    for t in named:
        by_sweep[t.result.sweep].append(t)
    for sweep, members in by_sweep.items():
        if lines := reproduce.commands(members):
            blocks.append(Code(f"Sweep {line(sweep, 60)}", "\n".join(lines)))
    if not blocks:
        return Section("reproduce", "How to reproduce", (Paragraph("The records keep no overrides."),))
    blocks.insert(
        0,
        Paragraph(
            "With the software named above, these commands run the same trials. What the results folder "
            "already holds is not measured again; run.results=FOLDER names another one."
        ),
    )
    return Section("reproduce", "How to reproduce", tuple(blocks))
