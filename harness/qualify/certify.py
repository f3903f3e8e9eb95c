"""The whole qualification of one device: every check, every ceiling, one certificate."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

from harness import shim
from harness.devices import registry as devices
from harness.devices.load import busy_cpu, busy_thread
from harness.identity.machine import Identity
from harness.qualify import cpu, judging, sensors, workers
from harness.records.schema import Certificate, Check, Facts, MeasuredCeiling
from harness.shim.ceiling import Ceilings
from harness.shim.cpu import ceilings as cpu_ceilings
from harness.shim.errors import ShimError
from harness.system.contention import between
from harness.system.errors import UsageError
from harness.system.host import read_steal
from harness.system.host_counters import read_counters
from harness.system.locks import device_lock

STEAL = 0.025
"""Share of stolen time above which figures are not this machine's alone (docs/method.md, section 5)."""

PRODUCT_SHARE = 0.4
"""Of the multiply-adds' ceiling: libraries reach 0.6 to 0.95 on idle cores, a tenth beside other work."""

OnCheck = Callable[[Check], None]
OnStage = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Target:
    """The device to qualify."""

    kind: str
    index: int = 0

    @property
    def name(self) -> str:
        """As `harness.shim.ceilings` takes it."""
        return self.kind if self.kind == "cpu" else f"{self.kind}:{self.index}"


def target(name: str) -> Target:
    """Return the device that a name such as `auto`, `cpu` or `cuda:1` means here.

    Raises:
        ValueError: no such device, or none that can be qualified.
    """
    kind, _, index = name.partition(":")
    if index and not index.isdecimal():
        raise UsageError(f"device {name!r}: what follows the colon is a number")
    kind = devices.resolve_kind(kind)
    if kind not in {"cpu", "cuda"}:
        raise UsageError(f"device {name!r} cannot be qualified: choose cpu, cuda or cuda:N")
    reason = devices.get(kind).unavailable_reason(int(index or 0))
    if reason is not None:
        raise UsageError(reason)
    return Target(kind, int(index or 0))


@dataclass
class Findings:
    """What a qualification has found so far; each check is shown as it comes."""

    on_check: OnCheck
    on_stage: OnStage
    checks: list[Check] = field(default_factory=list)
    ceilings: list[MeasuredCeiling] = field(default_factory=list)
    facts: Facts = field(default_factory=dict)

    def note(self, checks: Iterable[Check]) -> None:
        """Keep checks, and report each."""
        for check in checks:
            self.checks.append(check)
            self.on_check(check)

    def limits(self, measure: Callable[[], Ceilings]) -> None:
        """Measure ceilings; a routine whose result is wrong is a failed check."""
        self.on_stage("ceilings")
        try:
            measured = measure()
        except ShimError as error:
            self.note([_known_answers(str(error))])
            return
        self.note([_known_answers(None)])
        self.ceilings.extend(MeasuredCeiling(**asdict(entry)) for entry in measured.entries)
        self.facts.update(measured.facts)


def certify(
    device: Target,
    identity: Identity,
    *,
    quick: bool = False,
    on_check: OnCheck = lambda _check: None,
    on_stage: OnStage = lambda _stage: None,
) -> Certificate:
    """Calibrate and test the instrument on one device, alone on it.

    Raises:
        ShimError: the device's driver refuses; its subclass says why.
    """
    made_at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    findings = Findings(on_check, on_stage)
    note = findings.note
    with device_lock(f"{device.kind}-{device.index}", lambda: on_stage("waiting for the device")):
        began, stolen, host = time.monotonic(), read_steal(), read_counters()
        # Workers come first: nothing of this process is then on the device or in the way of theirs.
        on_stage("workers")
        note(workers.checks(device.kind, device.index, quick=quick))
        on_stage("instrument")
        if device.kind == "cuda":
            _cuda(device, findings, quick=quick)
        else:
            note(cpu.checks(quick=quick))
            findings.limits(lambda: shim.ceilings("cpu", quick=quick))
            with busy_cpu() as load:
                on_stage("energy sensor")
                note(sensors.checks("cpu", None, load, quick=quick))
        steal = cpu_ceilings.steal_ratio(stolen, read_steal())
        note([_steal(steal), judging.quiet(between(host, read_counters())), *_consistent(findings.ceilings)])
        wall_s = time.monotonic() - began
    return Certificate(
        machine_id=identity.machine_id,
        code_id=identity.code_id,
        device_kind=device.kind,
        device_index=device.index,
        device_name=findings.facts.get("name") or findings.facts.get("cpu"),
        driver=identity.code.get("accelerator_driver") if device.kind == "cuda" else None,
        made_at=made_at,
        wall_s=wall_s,
        quick=quick,
        checks=tuple(findings.checks),
        ceilings=tuple(findings.ceilings),
        facts=findings.facts,
    )


def _cuda(device: Target, findings: Findings, *, quick: bool) -> None:
    from harness.qualify import cuda
    from harness.shim.cuda import CudaShim

    with CudaShim(device.index) as opened:
        findings.note(cuda.checks(opened, quick=quick))
        findings.limits(lambda: shim.ceilings(device.name, quick=quick))
        with busy_thread(lambda: opened.arithmetic("fp32")) as load:
            findings.note(sensors.checks("cuda", _hardware_id(device), load, quick=quick))


def _hardware_id(device: Target) -> str | None:
    """Return the device's UUID as its sensor knows it."""
    return devices.get(device.kind)(device.index).hardware_id()


def _known_answers(problem: str | None) -> Check:
    return judging.holds(
        "ceilings.results",
        "Every routine behind the ceilings computes its known answer.",
        good=problem is None,
        reason=problem or "",
    )


def _consistent(ceilings: Sequence[MeasuredCeiling]) -> Iterator[Check]:
    """Hold ceilings of one unit against each other: what shares it cannot be far apart, unless disturbed."""
    values = {ceiling.id: ceiling.value for ceiling in ceilings}
    product, fma = values.get("flops.matmul.fp32"), values.get("flops.fma.fp32")
    if product is not None and fma is not None and fma > 0:
        what = "A matrix product in fp32 over the fused multiply-adds that it is made of."
        yield judging.at_least("ceilings.consistent", what, product / fma, PRODUCT_SHARE, "1")


def _steal(ratio: float | None) -> Check:
    check_id, what = "machine.steal", "The machine's time that its hypervisor took meanwhile."
    if ratio is None:
        return judging.not_available(check_id, what, "the kernel reports nothing of it")
    return judging.at_most(check_id, what, ratio, STEAL, "1")
