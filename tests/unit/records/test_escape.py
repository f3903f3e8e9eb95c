"""Text of records is shown, never obeyed, by what renders Markdown."""

import pytest

from harness.records.escape import literal


@pytest.mark.parametrize("char", "\\`*_[]<>|~#&$@!{}")
def test_each_sign_of_markup_is_escaped(char):
    """A backslash before it makes it itself."""
    assert literal(f"a{char}b") == f"a\\{char}b"


def test_a_text_stays_on_its_line_and_in_its_cell():
    """Line breaks become spaces, and other controls a mark that shows that something was there."""
    assert literal("one\ntwo\r\nthree\tfour") == "one two  three four"
    assert literal("bell\x07escape\x1b[31m") == "bell\ufffdescape\ufffd\\[31m"


@pytest.mark.parametrize("start", ["http", "https", "www", "HTTPS"])
def test_an_address_is_no_link(start):
    """A word joiner after its first word keeps it readable and unlinked."""
    end = "." if start == "www" else "://"
    assert literal(f"see {start}{end}example.org") == f"see {start}\u2060{end}example.org"


def test_ordinary_words_are_left_alone():
    """Letters of any script, digits, and signs that mean nothing."""
    assert literal("GPT-2 small, 1.5 größer (50 %): 東京") == "GPT-2 small, 1.5 größer (50 %): 東京"
