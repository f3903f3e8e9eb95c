"""The scenarios are plans that hold: every cell possible, in the full size and in a small one."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.plan import make_plan

FOLDER = Path(__file__).parents[2] / "conf" / "experiment"
SCENARIOS = (
    "support_chat", "document_summary", "news_sentiment", "medical_imaging", "driving_perception",
    "recommendation", "machine_translation", "edge_device",
)  # fmt: skip


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_refuses_no_cell_and_says_what_it_asks(name):
    """Its file names the question; its plan has several trials, none of them impossible."""
    assert "# Asks: " in (FOLDER / f"{name}.yaml").read_text()
    plan = make_plan([f"+experiment={name}", "device=cpu"])
    assert plan.sweep == name
    assert len(plan.trials) > 3
    assert [trial.refusal for trial in plan.trials] == [None] * len(plan.trials)


def test_a_scenario_s_size_can_be_made_small():
    """The same questions on a laptop."""
    plan = make_plan(["+experiment=recommendation", "device=cpu", "workload.size=tiny"])
    assert {trial.config.workload.size for trial in plan.trials} == {"tiny"}


@pytest.mark.parametrize("name", ["compression", "optimizations", "precisions"])
def test_a_sweep_over_a_group_refuses_only_what_this_device_lacks(name):
    """Each shows what the values of its group buy, beside the plain model."""
    assert "# Asks: " in (FOLDER / f"{name}.yaml").read_text()
    plan = make_plan([f"+experiment={name}", "device=cpu"])
    assert len(plan.runnable) >= 15
    assert all("CUDA" in trial.refusal for trial in plan.refused)
    labels = {trial.label for trial in plan.runnable}
    assert any(label.startswith("gpt tiny decode fp32") for label in labels)
