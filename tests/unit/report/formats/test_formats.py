"""HTML, PDF and Markdown say the same, and none of them runs what a record says."""

from __future__ import annotations

import io
import re
import sys
from html.parser import HTMLParser

import pytest

from harness.report import build, write

WHEN = "2025-03-04T05:06:07Z"
EVIL = (
    "<script>alert(1)</script><img src=x onerror=alert(2)>|`--`\n# [l](http://x.test) "
    "#eval(1) $x$ *b* _i_ \"q' &amp;"
)


class Cells(HTMLParser):
    """Collect the text pieces of every table cell, and all element names with attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._inside = 0

    def handle_starttag(self, tag, attrs):
        """Note the element."""
        self.tags.append((tag, dict(attrs)))
        self._inside += tag in {"td", "th"}

    def handle_endtag(self, tag):
        """Leave a cell."""
        self._inside -= tag in {"td", "th"}

    def handle_data(self, data):
        """Keep the text of a cell."""
        if self._inside and data.strip():
            self.pieces.append(data.strip())


def squeeze(text):
    """Text without any white space, which line breaks change."""
    return re.sub(r"[\s\u00a0\u200b]+", "", text)


def render(model, tmp_path, formats=("html", "pdf", "md")):
    """Write and read back."""
    return {p.suffix[1:]: p.read_bytes() for p in write(model, tmp_path, formats)}


def pdf_text(data):
    """All text of a PDF, without headers and footers in the way of a cell."""
    import pypdf

    return "".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(data)).pages)


@pytest.fixture
def model(sweep):
    """A report of the made-up sweep."""
    return build(sweep, title="Sweep", torn=["x/record.json: truncated"], generated_at=WHEN)


def test_every_number_of_the_html_tables_stands_in_the_pdf(model, tmp_path):
    """Each cell's number is the same text in the PDF, as often as in the HTML."""
    out = render(model, tmp_path, ("html", "pdf"))
    cells = Cells()
    cells.feed(out["html"].decode())
    numbers = [squeeze(p) for p in cells.pieces if re.search(r"\d", p)]
    assert len(numbers) > 400
    text = squeeze(pdf_text(out["pdf"]))
    missing = [n for n in numbers if n not in text]
    assert not missing
    scarce = {n for n in numbers if text.count(n) < numbers.count(n)}
    assert not scarce


def test_every_number_of_the_html_tables_stands_in_the_markdown(model, tmp_path):
    """The Markdown holds the same cells."""
    out = render(model, tmp_path, ("html", "md"))
    cells = Cells()
    cells.feed(out["html"].decode())
    text = squeeze(out["md"].decode().replace("\\", ""))
    assert not [p for p in cells.pieces if squeeze(p) not in text]


def test_the_same_model_gives_the_same_bytes(model, tmp_path):
    """Nothing of the clock or the process is in any format."""
    assert render(model, tmp_path / "a") == render(model, tmp_path / "b")


def test_the_page_is_self_contained(model, tmp_path):
    """No element of the page asks for anything outside it, and its policy forbids it."""
    page = render(model, tmp_path, ("html",))["html"].decode()
    cells = Cells()
    cells.feed(page)
    assert {t for t, _ in cells.tags} & {"link", "img", "iframe", "object", "embed", "base"} == set()
    for tag, attributes in cells.tags:
        assert "src" not in attributes, tag
        for name in ("href", "xlink:href"):
            # A link leads within the page, or to the numbers in the folder beside it.
            assert (attributes.get(name) or "#").startswith(("#", "data/")), (tag, attributes)
    policy = next(a["content"] for t, a in cells.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    assert re.search(r"script-src 'sha256-[A-Za-z0-9+/]{43}='", policy)
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)


def test_the_page_reads_without_its_script(model, tmp_path):
    """Controls that need the script are hidden until it runs; all rows and figures are there without it."""
    page = render(model, tmp_path, ("html",))["html"].decode()
    assert re.search(r'<form id="filter"[^>]* hidden>', page)
    assert re.search(r'<button[^>]*id="theme" hidden>', page)
    without = page[: page.index("<script>")]
    assert without.count("<tr") > 100
    assert without.count("<svg") >= 10


def test_ids_of_the_page_are_unique(model, tmp_path):
    """No two elements share an id, figures included."""
    page = render(model, tmp_path, ("html",))["html"].decode()
    cells = Cells()
    cells.feed(page)
    ids = [a["id"] for _, a in cells.tags if "id" in a]
    assert len(ids) == len(set(ids))


@pytest.fixture
def hostile(make_trial, make_estimate):
    """Every text of a record tries to be markup."""
    flagged = make_estimate("throughput.tokens", 5.0, validity="flagged", reasons=(EVIL,))
    log = f"{EVIL}\n```\n{EVIL}\x00\x1b[31m"
    results = [
        make_trial(EVIL, EVIL, "fp32", flagged, label=EVIL, machine={EVIL: EVIL}, code={"torch": EVIL}),
        make_trial("gpt", "train", status="crashed", phase=EVIL, reason=EVIL, log_tail=log),
        make_trial("gpt", "infer", "fp32", status="refused", phase="plan", reason=EVIL),
    ]  # fmt: skip
    return build(results, title=EVIL, torn=[EVIL], generated_at=WHEN)


