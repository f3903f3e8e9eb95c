"""The section that the report begins with, and what was asked when it was drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.report.document import Block, Section
from harness.report.sections.answer import Answer, answer_blocks
from harness.report.sections.cost import Costs
from harness.report.sections.explanation import Explained, explanation_blocks
from harness.report.sections.front import front_figure
from harness.report.sections.overview import Chances, overview_table
from harness.report.sections.question import AskedLimits
from harness.report.sections.speed import SpeedTest
from harness.report.trials import Trial

MOST_EXPLANATIONS = 6


@dataclass(frozen=True, slots=True)
class Decision:
    """What the reader asked, and what the records answer; all of it plain data."""

    answer: Answer | None = None
    """To a requirements file."""
    limits: AskedLimits = field(default_factory=AskedLimits)
    chances: Chances = field(default_factory=dict)
    explanations: Sequence[Explained] = ()


def answer_section(
    tests: Sequence[tuple[Sequence[Trial], SpeedTest]],
    asked: Decision,
    costs: Costs,
) -> Section:
    """Return the answer to what was asked, the best of each workload, and one figure of what they trade."""
    blocks: list[Block] = list(answer_blocks(asked.answer)) if asked.answer is not None else []
    members = [group for group, _ in tests]
    overview = overview_table(tests, asked.limits, asked.chances, costs)
    if overview is not None:
        blocks.append(overview)
    wanted = {str(o["trial_id"]) for o in (asked.answer or {}).get("options", ())}
    shown = next((g for g in members if wanted & {t.result.trial_id for t in g}), None)
    figure = front_figure(shown if shown is not None else max(members, key=len, default=[]), costs)
    if figure is not None:
        blocks.append(figure)
    return Section("answer", "The answer", tuple(blocks))


def explanation_section(explanations: Sequence[Explained]) -> Section:
    """Say why the faster of each pair is faster."""
    blocks: list[Block] = []
    for number, each in enumerate(explanations[:MOST_EXPLANATIONS]):
        blocks += explanation_blocks(each, number)
    return Section("why", "Why it is faster", tuple(blocks))
