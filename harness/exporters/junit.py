"""JUnit XML: a suite a sweep, a test case a trial, so that CI systems list what failed and why."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from xml.etree import ElementTree as ET

from harness.exporters.common import names, plain_text, usable
from harness.records.results import TrialResult, setting
from harness.records.validity import describe
from harness.system.files import write_atomically


def export(results: Sequence[TrialResult], path: Path) -> list[Path]:
    """Write one file. A trial that failed is an error, one without any valid metric a failure."""
    root = ET.Element("testsuites", name="joulemark")
    named = sorted(zip(results, names(results), strict=True), key=lambda pair: pair[0].sweep)
    for sweep, group in groupby(named, key=lambda pair: pair[0].sweep):
        cases = list(group)
        suite = ET.SubElement(root, "testsuite", name=plain_text(sweep), tests=str(len(cases)))
        for result, name in cases:
            _case(suite, result, name)
        for kind, attribute in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            suite.set(attribute, str(len(suite.findall(f"testcase/{kind}"))))
        suite.set("time", f"{sum(float(case.get('time', 0)) for case in suite):.3f}")
        suite.set("timestamp", min(r.started_at for result, _ in cases for r in result.records)[:19])
    for total in ("tests", "failures", "errors"):
        root.set(total, str(sum(int(suite.get(total, 0)) for suite in root)))
    ET.indent(root)
    text = ET.tostring(root, encoding="unicode")
    return [write_atomically(path, f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n')]


def _case(suite: ET.Element, result: TrialResult, name: str) -> None:
    wall_s = sum(record.wall_s for record in result.records)
    classname = ".".join(filter(None, ("joulemark", setting(result.config, "workload", "name"))))
    case = ET.SubElement(
        suite, "testcase", name=plain_text(name), classname=plain_text(classname), time=f"{wall_s:.3f}"
    )
    metrics = list(usable(result))
    if metrics:
        properties = ET.SubElement(case, "properties")
        for e in metrics:
            ET.SubElement(
                properties,
                "property",
                name=plain_text(e.metric_id),
                value=plain_text(f"{e.value!r} {e.unit}"),
            )
    reason = plain_text(result.reason or "no reason was recorded")
    if result.status == "refused":
        ET.SubElement(case, "skipped", message=reason)
    elif result.status != "ok":
        error = ET.SubElement(case, "error", type=result.status, message=f"{result.phase}: {reason}")
        error.text = plain_text(result.records[-1].log_tail)
    elif not metrics:
        voids = {r for e in result.estimates.values() if e.validity == "invalid" for r in e.reasons}
        why = "; ".join(sorted(describe(r) for r in voids)) or "no metric has a value"
        ET.SubElement(case, "failure", type="invalid", message=plain_text(why))
