"""The numbers behind tables and figures, in files; long tables are paged."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

from harness.report import write
from harness.report.data_files import data_files
from harness.report.document import Cell, Column, Measured, Paragraph, Plot, ReportModel, Row, Section, Table
from harness.report.formats import html, pdf
from harness.report.model import build


def of(*blocks):
    """A model of one section."""
    return ReportModel("t", "s", "2026-01-01T00:00:00Z", "g", (), (Section("x", "X", blocks),), ())


def long_table(n):
    """A table of so many rows."""
    columns = (Column("Name"), Column("Rate", numeric=True))
    rows = tuple(Row((Cell(f"row {i}"), Cell(f"{i}\u00a0k", "0\u20132", float(i)))) for i in range(n))
    return Table("long", "Long", columns, rows)


def test_every_table_and_figure_has_its_numbers_in_files(sweep, tmp_path):
    """CSV and JSON of each, with the values that the page rounds."""
    model = build(sweep, title="x", generated_at="2026-01-01T00:00:00Z")
    write(model, tmp_path, ["md"])
    shown = [b for s in model.sections for b in s.blocks if isinstance(b, Table | Plot)]
    for block in shown:
        json.loads((tmp_path / "data" / f"{block.id}.json").read_text())
        lines = list(csv.reader((tmp_path / "data" / f"{block.id}.csv").open()))
        if isinstance(block, Table):
            assert len(lines) == 1 + len(block.rows)
    ranked = list(csv.DictReader((tmp_path / "data" / "ranked.csv").open()))
    assert "12800.0" in {row["Throughput (value)"] for row in ranked}


def test_a_long_table_is_paged_and_the_file_has_all(tmp_path):
    """The page says how many rows it shows."""
    model = of(long_table(1000))
    write(model, tmp_path, ["html"])
    page = (tmp_path / "report.html").read_text()
    assert page.count("<tr") == 1 + html.MOST_ROWS
    assert f"{html.MOST_ROWS} of 1000 rows; the files have all." in page
    assert len((tmp_path / "data" / "long.csv").read_text().splitlines()) == 1001
    assert len(pdf.render(model)) > 1000


def test_a_measured_number_lies_beside_its_bounds_and_unit():
    """In base units and unrounded; what is missing has a mark and no number."""
    columns = (
        Column("Time", numeric=True),
        Column("Power", numeric=True),
        Column("95 % interval", numeric=True),
    )
    power = Measured(5.0, "W", 4.5, 5.5, part="number")
    held = (Measured(0.0123456, "s", 0.012, 0.013, "flagged", " x"), power, power._replace(part="interval"))
    missing = Cell("\u2013", mark="unavailable")
    files = dict(data_files(of(Table("t", "T", columns, (Row(held), Row((missing,) * 3))))))
    first, second = csv.DictReader(io.StringIO(files["t.csv"].decode()))
    assert first == {
        "Time (value)": "0.0123456", "Time (low)": "0.012", "Time (high)": "0.013", "Time (unit)": "s",
        "Time (mark)": "flagged", "Power (value)": "5.0", "Power (unit)": "W", "Power (mark)": "",
        "95 % interval (low)": "4.5", "95 % interval (high)": "5.5",
    }  # fmt: skip
    assert (second["Time (value)"], second["Time (mark)"]) == ("", "unavailable")
    cell = {"value": 0.0123456, "unit": "s", "low": 0.012, "high": 0.013, "mark": "flagged"}
    assert json.loads(files["t.json"])["rows"][0][0] == cell


def test_no_cell_is_a_formula():
    """A spreadsheet runs nothing of what a record says."""
    table = replace(long_table(0), rows=(Row((Cell("=1+1"), Cell("2", order=2.0))),))
    content = dict(data_files(of(Paragraph("p"), table)))["long.csv"].decode()
    assert next(csv.DictReader(io.StringIO(content)))["Name"] == "'=1+1"


def test_a_wide_table_lies_on_a_page_of_its_own():
    """Fourteen columns of numbers fit no upright page at a size that can be read; three do."""
    few, many = (
        Table("t", "T", (Column("Metric value", numeric=True),) * n, (Row((Cell("123.4 k tokens/s"),) * n),))
        for n in (3, 14)
    )
    landscape, size, widths = pdf.table_layout(few)
    assert (landscape, size) == (False, pdf.LARGEST_PT)
    landscape, size, widths = pdf.table_layout(many)
    assert landscape
    assert pdf.LEAST_PT <= size < pdf.LARGEST_PT
    assert sum(widths) <= 751.0


def test_no_column_is_narrower_than_its_longest_word():
    """A name of one word beside many numbers keeps its room, and the rest goes to the words that wrap."""
    columns = (Column("Configuration"), Column("Where"), *(Column("Latency p90", numeric=True),) * 6)
    cells = (Cell("bf16"), Cell("a rack with a name of several words"), *(Cell("19.1 ms"),) * 6)
    landscape, size, widths = pdf.table_layout(Table("t", "T", columns, (Row(cells),)))
    assert not landscape
    assert widths[0] >= pdf.EM * pdf.BOLD * len("Configuration") * size
    assert widths[1] > pdf.EM * pdf.MOST_WORDS * size
    assert sum(widths) <= 504.0
