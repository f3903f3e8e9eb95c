"""`joulemark plan --needs`: parameters, FLOPs and least memory beside the plan."""

from __future__ import annotations

import json

from harness.cli import main, plan_warnings
from harness.energy.sensors.none import NullMeter

GPT3 = ("workload=gpt", "workload.size=gpt3", "workload.mode=decode", "workload.batch=1", "device=cpu")


def test_a_plan_tells_what_a_model_needs(capsys):
    """As a table and as JSON; a plan that was not asked says nothing of it."""
    assert main(["plan", "--needs", *GPT3]) == 0
    assert "175 G" in capsys.readouterr().out.replace("\u00a0", " ")
    assert main(["plan", "--needs", "--json", *GPT3]) == 0
    (trial,) = json.loads(capsys.readouterr().out)["trials"]
    assert trial["needs"]["parameters"] == 174_604_259_328
    assert trial["needs"]["least_bytes"] == trial["needs"]["weights_bytes"] + trial["needs"]["kv_cache_bytes"]
    assert main(["plan", "--json", *GPT3]) == 0
    assert "needs" not in json.loads(capsys.readouterr().out)["trials"][0]


def test_a_plan_never_runs_the_user_s_own_model(capsys, tmp_path, monkeypatch):
    """It would have to import it."""
    (tmp_path / "own_needs.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.chdir(tmp_path)
    asked = ["plan", "--needs", "--json", "workload=user", "workload.factory=own_needs:f", "device=cpu"]
    assert main(asked) == 0
    assert json.loads(capsys.readouterr().out)["trials"][0]["needs"] is None


def test_one_model_that_does_not_build_ends_nothing(monkeypatch, capsys):
    """It is named with its reason, and the others have their figures."""
    from workloads.engine import requirements

    count = requirements.needs

    def needs(workload, **settings):
        if workload.spec.name == "lstm":
            raise AttributeError("no backbone_config")
        return count(workload, **settings)

    monkeypatch.setattr(requirements, "needs", needs)
    two = ["workload=mlp,lstm", "device=cpu"]
    assert main(["plan", "--needs", "--json", *two]) == 0
    mlp, lstm = json.loads(capsys.readouterr().out)["trials"]
    assert mlp["needs"]["parameters"] > 0
    assert lstm["needs"] == {"reason": "AttributeError: no backbone_config"}
    assert main(["plan", "--needs", *two]) == 0
    assert "no backbone_config" in capsys.readouterr().out


def test_a_plan_warns_of_a_sensor_and_of_memory_that_are_not_there(capsys, monkeypatch):
    """Both are said before hours are spent; a sensor that was turned off is no news."""
    monkeypatch.setattr(plan_warnings, "resolve", lambda *_: (NullMeter("all", "no sensor: scripted"),))
    monkeypatch.setattr(plan_warnings, "available_memory_bytes", lambda: 2**30)
    assert main(["plan", "--needs", *GPT3]) == 0
    text = " ".join(capsys.readouterr().out.replace("\u00a0", " ").split())
    assert "warning: energy will be unavailable on cpu (no sensor: scripted)" in text
    assert "of memory and 1.00 GiB is there: it will not fit" in text
    assert main(["plan", "--json", *GPT3, "power.sensor=none"]) == 0
    assert json.loads(capsys.readouterr().out)["warnings"] == []
