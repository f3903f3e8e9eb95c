"""The commands of a report run exactly its trials."""

from __future__ import annotations

import itertools
import shlex

import pytest

from harness.report.sections.reproduce import commands
from harness.report.trials import trials


def expand(commands_):
    """Every trial that command lines would run, by Hydra's rule for commas."""
    found = []
    for command in commands_:
        words = shlex.split(command)
        assert words[:2] == ["joulemark", "run"]
        axes = [[(k, v) for v in values.split(",")] for k, _, values in (w.partition("=") for w in words[2:])]
        found += [frozenset(cell) for cell in itertools.product(*axes)]
    return found


def with_overrides(make_trial, cells):
    """Trials that keep these overrides."""
    return trials(
        [make_trial(config={"overrides": [f"{k}={v}" for k, v in c.items()]}, identity=c) for c in cells]
    )


@pytest.mark.parametrize("left_out", [(), (0,), (1, 4), (0, 1, 2, 3, 8)])
def test_commands_cover_every_trial_and_no_other(make_trial, left_out):
    """Merged into as few lines as the grid allows, the lines expand to exactly the trials given."""
    grid = [
        {"workload": w, "workload.mode": m, "precision": p}
        for w in ("gpt", "bert", "mlp")
        for m in ("train", "infer")
        for p in ("fp32", "bf16")
    ]
    cells = [c for i, c in enumerate(grid) if i not in left_out]
    lines = commands(with_overrides(make_trial, cells))
    expanded = expand(lines)
    assert sorted(map(sorted, expanded)) == sorted(sorted(c.items()) for c in cells)
    assert len(lines) < len(cells)
    assert left_out or len(lines) == 1


@pytest.mark.parametrize("experiment", ["demo", "faults"])
def test_an_experiments_commands_plan_its_very_trials(make_trial, experiment):
    """The real planner gives the same trials for the report's commands as for the experiment."""
    from harness.planning.plan import make_plan

    planned = make_plan([f"+experiment={experiment}"]).trials
    kept = [make_trial(config={"overrides": list(t.overrides)}, identity=t.trial_id) for t in planned]
    again = {
        trial.trial_id
        for command in commands(trials(kept))
        for trial in make_plan(shlex.split(command)[2:]).trials
    }
    assert again == {t.trial_id for t in planned}


def test_where_the_records_went_is_left_out(make_trial):
    """A results folder of the machine that measured is no part of how to reproduce."""
    lines = commands(with_overrides(make_trial, [{"workload": "gpt", "run.results": "/mnt/x"}]))
    assert lines == ["joulemark run workload=gpt"]


def test_hostile_overrides_stand_in_no_command(make_trial):
    """A value that would run a command or open a file is left out, and its key is named."""
    hostile = {"workload.data": "$(touch x); `id` \n rm", "power.devices": "[command:theirs]", "seed": "1"}
    lines = commands(with_overrides(make_trial, [hostile]))
    assert shlex.split(lines[0]) == ["joulemark", "run", "seed=1"]
    assert lines[1:] == [
        f"# not taken from records, give it yourself: {key}" for key in ("power.devices", "workload.data")
    ]
    assert "\n" not in lines[0]


def test_a_long_list_says_how_much_is_left_out(make_trial):
    """Lines are bounded, and the last one counts the others."""
    cells = [{"seed": i, "device.index": i} for i in range(100)]
    lines = commands(with_overrides(make_trial, cells))
    assert len(lines) == 61
    assert lines[-1].startswith("# and 40 more")