def test_hostile_text_is_text_in_html(hostile, tmp_path):
    """A record brings no element and no attribute into the page."""
    page = render(hostile, tmp_path, ("html",))["html"].decode()
    cells = Cells()
    cells.feed(page)
    assert [t for t, _ in cells.tags].count("script") == 1
    assert not [t for t, a in cells.tags if t == "img" or any(k.startswith("on") for k in a)]
    assert "&lt;script&gt;alert(1)" in page
    assert "\x00" not in page
    assert "\x1b" not in page


def test_hostile_text_is_text_in_markdown(hostile, tmp_path):
    """No HTML, pipe, backtick, link or heading of a record is live, and it closes no code fence."""
    text = render(hostile, tmp_path, ("md",))["md"].decode()
    prose, fence, widths = [], None, []
    for line in text.splitlines():
        run = re.match(r"`{3,}", line)
        if fence is None and run:
            fence = run.group()
        elif fence is not None and line == fence:
            fence = None
        elif fence is None:
            prose.append(line)
    assert fence is None
    for line in prose:
        assert not re.search(r"(?<!\\)(<|`)", line), line
        assert not re.search(r"(?<!\\)\]\(", line), line
        if line.startswith("|"):
            widths.append(len(re.findall(r"(?<!\\)\|", line)))
        assert not line.startswith("# [l]")
        assert "http://x" not in line
    assert widths


def test_hostile_text_is_text_in_pdf(hostile, tmp_path):
    """Typst evaluates nothing of a record: its markup comes out as it is written."""
    text = squeeze(pdf_text(render(hostile, tmp_path, ("pdf",))["pdf"]))
    assert "#eval(1)$x$*b*_i_" in text
    assert "<script>alert(1)</script>" in text


def test_long_tokens_do_not_leave_the_page(make_trial, tmp_path):
    """Digests, paths and reasons without a space are broken within their column."""
    import pypdf

    failed = make_trial(
        status="crashed", reason="/".join(["x" * 30] * 12), label="w" * 300, log_tail="y" * 400
    )
    data = render(build([failed], title="z" * 200, generated_at=WHEN), tmp_path, ("pdf",))["pdf"]
    lines = [
        part
        for page in pypdf.PdfReader(io.BytesIO(data)).pages
        for part in page.extract_text().replace("\u200b", "").splitlines()
    ]
    assert (
        max(map(len, lines)) < 140
    )  # the log's small type fits 127 to a line; unbroken these are 120 to 400
    in_column = [part for part in lines if "xxxxx" in part]
    assert len(in_column) >= 8
    assert max(map(len, in_column)) < 60


def test_table_headers_repeat_over_pages(make_measured, tmp_path):
    """A table longer than a page has its header on each."""
    import pypdf

    results = [
        make_measured("gpt", "train", "fp32", 100.0 + i, label=f"gpt tiny train fp32 b{i}", identity=i)
        for i in range(120)
    ]
    data = render(build(results, title="Long", generated_at=WHEN), tmp_path, ("pdf",))["pdf"]
    pages = [p.extract_text() for p in pypdf.PdfReader(io.BytesIO(data)).pages]
    with_rank = [p for p in pages if re.search(r"\d of 120", p)]
    assert len(with_rank) >= 3
    assert all("Configuration" in p for p in with_rank)
    assert all(f"Page {i} of {len(pages)}" in p.replace("\n", " ") for i, p in enumerate(pages, 1))


def test_an_unknown_format_is_refused_before_anything_is_written(model, tmp_path):
    """A wrong format names those that exist, and leaves no folder."""
    with pytest.raises(ValueError, match=r"docx.*html, pdf, md"):
        write(model, tmp_path / "out", ["html", "docx"])
    assert not (tmp_path / "out").exists()


def test_importing_the_report_is_light():
    """The package loads without matplotlib, typst or jinja2."""
    import subprocess

    heavy = {"matplotlib", "typst", "jinja2", "torch", "scipy", "numpy"}
    code = f"import sys, harness.report; print({heavy} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"


@pytest.mark.parametrize("others", [1.4, 0.0])
def test_a_busy_machine_is_named_before_every_number(make_trial, make_estimate, tmp_path, others):
    """After the title and when it was made; in a report of a quiet machine nowhere."""
    result = make_trial("gpt", "train", "fp32", make_estimate("throughput.tokens", 100.0))
    for record in result.replicas():
        record.evidence["contention"] = {"delay_share": others / 4, "others_cpus": others, "cpus": 2}
    files = render(build([result], title="T", generated_at=WHEN), tmp_path)
    html = squeeze(files["html"].decode().partition("</header>")[2])
    texts = {"html": html, "md": squeeze(files["md"].decode()), "pdf": squeeze(pdf_text(files["pdf"]))}
    if not others:
        assert not any("Themachinewasbusy" in text for text in texts.values())
        return
    said = "Themachinewasbusy:othersused1.4of2CPUs"
    assert html.startswith(f'<asidearia-label="Notice"><pclass="lead">{said}')
    assert texts["md"].index(said) < texts["md"].index("**1**")
    assert texts["pdf"].index(said) < texts["pdf"].index("Theanswer")
