"""`audit` measures a sample of what the user plans and the bundle has, and holds the records to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from standins import honest

from harness.bundles.archive import write_bundle
from harness.cli import main
from harness.cli.commands import audit
from harness.planning.plan import Plan
from harness.records.estimates import trial_results
from harness.records.store import Store, open_store

WORDS = honest.WORDS


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Return an honest bundle of two trials."""
    store = open_store(tmp_path / "theirs")
    honest.write_sweep(store, honest.plan())
    write_bundle(store, ["demo"], tmp_path / "demo.tar")
    return tmp_path / "demo.tar"


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let every sampled trial take so many times as long as recorded; return what was measured."""
    plans: list[Plan] = []

    def slower(by: float) -> list[Plan]:
        def measure(plan: Plan, _store: Store) -> Any:
            plans.append(plan)
            store = open_store(tmp_path / "mine" / str(len(plans)))
            whole = honest.write_sweep(store, honest.plan(plan.sweep), shape=lambda ns: ns * by)
            names = {t.trial_id for t in plan.trials}
            return trial_results(r for r in whole if r.trial_id in names)

        monkeypatch.setattr(audit, "measure_again", measure)
        return plans

    return slower


@pytest.mark.parametrize(
    ("by", "code", "label"), [(1.0, 0, "equivalent"), (1.1, 3, "worse"), (0.9, 0, "better")]
)
def test_the_recorded_numbers_are_held_to_what_is_measured(
    bundle: Path, measured: Any, by: float, code: int, label: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Equal durations agree; what was recorded a tenth too fast is worse when it is measured again."""
    measured(by)
    assert main(["audit", str(bundle), "--trials", "2", "--seed", "a1", "--json", *WORDS]) == code
    told = json.loads(capsys.readouterr().out)
    assert [t["verdict"] for t in told["trials"]] == [label] * 2
    assert told["exit_code"] == code


def test_the_sample_is_drawn_by_the_seed_from_the_users_plan(
    bundle: Path, measured: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same word draws the same trials; without one it is random and printed."""
    plans = measured(1.0)
    for seed in ("a", "a", "b", "c", "d", "e"):
        assert main(["audit", str(bundle), "--trials", "1", "--seed", seed, *WORDS]) == 0
    drawn = [plan.trials[0].label for plan in plans]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) == 2
    capsys.readouterr()
    assert main(["audit", str(bundle), *WORDS]) == 0
    said = capsys.readouterr().out
    assert "2 trials, chosen by --seed " in said
    assert plans[-1].sweep.startswith("audit-")


def test_nothing_is_measured_of_what_contradicts_itself_or_is_not_planned(
    bundle: Path, measured: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line each; the bundle's configuration is not even looked at for what to run."""
    plans = measured(1.0)
    assert main(["audit", str(bundle), "workload=noop", "device=cpu"]) == 2
    assert "plan no work that the bundle has: it has mlp" in capsys.readouterr().err
    store = open_store(tmp_path / "theirs")
    (record, *_) = store.records("demo")[0]
    honest.edit(honest.path_of(store, record), lambda r: r["metrics"][0].update(value=1e9))
    write_bundle(store, ["demo"], bundle)
    assert main(["audit", str(bundle), *WORDS]) == 1
    assert "inconsistent: nothing was measured" in capsys.readouterr().out
    assert plans == []
