"""The compatibility matrix: what is possible, what covers it, and the page that shows it."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest

from harness.planning.compatibility import Matrix
from harness.planning.compatibility_page import page
from workloads.compatibility import refusal

DOCS = Path(__file__).parents[3] / "docs" / "compatibility.md"


@pytest.fixture(scope="module")
def matrix():
    """Give the matrix of the CPU."""
    return Matrix("cpu")


@pytest.fixture(scope="module")
def cells(matrix):
    """Give the matrix's covering set."""
    return matrix.covering()


def test_the_covering_set_holds_every_possible_pair(matrix, cells):
    """And none of its cells is refused."""
    held = {frozenset(pair) for cell in cells for pair in combinations(cell.items(), 2)}
    assert all(frozenset(pair) in held for pair in matrix.pairs())
    assert all(refusal(matrix.cell(cell)) is None for cell in cells)
    assert len(cells) < 1500


def test_the_covering_set_is_the_same_every_time(matrix, cells):
    """A failing cell is found again by its number."""
    assert cells == Matrix("cpu").covering()
    assert cells != matrix.covering(1)


def test_early_cells_hold_most(cells):
    """The first tenth of the cells hold far more than a tenth of the pairs."""
    pairs = [{frozenset(p) for p in combinations(cell.items(), 2)} for cell in cells]
    news = [len(pair - set().union(*pairs[:place])) for place, pair in enumerate(pairs[:200])]
    assert news == sorted(news, reverse=True), "none adds more than the one before it"
    first = set().union(*pairs[: len(pairs) // 10])
    assert len(first) > 0.15 * len(set().union(*pairs))


@pytest.mark.parametrize(
    ("choices", "reason"),
    [
        ({"work": "gpt train", "precision": "fp8"}, "CUDA devices only"),
        ({"work": "noop infer", "optimize": "compile"}, "cannot be compiled"),
        ({"work": "gpt decode", "optimize": "checkpoint"}, "need a backward pass"),
        ({"work": "gpt train", "precision": "bf16"}, None),
    ],
)
def test_a_refused_cell_has_its_reason(matrix, choices, reason):
    """The same that `plan` gives."""
    found = matrix.refusal(*choices.items())
    assert found is None if reason is None else reason in found


def test_the_page_in_the_docs_is_the_matrix():
    """A new workload, strategy or compressor is not done before the page says what it works with."""
    assert DOCS.read_text() == page(), (
        "run: python -m harness.planning.compatibility_page > docs/compatibility.md"
    )


@pytest.mark.parametrize(
    ("work", "column", "sign"),
    [
        ("gpt train", "bf16", "●"),
        ("gpt train", "fp8", "○"),
        ("inception infer", "int8_convolution", "◐"),
        ("bert infer", "attention_flash", "◐"),
        ("gpt decode", "checkpoint", ""),
    ],
)
def test_a_sign_tells_where_a_combination_works(work, column, sign):
    """What one device refuses is not promised for it."""
    tables = [table.splitlines() for table in page().split("## ")]
    table = next(t for t in tables if f"| {column} |" in "".join(t[2:3]))
    row = next(line for line in table if line.startswith(f"| {work} |"))
    cells = dict(zip(table[2].split("|"), row.split("|"), strict=True))
    assert cells[f" {column} "].strip() == sign
