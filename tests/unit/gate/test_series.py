"""One series of nights: baselines, levels, suspects and what the pairs make of them."""

from __future__ import annotations

import math
import random

import pytest

from harness.gate.series import Night, baseline, judge_night, last_good
from harness.stats import Comparison, compare


def _quiet(n: int, level: float = 1.0, label: str = "no_regression") -> list[Night]:
    values = random.Random(n)
    return [Night(str(i), level * math.exp(values.gauss(0, 0.003)), label) for i in range(n)]


def _pairs(effect: float) -> Comparison:
    """Twenty-four pairs with this mean effect and little scatter."""
    values = random.Random(0)
    base = [math.exp(values.gauss(0, 0.002)) for _ in range(24)]
    return compare(base, [b * (1 + effect) * math.exp(values.gauss(0, 0.002)) for b in base])


def _judge(nights: list[Night], tonight: float, *effects: float | None, direction: str = "lower"):
    answers = iter(effects)

    def confirm() -> Comparison | None:
        effect = next(answers)
        return None if effect is None else _pairs(effect)

    return judge_night(nights, tonight, confirm, delta=0.01, floor=0.003, direction=direction)


def test_a_quiet_night_measures_no_pairs() -> None:
    """No confirmation is asked for."""
    assert _judge(_quiet(30), 1.002).label == "no_regression"


def test_few_nights_say_nothing() -> None:
    """Before eight nights there is no baseline."""
    judged = _judge(_quiet(5), 1.5)
    assert (judged.label, judged.reason) == ("insufficient_data", "5 accepted nights are too few")


@pytest.mark.parametrize(
    ("effects", "label", "event"),
    [
        ((0.05, 0.05), "regression", None),
        ((0.0,), "environment_shift", None),
        ((0.05, 0.0), "suspicious", None),
        ((None,), "suspicious", None),
        ((-0.05, -0.05), "no_regression", "improvement"),
    ],
)
def test_a_suspect_is_what_two_sets_of_pairs_say(effects, label, event) -> None:
    """One set that shows a change is asked again; none at all leaves it open."""
    judged = _judge(_quiet(30), 1.05, *effects)
    assert (judged.label, judged.event) == (label, event)


def test_direction_tells_a_regression_from_an_improvement() -> None:
    """More throughput is better, less is worse."""
    assert _judge(_quiet(30), 0.95, -0.05, -0.05, direction="higher").label == "regression"
    assert _judge(_quiet(30), 1.05, 0.05, 0.05, direction="higher").event == "improvement"


def test_a_regression_on_the_night_of_another_environment_is_told_apart() -> None:
    """Slower by a tenth and by the code's twentieth: a regression; the code fixed, the tenth is nobody's."""
    nights = _quiet(30)
    assert _judge(nights, 1.155, 0.05, 0.05).label == "regression"
    nights.append(Night("both", 1.155, "regression"))
    for name in ("first", "second"):
        assert _judge(nights, 1.10, 0.0).label == "environment_shift"
        nights.append(Night(name, 1.10, "environment_shift"))
    assert _judge(nights, 1.10).label == "no_regression"
    assert _judge(nights, 1.155, 0.05, 0.05).label == "regression"


def test_what_a_faster_environment_hides_is_found_when_it_is_gone() -> None:
    """That night looks like any other; the first one without the help is measured against older code."""
    nights = _quiet(30)
    assert _judge(nights, 1.0).label == "no_regression"
    nights.append(Night("hidden", 1.0, "no_regression"))
    good = last_good(nights)
    assert good is not None
    assert good.name != "hidden"
    assert _judge(nights, 1.05, 0.05, 0.05).label == "regression"


def test_a_regression_is_called_every_night_until_it_is_mended() -> None:
    """Bad nights do not become the baseline."""
    nights = _quiet(30)
    for i in range(40):
        assert _judge(nights, 1.05, 0.05, 0.05).label == "regression"
        nights.append(Night(f"bad{i}", 1.05, "regression"))


def test_two_nights_of_another_environment_are_the_new_level() -> None:
    """One is left out; two carry the baseline with them, and the old nights' scatter is kept."""
    nights = _quiet(30)
    shifted = Night("x", 1.2, "environment_shift")
    assert max(baseline([*nights, shifted])) < 1.1
    level = baseline([*nights, shifted, shifted])
    assert len(level) == 32
    assert min(level) > 1.15
    assert _judge([*nights, shifted, shifted], 1.201).label == "no_regression"


def test_suspicious_nights_are_no_baseline() -> None:
    """What is not settled is not believed."""
    assert len(baseline([*_quiet(10), Night("s", 3.0, "suspicious")])) == 10


def test_the_good_code_is_two_weeks_back_but_not_before_an_accepted_level() -> None:
    """A regression that was not noticed at once is not in it; a wanted change is not held against tonight."""
    nights = _quiet(30)
    assert last_good(nights).name == "16"
    wanted = [*nights, Night("wanted", 1.1, "regression", "accepted"), Night("next", 1.1, "no_regression")]
    assert last_good(wanted).name == "wanted"
    assert last_good([]) is None
