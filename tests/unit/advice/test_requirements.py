"""What a buyer may write wrongly is one line that says what to write."""

from __future__ import annotations

import pytest

from harness.advice.requirements import Requirements, load_requirements


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("work: gpt tiny decode", "name it by its parts, e.g. `{workload: gpt, size: tiny, mode: decode}`"),
        ("fleet: {budget: 1000 EUR}", "the price file names the currency; write 1000 alone"),
        ("fleet: {budget: 0}", "greater than 0"),
        ("limits: {latency.p90: 0}", "latency.p90: a limit is above 0, not 0"),
        ("load: {tokens_per_second: -5}", "load: tokens_per_second: -5 is no amount above 0"),
        ("load: {tokens_per_second: 1e300}", "load: tokens_per_second: 1e300 is no amount above 0 and up to"),
        ("load: {tokens_per_second: .nan}", "load: tokens_per_second: nan is no amount above 0"),
        ("load: a lot", "load: write as much as possible, or one entry"),
        ("limits: [latency.p90]", "limits: a mapping is needed"),
        ("workload: gpt", "workload: no such key here"),
        ("limits: {latency.p90: 3 W}", "latency.p90 is in s, not in W"),
        ("question: " + "a" * 500, "question: longer than 400 characters"),
    ],
)
def test_a_wrong_line_is_named_with_what_to_write(tmp_path, text, said):
    """Each names the key and the way out."""
    path = tmp_path / "asked.yaml"
    path.write_text(text + "\n")
    with pytest.raises(ValueError, match=r"asked\.yaml") as found:
        load_requirements(path)
    assert said in str(found.value)


def test_amounts_have_their_units():
    """A budget in thousands and a limit in milliseconds are plain numbers in base units."""
    needs = Requirements(fleet={"budget": "250 k"}, limits={"latency.p90": "20 ms"})
    assert needs.fleet.budget == 250e3
    assert needs.limit("latency.p90") == 0.02


@pytest.mark.parametrize("text", ["e" * 300_000 + "!", "9" * 300_000 + "!", "1" + " " * 300_000 + "!"])
def test_an_amount_of_many_characters_is_none(text):
    """A pattern that tries each split of it would not end."""
    with pytest.raises(ValueError, match=r"fleet\.power"):
        Requirements(fleet={"power": text})
