"""`plan --json` between versions: `ab`, `gate` and `bisect` let other checkouts plan their own side.

`tests/golden/plans.json` is what commit c26ec0a answered, its machine shortened.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.cli import main
from harness.comparison import sides
from harness.identity import fingerprint

CONTRACT = json.loads((Path(__file__).parents[2] / "golden" / "plans.json").read_text())
RENAMED = {"foretold_s": "estimated_s"}
"""Fields that no version read from another's plan."""


@pytest.fixture
def answers(monkeypatch):
    """Let another interpreter answer; return the commands that it was given."""
    asked = []

    def answer(plan):
        def run(command, **_options):
            asked.append(command)
            return SimpleNamespace(stdout=json.dumps(plan), stderr="", returncode=0)

        started = SimpleNamespace(run=run, TimeoutExpired=subprocess.TimeoutExpired)
        monkeypatch.setattr(sides, "subprocess", started)
        return asked

    return answer


def side(*overrides):
    """Plan a side in another interpreter."""
    return sides.make_side("base", overrides, sides.Environment("/opt/python"), [])


def test_a_plan_of_an_earlier_version_is_read(answers):
    """The trial keeps the ids and the configuration that its own code gave it."""
    sent = CONTRACT["runs"]
    (trial,) = sent["trials"]
    answers(sent)
    found = side(*trial["overrides"])
    assert (found.trial.work_id, found.trial.trial_id) == (trial["work_id"], trial["trial_id"])
    assert (found.trial.label, dict(found.trial.size)) == (trial["label"], trial["size"])
    assert found.trial.payload == trial["config"]
    assert found.trial.config.measure.replicas == trial["replicas"]
    assert found.identity.code == sent["code"]
    assert found.identity.code_id == fingerprint.code_id(sent["code"])


def test_a_refusal_of_an_earlier_version_is_told(answers):
    """In its own words."""
    answers(CONTRACT["refused"])
    with pytest.raises(ValueError, match="base cannot run: int8_dynamic has no meaning in mode train"):
        side("workload=mlp")


def test_a_later_versions_plan_is_read(answers):
    """A field, a key and a section that this version does not know are no error."""
    sent = json.loads(json.dumps(CONTRACT["runs"]))
    sent["priority"] = sent["trials"][0]["colour"] = sent["trials"][0]["config"]["measure"]["later"] = 3
    sent["trials"][0]["config"]["network"] = {"name": "none"}
    answers(sent)
    found = side("workload=mlp")
    assert found.trial.payload == sent["trials"][0]["config"], "its worker gets what its plan said"


def test_another_version_is_asked_in_words_that_it_knows(answers):
    """The command that c26ec0a answered."""
    asked = answers(CONTRACT["runs"])
    side("workload=mlp", "device=cpu")
    words = ["-m", "harness.cli", "plan", "--json", "--", "workload=mlp", "device=cpu"]
    assert asked == [["/opt/python", *words]]


@pytest.mark.parametrize("name", sorted(CONTRACT))
def test_an_earlier_version_finds_what_it_reads(name, capsys):
    """Today's answer to the same words holds every field, of the same kind, and the same identities."""
    sent = CONTRACT[name]
    (trial,) = sent["trials"]
    assert main(["plan", "--json", "--", *trial["overrides"]]) == (2 if trial["refusal"] else 0)
    now = json.loads(capsys.readouterr().out)
    assert {RENAMED.get(key, key) for key in sent} <= set(now)
    assert missing(sent["code"], now["code"]) == []
    (planned,) = now["trials"]
    assert missing(trial, planned) == []
    same = ("label", "work_id", "trial_id", "overrides", "size")
    assert {key: planned[key] for key in same} == {key: trial[key] for key in same}
    # What is refused stays refused; in which modes it would work may have become more.
    now, then = (str(found["refusal"]).partition("; it has in")[0] for found in (planned, trial))
    assert now == then


def missing(sent, now, place=""):
    """Return the places in what was sent that are no longer there, or of another kind."""
    if not isinstance(sent, dict):
        fits = sent is None or now is None or isinstance(now, type(sent))
        return [] if fits else [place]
    if not isinstance(now, dict):
        return [place]
    lost = [f"{place}.{key}" for key in sent if key not in now]
    return lost + [
        one for key in sent if key in now for one in missing(sent[key], now[key], f"{place}.{key}")
    ]
