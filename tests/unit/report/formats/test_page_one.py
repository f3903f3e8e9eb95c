"""Every number of the answer, which a report begins with, stands in all formats."""

from __future__ import annotations

import datetime as dt
import io
import re
from dataclasses import asdict
from html.parser import HTMLParser
from types import SimpleNamespace

import pypdf

from harness.cli.decisions import decided
from harness.cost import costs_or_reason, load_prices
from harness.report import build, write
from harness.report.document import Front

REQUIREMENTS = """
question: Which of 2 machines decodes 90 k tokens a second?
work: {workload: gpt, size: tiny, mode: decode}
load: {tokens_per_second: 90 k}
objective: cost
limits: {latency.p90: 90 ms}
price: site.yaml
"""
PRICE = "{mid: %s, source: an offer, date: 2025-01-01}"
SITE = f"""
name: site
currency: EUR
machines: {{left: {{hourly: {PRICE % 1.23}}}, right: {{hourly: {PRICE % 3.45}}}}}
"""


class Answer(HTMLParser):
    """Collect the texts of the answer's section, its figures aside."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._inside: list[str] = []

    def handle_starttag(self, tag, attrs):
        """Enter the section, and what is in it."""
        if self._inside or dict(attrs).get("id") == "answer":
            self._inside.append(tag)

    def handle_endtag(self, tag):
        """Leave an element."""
        if self._inside:
            self._inside.pop()

    def handle_data(self, data):
        """Keep a text with a number."""
        if self._inside and "figure" not in self._inside and re.search(r"[0-9]", data):
            self.texts.append(data)


def squeeze(text):
    """Text without any white space, which line breaks change."""
    return re.sub(r"[\s\u00a0\u200b]+", "", text)


def sweep(make_measured):
    """Two precisions on two machines; the cheaper is the slower."""
    return [
        make_measured(
            "gpt", "decode", precision, rate, 0.03, machine={"host_processor_model_name": machine},
            config={
                "workload": {"name": "gpt", "mode": "decode", "size": "tiny", "batch": None},
                "precision": {"name": precision}, "run": {"name": "demo", "machine_name": machine},
                "measure": {"replicas": 3}, "device": {"kind": "cpu"},
            },
        )
        for machine, precision, rate in (
            ("left", "fp32", 4_321.0), ("left", "bf16", 5_678.0),
            ("right", "fp32", 7_654.0), ("right", "bf16", 9_876.0),
        )
    ]  # fmt: skip


def test_every_number_of_the_answer_stands_in_all_formats(make_measured, tmp_path):
    """Choice, candidates, prices that would turn it, tornado and the table at a glance."""
    (tmp_path / "asked.yaml").write_text(REQUIREMENTS)
    (tmp_path / "site.yaml").write_text(SITE)
    results, day = sweep(make_measured), dt.date(2025, 3, 4)
    asked = SimpleNamespace(limit=[], requirements=str(tmp_path / "asked.yaml"), price=None)
    prices = load_prices(str(tmp_path / "site.yaml"), tmp_path)
    costs = {
        (r.trial_id, r.machine_id): [asdict(f) for f in costs_or_reason(r, prices, as_of=day)]
        for r in results
    }
    model = build(
        results, title="T", generated_at="2025-03-04T05:06:07Z", costs=costs,
        decision=decided(results, asked, day),
    )  # fmt: skip
    html, pdf, markdown = (p.read_bytes() for p in write(model, tmp_path / "out", ("html", "pdf", "md")))
    answer = Answer()
    answer.feed(html.decode())
    pages = [page.extract_text() for page in pypdf.PdfReader(io.BytesIO(pdf)).pages]
    others = {"pdf": squeeze("".join(pages)), "md": squeeze(markdown.decode().replace("\\", ""))}
    assert len(answer.texts) > 40
    for name, text in others.items():
        assert not [t for t in answer.texts if squeeze(t) not in text], name
    (front,) = (b for s in model.sections if s.id == "answer" for b in s.blocks if isinstance(b, Front))
    for m in front.marks:
        said = f"{m.label} ({front.machines[m.machine]}): {front.values(m)}"
        assert squeeze(said) in others["md"]
        assert squeeze(f"{m.label}: {front.values(m)}") in squeeze(html.decode())
    # The planted truth: per token, the left machine is the cheaper one, and bf16 its faster half.
    assert "bf16onleft,20devices" in others["pdf"]
    assert squeeze(f"{1.23 / 3600 / 5_678.0 * 1e6:.4f} EUR") in others["md"]
