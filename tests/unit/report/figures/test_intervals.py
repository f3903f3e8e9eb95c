"""Figures: ticks, scales, marks, and that nothing is clipped or overlaps."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from harness.report.document import Plot, PlotRow, Point
from harness.report.figures.intervals import draw
from harness.report.figures.svg import paper, screen

SVG = "{http://www.w3.org/2000/svg}"


def plot(values, *, labels=None, unit="tokens/s", flagged=False, bars=True):
    """A plot of one series."""
    rows = tuple(
        PlotRow(
            labels[i] if labels else f"row {i}",
            (Point(0, v, *((v * 0.95, v * 1.05) if bars else (None, None)), flagged),),
            "text",
            first=i == 0,
        )
        for i, v in enumerate(values)
    )
    return Plot("fig", "gpt", "gpt", "Throughput", unit, ("throughput",), rows, "")


def texts(svg):
    """All words of a figure."""
    return ["".join(t.itertext()) for t in ET.fromstring(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize("values", [(1.0, 25.0), (0.001, 0.002), (5.0,)])
def test_a_small_range_is_linear(values):
    """Values within a factor of thirty share a linear axis."""
    assert not any("logarithmic" in t for t in texts(draw(plot(values))))


def test_a_large_range_is_logarithmic_and_says_so():
    """Beyond a factor of thirty the axis is logarithmic, in words too."""
    assert "Throughput, tokens/s (logarithmic axis)" in texts(draw(plot((1.0, 40.0))))


def test_an_axis_that_leaves_out_zero_says_so():
    """Close values are drawn large, and the axis tells that it does not start at 0."""
    assert "Throughput, tokens/s (axis does not start at 0)" in texts(draw(plot((100.0, 103.0))))
    assert "Throughput, tokens/s" in texts(draw(plot((10.0, 103.0))))


def test_nearly_equal_values_have_ticks_that_differ():
    """Two memory peaks of almost one size share an axis on which no two ticks read the same."""
    found = draw(plot((178.80 * 2**20, 178.81 * 2**20), unit="B", bars=False))
    ticks = [t for t in texts(found) if t.endswith("MiB")]
    assert len(set(ticks)) == len(ticks) >= 2


def test_flagged_points_are_open():
    """Validity shows in the marker's fill: a flagged dot has the paper's colour inside."""
    solid, open_ = (paper(draw(plot((5.0, 6.0), flagged=f))) for f in (False, True))
    assert "fill: #ffffff" not in solid
    assert "fill: #ffffff" in open_


def test_long_labels_stay_within_the_figure():
    """A label too wide for its margin is broken and ended there, in two lines at most."""
    from harness.report.figures.intervals import LEFTS_IN, SMALL_PT, _fit, _width_in

    one_small_line = "train bf16 attention_math on machine B in 2025"  # too wide at the usual size alone
    for label in ("W" * 300, "word " * 60, "x" * 36, "模型" * 80, one_small_line):
        lines = _fit(label, LEFTS_IN[-1], SMALL_PT).split("\n")
        assert 1 <= len(lines) <= 2
        assert all(_width_in(line, SMALL_PT) <= LEFTS_IN[-1] for line in lines)
        assert lines[-1].endswith("…") or "".join(lines) == label


def test_labels_of_a_figure_share_a_size():
    """One that is too wide makes all of them small."""

    def sizes(*labels):
        svg = draw(plot((1.0,) * len(labels), labels=labels))
        found = {"".join(t.itertext()): t.get("style") for t in ET.fromstring(svg).iter(f"{SVG}text")}
        return [re.search(r"font[^;]*?([0-9.]+)px", found[label]).group(1) for label in labels]

    long = "train bf16 attention_math on machine B in 2025"
    assert sizes("short") != sizes("short", long)[:1]
    assert len(set(sizes("short", long))) == 1


def test_labels_are_literal():
    """Dollar signs are no formula, angle brackets no element, in the figure's own XML."""
    label = "$x^2$ <script>alert(1)</script> & #0a0b01"
    assert label in texts(draw(plot((1.0, 2.0), labels=[label, "b"])))


def test_screen_uses_css_colours_and_unique_ids():
    """Inline figures share no id and hold no fixed sentinel colour."""
    svg = screen(draw(plot((1.0, 2.0))), "p1")
    assert "#0a0b" not in svg
    assert "var(--fig-series-0)" in svg
    ids = re.findall(r'\sid="([^"]+)"', svg)
    assert ids
    assert all(i.startswith("p1-") for i in ids)
    assert set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', svg))
    assert all((a or b) in ids for a, b in re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', svg))


def test_the_same_plot_gives_the_same_bytes():
    """Drawing anew, not from the cache, changes nothing."""
    first = draw(plot((1.0, 2.0)))
    draw.cache_clear()
    assert draw(plot((1.0, 2.0))) == first
    assert "<dc:date>" not in first
