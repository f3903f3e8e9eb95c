"""`joulemark doctor`: what works of devices, sensors, tools and plugins, and how to fix the rest."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from harness.cli.output import print_json, print_table
from harness.devices import registry as devices
from harness.devices.load import load_of
from harness.energy import doctor as energy
from harness.energy.sensors.registry import resolve
from harness.execution.host_watch import busy_sentence
from harness.exporters import registry as exporters
from harness.identity.machine import Identity, identify
from harness.records import open_store
from harness.records.certificates import certificate_facts
from harness.system import contention, process, ranges
from harness.system.busiest import busiest
from workloads import registry as workloads
from workloads.compress.registry import COMPRESSORS
from workloads.parallel.registry import STRATEGIES


@dataclass(frozen=True, slots=True)
class Check:
    """One line: does it work, what is it, and how to fix it."""

    what: str
    works: bool
    detail: str
    remedy: str | None = None


def main(options: argparse.Namespace) -> int:
    """Print every check; the exit code is 0, since what is missing may not be needed."""
    identity = identify()
    checks = [
        *_devices(),
        *_certificates(identity),
        *_sensors(),
        *_meters(options.meter),
        *_system(),
        *_host(),
        *_tools(),
        *_ranges(),
        *_plugins(),
    ]
    if options.json:
        print_json(
            {"checks": [asdict(c) for c in checks], "machine": identity.machine, "code": identity.code}
        )
        return 0
    print_table(
        ["", "what", "finding", "how to fix it"],
        [["ok" if c.works else "no", c.what, c.detail, c.remedy if not c.works else None] for c in checks],
    )
    print(f"\nmachine {identity.machine_id}, code {identity.code_id}")
    return 0


def _devices() -> list[Check]:
    checks = []
    for kind in devices.kinds():
        for platform in devices.get(kind).platforms or (None,):
            device = devices.get(kind).on(platform)
            reason = device.unavailable_reason()
            found = (reason or "available") + ("; untested on hardware" if device.untested else "")
            remedy = device.remedy if kind != "cpu" else None
            name = "-".join(filter(None, ("device " + kind, platform)))
            checks.append(Check(name, reason is None, found, remedy))
    return checks


def _certificates(identity: Identity) -> list[Check]:
    """Say of each device that works which certificate holds for it."""
    checks = []
    for kind in ("cpu", "cuda"):
        if devices.get(kind).unavailable_reason() is not None:
            continue
        found = certificate_facts(open_store("results"), identity.machine_id, kind, 0, identity.driver(kind))
        what, remedy = f"certificate {kind}", f"joulemark qualify --device {kind}"
        if found["id"] is None:
            checks.append(Check(what, False, "none holds: MFU has no measured ceiling", remedy))
            continue
        detail = f"{found['id']} of {found['made_at']}" + (", quick" if found["quick"] else "")
        if found["failed"]:
            detail += f"; failed: {', '.join(found['failed'])}"
        checks.append(Check(what, not found["failed"], detail, remedy))
    return checks


def _sensors() -> list[Check]:
    return [
        Check(
            f"sensor {s.name}" if s.name != "native sampler" else s.name,
            s.works and not s.missing,
            s.reason or _found(s),
            s.remedy,
        )
        for s in (*energy.sensor_statuses(load_of), energy.sampler_status())
    ]


def _meters(devices: Sequence[str]) -> list[Check]:
    """Say of each external meter that was named which column, unit, times and devices would be taken."""
    checks = []
    for device in devices:
        (meter,) = resolve("meter", devices=[device])
        taken = "; ".join(f"{s.taken}: {meter.read(s).power_w:g} W now" for s in meter.sensors)
        reason, remedy = getattr(meter, "reason", None), getattr(meter, "remedy", None)
        checks.append(Check(f"meter {device}", bool(meter.sensors), reason or taken, remedy))
    return checks


def _found(status: energy.SensorStatus) -> str:
    counters = [energy.describe(s) for s in status.sensors if s["kind"] == "counter"]
    gauges = [f"{s['label']} {s['scope']}: {s['taken']}" for s in status.sensors if s["taken"]]
    many = f"{len(status.sensors)} sensors" if status.sensors else "available"
    lacking = f"cannot read {'; '.join(status.missing)}: a total would lack it" if status.missing else ""
    return "; ".join(filter(None, [many, lacking, *counters, *gauges]))


def _system() -> list[Check]:
    free = process.available_memory_bytes() / 2**30
    checks = [Check("memory", True, f"{free:.1f} GiB available to a trial")]
    try:
        open_store("results").check_writable()
        checks.append(Check("results folder", True, f"{Path('results').absolute()} can be written"))
    except OSError as error:
        checks.append(Check("results folder", False, str(error), "name another with run.results=PATH"))
    return checks


def _host() -> list[Check]:
    """Say what others use of this host now, and which of this user's processes do."""
    seen = contention.look(0.5)
    if seen.others_cpus is None:
        return [Check("host", True, f"how busy it is stays unknown: {seen.unknown.get('others_cpus')}")]
    if not seen.busy:
        return [Check("host", True, f"quiet: others use {seen.others_cpus:.2f} of {seen.cpus} CPUs")]
    return [Check("host", False, busy_sentence(seen, busiest()), "close them before measuring")]


def _tools() -> list[Check]:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    checks = [
        Check(
            "C compiler",
            compiler is not None,
            compiler or "none found; slower fall-backs are used where there are any",
            "install gcc or clang",
        )
    ]
    for package, why in (
        ("torch", "runs the workloads"),
        ("typst", "writes PDF"),
        ("pillow", "reads image folders"),
    ):
        try:
            checks.append(Check(package, True, version(package)))
        except PackageNotFoundError:
            checks.append(Check(package, False, f"not installed; it {why}", f"pip install {package}"))
    return checks


def _ranges() -> list[Check]:
    """Say which packages are older than this project was tested with."""
    old = [(name, words) for name in ranges.least_versions() if (words := ranges.too_old(name)) is not None]
    if not old:
        return [Check("versions", True, "no package is older than its range allows")]
    return [
        Check(f"version {name}", False, finding, remedy)
        for name, words in old
        for finding, _, remedy in [words.partition(": ")]
    ]


def _plugins() -> list[Check]:
    broken = {
        name: why
        for registry in (workloads, COMPRESSORS, STRATEGIES, devices, exporters)
        for name, why in registry.broken().items()
    }
    return [
        Check(f"plugin {name}", False, why, "upgrade or uninstall the package that brings it")
        for name, why in broken.items()
    ]
