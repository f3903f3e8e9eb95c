"""Every fault of a file is one line with the file's name, and of the type that says what kind it was."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ValidationError

from harness.records.errors import faults_of, first_fault, kind_and_words, one_line


class Row(BaseModel):
    delta: float


class Form(BaseModel):
    rows: list[Row]


def test_an_error_is_one_line_of_bounded_length():
    """Whatever stands in it."""
    assert one_line(ValueError("a\n  b\tc")) == "a b c"
    assert len(one_line(ValueError("x" * 1000))) == 300
    assert kind_and_words(KeyError("k")) == "KeyError: 'k'"


def test_a_fault_of_validation_is_named_by_its_place():
    """The value itself, which a stranger wrote, is not repeated."""
    with pytest.raises(ValidationError) as refused:
        Form.model_validate({"rows": [{"delta": 1}, {"delta": "<script>"}]})
    assert first_fault(refused.value).startswith("rows.1.delta: Input should be a valid number")
    assert "script" not in first_fault(refused.value)
    with pytest.raises(ValidationError) as refused:
        Form.model_validate("text")
    assert first_fault(refused.value).startswith("the file: ")


def test_a_thousand_faults_are_counted():
    """Each would be a kilobyte of words of which one line is shown."""
    with pytest.raises(ValidationError) as refused:
        Form.model_validate({"rows": [{"delta": "x"}] * 1001})
    assert first_fault(refused.value) == "1001 faults"


def nested():
    """Go too deep."""
    return nested()


@pytest.mark.parametrize(
    ("read", "kind", "said"),
    [
        (lambda path: path.read_text(), OSError, "No such file or directory"),
        (lambda _path: int("x"), ValueError, "invalid literal"),
        (lambda _path: Form.model_validate({}), ValueError, "rows: Field required"),
        (lambda _path: nested(), ValueError, "nested too deeply"),
    ],
)
def test_what_goes_wrong_while_a_file_is_read_has_its_name(tmp_path, read, kind, said):
    """So that a folder of a thousand says which."""
    path = tmp_path / "gone.json"
    with pytest.raises(kind) as raised, faults_of(path):
        read(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert said in str(raised.value)
