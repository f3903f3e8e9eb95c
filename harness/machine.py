"""What this machine and this code are, put together from the packages that know a part of it each."""

from __future__ import annotations

from dataclasses import dataclass

from harness.energy.nvml_facts import gpu_facts
from harness.records import fingerprint
from harness.records.schema import Facts


@dataclass(frozen=True, slots=True)
class Identity:
    """The machine and the code that measure, with the digests that resume and comparison join on."""

    machine: Facts
    code: Facts
    machine_id: str
    code_id: str


def identify() -> Identity:
    """Read the facts of this machine and this code; imports no torch and opens no device."""
    gpus = gpu_facts()
    machine = fingerprint.machine_facts(gpus)
    code = fingerprint.code_facts(gpus)
    return Identity(machine, code, fingerprint.machine_id(machine), fingerprint.code_id(code))
