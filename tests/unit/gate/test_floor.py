"""The noise floor: what A/A sessions scatter by, and how often they claim a difference."""

from __future__ import annotations

import math

import pytest

from harness.gate.floor import noise_floor
from harness.gate.policy import Policy
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
