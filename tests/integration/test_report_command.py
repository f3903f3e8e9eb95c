"""`joulemark report`: what holds now, from records alone."""

import json

from harness.records.schema import Record
from harness.records.store import open_store


def test_results_of_earlier_code_are_left_out_and_said(joulemark):
    """A trial measured by two codes stands once in the report, by the later; the other is counted."""
    assert joulemark("run", "workload=noop", *joulemark.TINY).returncode == 0
    (path,) = (joulemark.folder / "results/noop").glob("*/*/*/record.json")
    record = json.loads(path.read_text())
    record |= {
        "code_id": "0" * 16,
        "started_at": "2001-01-01T00:00:00Z",
        "replica": 1,
        "label": "the old one",
    }
    open_store(joulemark.folder / "results").write(Record.model_validate_json(json.dumps(record)))
    done = joulemark("report", "noop", "--format", "md", "-o", "out")
    assert done.returncode == 0, done.stderr
    text = (joulemark.folder / "out/report.md").read_text()
    assert "the old one" not in text
    assert "1 results of earlier code" in text


def test_drawing_again_gives_the_same_bytes(joulemark):
    """A report is a function of its records: two drawings are equal, PDF included."""
    assert joulemark("run", "workload=noop", *joulemark.TINY).returncode == 0
    for folder in ("one", "two"):
        assert joulemark("report", "noop", "-o", folder).returncode == 0
    for name in ("report.html", "report.pdf", "report.md"):
        one, two = ((joulemark.folder / folder / name).read_bytes() for folder in ("one", "two"))
        assert one == two
