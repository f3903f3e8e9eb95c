"""The policy file: what it says, and one line for what is wrong in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.gate.policy import matches, read_policy


def _read(tmp_path: Path, text: str):
    path = tmp_path / "gate.yaml"
    path.write_text(text)
    return read_policy(path)


def test_a_rule_takes_what_it_does_not_say_from_the_policy_and_the_metric(tmp_path: Path) -> None:
    """The first rule that matches a trial counts; direction is the metric's own."""
    policy = _read(
        tmp_path,
        """
delta: 0.02
metrics:
- {metric: throughput.tokens, trials: "gpt *", delta: 0.05}
- {metric: throughput.tokens, floor: 0.01, required: true}
""",
    )
    gpt, other = policy.rule("throughput.tokens", "gpt tiny"), policy.rule("throughput.tokens", "bert")
    assert (gpt.delta, gpt.floor, gpt.direction, gpt.required) == (0.05, 0.003, "higher", False)
    assert (other.delta, other.floor, other.required) == (0.02, 0.01, True)
    assert policy.rule("energy.token", "gpt tiny") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("metrics: []", "metrics: "),
        ("metrics: [{metric: iteration.mean, dleta: 0.1}]", "metrics.0.dleta: Extra inputs"),
        ("metrics: [{metric: iteration.mean, delta: 2}]", "metrics.0.delta: "),
        ("metrics: [{metric: iteration.maen}]", "metrics.0.metric: no metric 'iteration.maen'"),
        ("metrics: [{metric: iteration.mean, direction: higher}]", "metrics.0.direction: iteration.mean is"),
        ("metrics: [{metric: time.warmup}]", "metrics.0.direction: time.warmup has none"),
        ("metrics: [{metric: loss.last}]", "loss.last may be zero or negative"),
        ("just words", "the file: "),
        ("metrics: [", "line 1 is not YAML"),
        ("metrics: !!python/object/apply:os.getcwd []", "is not YAML"),
        ("\x00", "is not YAML"),
        ("[" * 5000, ""),
    ],
)
def test_a_malformed_policy_is_one_line_with_file_and_field(tmp_path: Path, text: str, said: str) -> None:
    """Whatever is wrong is a ValueError that names both."""
    with pytest.raises(ValueError) as caught:
        _read(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'gate.yaml'}:")
    assert said in str(caught.value)


def test_a_policy_that_is_not_there_is_an_error_with_its_name(tmp_path: Path) -> None:
    """The path is in the message."""
    with pytest.raises(OSError, match=r"gone\.yaml: No such file"):
        read_policy(tmp_path / "gone.yaml")


@pytest.mark.parametrize(
    ("label", "pattern", "same"),
    [
        ("t.py::test_mm[256]", "t.py::test_mm[256]", True),
        ("t.py::test_mm2", "t.py::test_mm[256]", False),
        ("t.py::test_mm[256]", "t.py::test_mm[*]", True),
        ("t.py::test_mm[256]", "t.py::test_mm[[]256]", True),
        ("t.py::test_mm[a-b]", "*[a-b]", True),
        ("t.py::test_mm[512]", "t.py::test_mm[256]", False),
        ("t.py::test[x[0]]", "t.py::test[x[0]]", True),
        ("gpt tiny train fp32", "gpt * train *", True),
    ],
)
def test_a_label_copied_from_our_output_matches_itself(label: str, pattern: str, same: bool) -> None:
    """Brackets stand for themselves: tests' labels have them."""
    assert matches(label, pattern) is same
