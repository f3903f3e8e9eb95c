"""The noise floor: what A/A sessions scatter by, and how often they claim a difference."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from harness.gate.floor import noise_floor, read_floors
from harness.gate.history import read_history
from harness.gate.policy import Policy
from harness.gate.verdict import judge_history
from harness.records.store import Store

POLICY = Policy.model_validate({"metrics": [{"metric": "iteration.mean"}]})


def test_the_floor_is_the_spread_between_sessions(store: Store, add_night) -> None:
    """Two sessions 2 % apart, one of which claims a difference that is not there."""
    for session, (level, apart) in enumerate([(1.0, 0.0), (1.02, 0.1)]):
        for replica in range(6):
            wobble = math.exp(0.001 * math.sin(replica))
            for side, factor in (("base", wobble), ("head", 1 / wobble * (1 + apart))):
                add_night(0, level * factor, sweep=f"aa-{session}-{side}", replica=replica)
    found = noise_floor(store, "aa-*", POLICY)
    (floor,) = found.floors
    assert floor.sessions == 2
    assert floor.floor == pytest.approx((math.log(1.02) + math.log(1.1) / 2) / math.sqrt(2), rel=0.01)
    assert (floor.false_positives, found.false_positive_rate) == (1, 0.5)
    assert "1 of 2 A/A sessions claimed a difference" in found.lines()[0]


def test_one_session_tells_no_floor(store: Store, add_night) -> None:
    """It is said, not guessed; no session at all gives no rate."""
    for side in ("base", "head"):
        for replica in range(2):
            add_night(0, 1.0 + 0.01 * replica, sweep=f"aa-{side}", replica=replica)
    assert noise_floor(store, "aa", POLICY).floors[0].floor is None
    assert noise_floor(store, "other-*", POLICY).lines() == ["no A/A session"]


def _floors(path: Path, **fields: object) -> Path:
    floor = {"trial": "gpt tiny train", "metric": "iteration.mean", "machine_id": "c" * 32, "floor": 0.05}
    path.write_text(json.dumps({"floors": [floor | fields]}))
    return path


def test_a_measured_floor_stands_for_the_policys(store: Store, add_night, tmp_path: Path) -> None:
    """Six per cent is suspect where nights scatter by 0.3 %, and quiet on this runner, not on another."""
    for number in range(10):
        add_night(number, 1.0)
    add_night(10, 1.06)

    def label(**fields: object) -> str:
        floors = read_floors(_floors(tmp_path / "floors.json", **fields)) if fields else {}
        (series,) = judge_history(read_history(store), POLICY, floors=floors).series
        return series.label

    assert label() == "suspicious"
    assert label(floor=0.05) == "no_regression"
    assert label(machine_id="d" * 32) == "suspicious"
    assert label(floor=None) == "suspicious", "one session tells no floor"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file: Invalid JSON"),
        ("{}", "floors: Field required"),
        ('{"floors": [{"trial": 1}]}', "floors.0.trial: Input should be a valid string"),
        ('{"floors": [{"trial": "a", "metric": "b", "machine_id": "c", "floor": NaN}]}', "floors.0.floor: "),
        ('{"floors": [{"trial": "a", "metric": "b", "machine_id": "c", "floor": -1}]}', "floors.0.floor: "),
    ],
)
def test_malformed_floors_are_told_with_file_and_field(tmp_path: Path, text: str, said: str) -> None:
    """One line."""
    path = tmp_path / "floors.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"floors\.json: ") as error:
        read_floors(path)
    assert said in str(error.value)
