"""What is printed: text of records is shown, never obeyed, and JSON is JSON."""

from __future__ import annotations

import json

import pytest

from harness.cli.output import print_json, print_table, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ü 中", "plain ü 中"),
        ("two\nlines\tand a tab", "two lines and a tab"),
        ("\x1b[31mred\x07", "\ufffd[31mred\ufffd"),
        ("left\u202eright\u200b", "left\ufffdright\ufffd"),
        ("::add-mask::5", "\ufffdadd-mask::5"),
        (" \n::error::x ##[warning]", "\ufffderror::x \ufffdwarning]"),
        ("a::b", "a::b"),
        (3.5, "3.5"),
    ],
)
def test_what_would_move_or_colour_a_terminal_is_seen(text, shown):
    """Escapes, reversed text and line ends of a label stay in their cell."""
    assert visible(text) == shown


def test_cells_are_text_and_never_markup(capsys):
    """Brackets of a label are no style; what is None is empty; nothing is folded where nobody watches."""
    long = "x" * 300
    print_table(["name", "value"], [["[bold]a[/bold]", None], [long, 1.5]], title="[red]t")
    title, header, first, second = capsys.readouterr().out.splitlines()
    assert title.strip() == "[red]t"
    assert header.split() == ["name", "value"]
    assert first.strip() == "[bold]a[/bold]"
    assert second.split() == [long, "1.5"]


def test_json_has_no_nan(capsys):
    """No reader is handed what is no JSON; other objects are their text."""
    with pytest.raises(ValueError, match="JSON compliant"):
        print_json({"a": float("nan")})
    capsys.readouterr()
    print_json({"a": {1}, "ü": None})
    assert json.loads(capsys.readouterr().out) == {"a": "{1}", "ü": None}


def test_json_steers_no_terminal(capsys):
    """Escapes stand for what a terminal would obey; the text that is read back is the same."""
    told = {"label": "a\u202eb\x9b2J\x1b[m\x7f\u200b\U000e0001 ü 中"}
    print_json(told)
    printed = capsys.readouterr().out
    assert all(c.isprintable() or c == "\n" for c in printed)
    assert "ü 中" in printed
    assert json.loads(printed) == told
