"""The scenarios are plans that hold: every cell possible, in the full size and in a small one."""

from __future__ import annotations

import pytest

from harness.planning.plan import make_plan

SCENARIOS = (
    "support_chat", "document_summary", "news_sentiment", "medical_imaging", "driving_perception",
    "recommendation", "machine_translation", "edge_device",
)  # fmt: skip


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_refuses_no_cell_and_says_what_it_asks(name):
    """It states question and limits; its plan has several trials, none of them impossible."""
    plan = make_plan([f"+experiment={name}", "device=cpu"])
    reports = [trial.config.report for trial in plan.trials]
    assert all(report.question and report.question.endswith("?") for report in reports)
    assert any(report.limits for report in reports)
    assert plan.sweep == name
    assert len(plan.trials) > 3
    assert [trial.refusal for trial in plan.trials] == [None] * len(plan.trials)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_s_size_can_be_made_small(name):
    """The same questions on a laptop; Llama's prompts need their positions in any size."""
    long = ["workload.shape.positions=8192"] if name in {"support_chat", "document_summary"} else []
    plan = make_plan([f"+experiment={name}", "device=cpu", "workload.size=tiny", *long])
    assert {trial.config.workload.size for trial in plan.trials} == {"tiny"}
    assert not plan.refused


@pytest.mark.parametrize("name", ["compression", "optimizations", "precisions"])
def test_a_sweep_over_a_group_refuses_only_what_this_device_lacks(name):
    """Each shows what the values of its group buy, beside the plain model."""
    plan = make_plan([f"+experiment={name}", "device=cpu"])
    assert all(trial.config.report.question for trial in plan.trials)
    assert len(plan.runnable) >= 15
    assert all("CUDA" in trial.refusal for trial in plan.refused)
    labels = {trial.label for trial in plan.runnable}
    assert any(label.startswith("gpt tiny decode fp32") for label in labels)
