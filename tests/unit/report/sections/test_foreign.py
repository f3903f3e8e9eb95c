"""Results of other tools: a table apart from ours, in every format, and nothing of ours changed by it."""

from __future__ import annotations

import io

import pypdf
import pytest

from harness.records.foreign import ForeignFile, ForeignResult
from harness.report import build, write
from harness.report.sections.foreign import MOST_ROWS, TITLE, foreign_section

WHEN = "2025-03-04T05:06:07Z"


def _file(results: int = 1, name: str = "matmul") -> ForeignFile:
    found = tuple(
        ForeignResult(name=f"{name} {i}", metric="mean", value=0.25, unit="s", comparable_to="iteration.mean")
        for i in range(results)
    )
    return ForeignFile(source="pytest-benchmark", file="theirs.json", sha256="a" * 64, results=found)


def test_every_format_has_the_table_with_its_labels(make_measured, tmp_path) -> None:
    """Tool, file, result, metric, value, unit and our metric of that kind; text of the file is escaped."""
    model = build(
        [make_measured("gpt", "train", "fp32", 5e3)], title="t", generated_at=WHEN, foreign=[_file(1, "<b>x")]
    )
    html, pdf, md = (path.read_bytes() for path in write(model, tmp_path, ("html", "pdf", "md")))
    pdf_text = "".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(pdf)).pages)
    for text in (html.decode(), pdf_text, md.decode()):
        section = text[text.rindex(TITLE.split(":")[0]) :] if text is pdf_text else text
        assert "unverified, without intervals" in text
        for word in ("pytest-benchmark", "theirs.json", "0.25"):
            assert word in section
    assert b"<b>x" not in html
    assert b"&lt;b&gt;x 0" in html
    assert "| Iteration time |" in md.decode()


def test_nothing_of_ours_changes_beside_it(make_measured) -> None:
    """Every other section is the same, and stands in the same order."""
    ours = [make_measured("gpt", "train", p, 5e3) for p in ("fp32", "bf16")]
    plain = build(ours, title="t", generated_at=WHEN)
    with_foreign = build(ours, title="t", generated_at=WHEN, foreign=[_file()])
    assert [s for s in with_foreign.sections if s.id != "foreign"] == list(plain.sections)
    assert with_foreign.tiles == plain.tiles


@pytest.mark.parametrize(
    ("results", "rows", "said"), [(0, 0, ""), (3, 3, ""), (MOST_ROWS + 7, MOST_ROWS, "7 more")]
)
def test_a_long_file_is_cut_and_says_so(results: int, rows: int, said: str) -> None:
    """Nothing imported is no section; beyond the limit the rest is counted."""
    blocks = foreign_section([_file(results)]).blocks
    assert sum(len(b.rows) for b in blocks if b.kind == "table") == rows
    assert said in (blocks[-1].text if blocks and blocks[-1].kind == "paragraph" else "")
    assert bool(blocks) == bool(results)
