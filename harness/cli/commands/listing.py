"""`joulemark list`: what there is to run and to measure. Imports no torch."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any, TypeVar

from harness.cli.output import print_json, print_table
from workloads.plugins import Registry
from workloads.transform import Transform

_Kind = TypeVar("_Kind", bound=Transform)


def main(options: argparse.Namespace) -> int:
    """Print one list, as a table or as JSON."""
    rows = _LISTS[options.what]()
    if options.json:
        print_json(rows)
    else:
        columns = list(rows[0]) if rows else []
        print_table(columns, [[_cell(row[c]) for c in columns] for row in rows])
    return 0


def _cell(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={item}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def _workloads() -> list[dict[str, Any]]:
    from workloads import registry

    return [
        {
            "name": spec.name,
            "family": spec.family,
            "modes": list(spec.modes),
            "sizes": list(spec.sizes),
            "data": list(spec.data),
            "summary": spec.summary,
        }
        for spec in (registry.get(name).spec for name in registry.names())
    ]


def _compressors() -> list[dict[str, Any]]:
    from workloads.compress.registry import COMPRESSORS

    return _transforms(COMPRESSORS)


def _strategies() -> list[dict[str, Any]]:
    from workloads.parallel.registry import STRATEGIES

    return _transforms(STRATEGIES)


def _transforms(registry: Registry[type[_Kind]]) -> list[dict[str, Any]]:
    return [
        {
            "name": spec.name,
            "title": spec.title,
            "modes": list(spec.modes),
            "needs": sorted(spec.needs),
            "settings": {name: setting.default for name, setting in spec.settings.items()},
            "devices": list(spec.devices),
            "summary": spec.summary,
        }
        for spec in (registry.get(name).spec for name in registry.names())
    ]


def _devices() -> list[dict[str, Any]]:
    from harness.devices import registry

    rows = []
    for kind in registry.kinds():
        for platform in registry.get(kind).platforms or (None,):
            device = registry.get(kind).on(platform)
            reason = device.unavailable_reason()
            note = "untested on hardware" if device.untested else None
            row = {"kind": kind, "platform": platform, "available": reason is None, "reason": reason}
            rows.append(row | {"note": note})
    return rows


def _sensors() -> list[dict[str, Any]]:
    from harness.energy.doctor import sensor_statuses

    return [
        {
            "name": s.name,
            "available": s.works,
            "reason": s.reason,
            "remedy": s.remedy,
            "sensors": [i["id"] for i in s.sensors],
            "unreadable": list(s.missing),
        }
        for s in sensor_statuses()
    ]


def _experiments() -> list[dict[str, Any]]:
    import yaml

    from harness.config.compose import Composer
    from harness.config.folder import config_folder

    listed = []
    for name in Composer().groups["experiment"]:
        path = config_folder() / "experiment" / f"{name}.yaml"
        text = path.read_text() if path.is_file() else ""
        about = [
            line.removeprefix("# ")
            for line in text.splitlines()
            if line.startswith("# ") and "@package" not in line
        ]
        question = ((yaml.safe_load(text) or {}).get("report") or {}).get("question")
        listed.append({"name": name, "summary": about[0] if about else "", "question": question})
    return listed


def _groups() -> list[dict[str, Any]]:
    from harness.config.compose import Composer

    return [{"group": group, "options": options} for group, options in Composer().groups.items()]


def _metrics() -> list[dict[str, Any]]:
    from harness.records.metrics import METRICS

    return [
        {
            "id": d.id,
            "title": d.title,
            "unit": d.unit,
            "better": d.direction,
            "estimator": d.estimator,
            "provenance": d.provenance,
            "version": d.version,
        }
        for d in METRICS.values()
    ]


_LISTS = {
    "workloads": _workloads,
    "compressors": _compressors,
    "strategies": _strategies,
    "devices": _devices,
    "sensors": _sensors,
    "experiments": _experiments,
    "groups": _groups,
    "metrics": _metrics,
}
