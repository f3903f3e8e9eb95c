"""Lengths: distributions with known medians, and a user's trace."""

import json

import numpy as np
import pytest

from harness.serving.lengths import Length, fixed, from_jsonl, log_normal

UNTIMED = '{"prompt_tokens": 1, "output_tokens": 1}'


def test_log_normal_lengths_have_their_medians_and_spread():
    """Median and standard deviation of the logarithm, within five standard errors."""
    made = log_normal(20_000, prompt_tokens=500, output_tokens=100, sigma=0.5, longest=10**6, seed=5)
    for asked, lengths in ((500, [m.prompt_tokens for m in made]), (100, [m.output_tokens for m in made])):
        logs = np.log(lengths)
        assert np.median(logs) == pytest.approx(np.log(asked), abs=5 * 1.25 * 0.5 / 20_000**0.5)
        assert logs.std() == pytest.approx(0.5, abs=5 * 0.5 / 40_000**0.5)


def test_no_request_is_longer_than_the_model():
    """Prompt and answer share the positions, and each keeps one at least."""
    made = log_normal(2000, prompt_tokens=60, output_tokens=60, sigma=2.0, longest=64, seed=0)
    assert max(m.prompt_tokens + m.output_tokens for m in made) == 64
    assert min(min(m.prompt_tokens, m.output_tokens) for m in made) >= 1


def test_fixed_lengths_are_equal():
    """No seed, no spread."""
    assert fixed(3, prompt_tokens=8, output_tokens=2) == (Length(8, 2),) * 3


def test_a_trace_is_read_in_both_spellings(tmp_path):
    """Ours in seconds, the published traces' in milliseconds; blank lines and other keys do not matter."""
    ours, theirs = tmp_path / "ours.jsonl", tmp_path / "theirs.jsonl"
    ours.write_text('{"prompt_tokens": 5, "output_tokens": 7}\n\n{"prompt_tokens": 1, "output_tokens": 2}\n')
    theirs.write_text(
        json.dumps({"timestamp": 1500, "input_length": 9, "output_length": 3, "hash_ids": [1]}) + "\n"
    )
    assert from_jsonl(ours) == (Length(5, 7), Length(1, 2))
    assert from_jsonl(theirs) == (Length(9, 3, 1.5),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no request"),
        ("[1, 2]", ":1: not a JSON object"),
        ('{"prompt_tokens": 5}', "output_tokens"),
        ('{"prompt_tokens": 0, "output_tokens": 1}', "prompt_tokens must be"),
        ('{"prompt_tokens": true, "output_tokens": 1}', "prompt_tokens must be"),
        ('{"prompt_tokens": 1, "output_tokens": 1, "arrival_s": -1}', "arrival_s must be"),
        ('{"prompt_tokens": 1, "output_tokens": 1, "arrival_s": NaN}', "arrival_s must be"),
        (f'{UNTIMED}\n{{"input_length": 1, "output_length": 1, "timestamp": 1}}', "some requests"),
        ("{", ":1: "),
        ("[" * 100_000, ":1: "),
    ],
)
def test_a_bad_trace_names_its_line(tmp_path, text, said):
    """One line that says where."""
    path = tmp_path / "bad.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match=said) as error:
        from_jsonl(path)
    assert "bad.jsonl" in str(error.value)
