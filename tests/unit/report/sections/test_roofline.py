"""The roofline section and the certificates: places, reasons, harmless hostile evidence."""

from dataclasses import replace

import pytest

from harness.report import build, write
from harness.report.document import Paragraph, Roofline, Table

WHEN = "2025-03-04T05:06:07Z"
ROOFLINE = {
    "intensity": 50.0,
    "attained_flop_s": 2.0e9,
    "share": 0.25,
    "under": "memory",
    "flop_s": 1.0e11,
    "bandwidth_b_s": 1.6e8,
    "certificate": "0123456789abcdef",
}
CERTIFICATE = {
    "id": "0123456789abcdef",
    "made_at": "2025-03-02T05:06:07Z",
    "quick": False,
    "failed": ["cache.flush"],
    "passed": 9,
    "not_available": 5,
}
BOTTLENECK = {"bound": "memory", "shares": {}, "evidence": ["first", "second", "third", "fourth"]}


def having(result, **evidence):
    """The same trial with more evidence in every record."""
    records = tuple(r.model_copy(update={"evidence": r.evidence | evidence}) for r in result.records)
    return replace(result, records=records)


def section(results, section_id):
    """One section of the report over these trials."""
    found = build(results, title="T", generated_at=WHEN)
    return next(s for s in found.sections if s.id == section_id)


def table(of):
    """The only table of a section."""
    (found,) = [b for b in of.blocks if isinstance(b, Table)]
    return found


def texts(of):
    """All paragraphs of a section as one text."""
    return " ".join(b.text for b in of.blocks if isinstance(b, Paragraph))


def test_a_trial_is_placed_with_its_verdict_and_drawn(make_measured):
    """Intensity, attained rate, share and verdict stand in its row; the marker has the row's number."""
    placed = having(make_measured("gpt", "train", "fp32", 5400.0), roofline=ROOFLINE, bottleneck=BOTTLENECK)
    other = make_measured("gpt", "train", "bf16", 3300.0)
    found = section([placed, other], "roofline")
    (row,) = table(found).rows
    cells = [c.text for c in row.cells]
    assert cells[-5:] == ["50.0", "2.00\u00a0GFLOP/s", "25.0\u00a0%", "memory", "first; second; third"]
    assert row.cells[-3].detail == "under memory"
    (figure,) = [b for b in found.blocks if isinstance(b, Roofline)]
    assert [(m.label, m.intensity, m.attained_flop_s) for m in figure.marks] == [(cells[0], 50.0, 2.0e9)]
    assert (figure.roofs[0].flop_s, figure.roofs[0].bandwidth_b_s) == (1.0e11, 1.6e8)
    assert "1 trial not placed: their records name no ceilings." in texts(found)


def test_without_a_certificate_the_reason_stands_in_place_of_figure_and_table(make_measured):
    """No certificate: no figure, no table, and the words that say what to do."""
    told = {"id": None, "reason": "no certificate holds for this device"}
    trial = having(
        make_measured("gpt", "train", "fp32", 5400.0),
        roofline={"reason": "no certificate holds for this device"},
        certificate=told,
    )
    found = section([trial], "roofline")
    assert [type(b) for b in found.blocks] == [Paragraph]
    assert "1 trial not placed: no certificate holds for this device." in texts(found)
    instrument = section([trial], "instrument")
    assert texts(instrument) == "No certificate held for 3 replicas: no certificate holds for this device."


def test_a_certificate_is_named_with_its_age_and_failed_checks(make_measured):
    """Made two days before the records: 2.0 days; the failed check is named and the row flagged."""
    trial = having(make_measured("gpt", "train", "fp32", 5400.0), certificate=CERTIFICATE)
    (row,) = table(section([trial], "instrument")).rows
    assert [c.text for c in row.cells] == [
        "0123456789abcdef",
        "cpu:0",
        "2025-03-02T05:06:07Z",
        "2.0 days",
        "full: 9 passed, 1 failed, 5 not available",
        "cache.flush",
    ]
    assert row.cells[4].mark == "flagged"


@pytest.mark.parametrize(
    "evidence",
    [
        {"roofline": "text", "certificate": [], "bottleneck": 3, "profile": "text"},
        {"roofline": ROOFLINE | {"intensity": -1.0}, "certificate": {"id": 7, "failed": None}},
        {
            "roofline": ROOFLINE | {"flop_s": "much"},
            "bottleneck": {"bound": None, "evidence": "text"},
            "profile": {"busy_share": 1.0, "operators": 3, "gap_median_ns": "long"},
        },
        {"roofline": ROOFLINE | {"share": True}, "certificate": CERTIFICATE | {"made_at": "yesterday"}},
    ],
)
def test_evidence_of_the_wrong_kind_is_left_out(make_measured, tmp_path, evidence):
    """Records may hold anything: the report is drawn, and nothing is placed by it."""
    trial = having(make_measured("gpt", "train", "fp32", 5400.0), **evidence)
    model = build([trial], title="T", generated_at=WHEN)
    assert not [b for s in model.sections for b in s.blocks if isinstance(b, Roofline)]
    assert len(write(model, tmp_path, ("html", "pdf", "md"))) == 3


def test_a_profile_shows_shares_waits_and_the_longest_operators(make_measured):
    """Shares as per cent, the wait in its unit, the longest operators with their modules."""
    operators = [
        {"name": "aten::mm", "module": "blocks.0.up", "share": 0.4},
        {"name": "aten::add", "module": "", "share": 0.1},
        "text",
        {"name": "aten::mul", "module": "x", "share": 0.05},
    ]
    profile = {
        "busy_share": 0.9,
        "copy_share": 0.05,
        "communication_share": 0.2,
        "exposed_communication_share": 0.125,
        "gap_median_ns": 4000.0,
        "operators": operators,
    }
    trial = having(make_measured("gpt", "train", "fp32", 5400.0), profile=profile)
    (row,) = table(section([trial], "roofline")).rows
    assert [c.text for c in row.cells[3:]] == [
        "90.0\u00a0%",
        "5.00\u00a0%",
        "20.0\u00a0%",
        "12.5\u00a0%",
        "4.00\u00a0µs",
        "aten::mm in blocks.0.up 40.0\u00a0%; aten::add 10.0\u00a0%",
    ]


def test_the_figure_is_drawn_in_every_format_with_nothing_left_undefined(make_measured, tmp_path):
    """The page holds the figure in CSS colours; the same model gives the same document."""
    trial = having(make_measured("gpt", "train", "fp32", 5400.0), roofline=ROOFLINE, bottleneck=BOTTLENECK)
    model = build([trial], title="T", generated_at=WHEN)
    html, pdf = (write(model, tmp_path, (f,))[0].read_bytes() for f in ("html", "pdf"))
    assert b"roofline-figure" in html
    assert b"#0a0b" not in html
    assert b"FLOPs for each byte" in html
    again = build([trial], title="T", generated_at=WHEN)
    assert write(again, tmp_path, ("pdf",))[0].read_bytes() == pdf
