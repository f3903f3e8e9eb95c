"""What this machine and this code are, put together from the packages that know a part of it each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from harness.energy.sensors.nvml_facts import gpu_facts
from harness.identity import fingerprint
from harness.records.schema import Facts


@dataclass(frozen=True, slots=True)
class Identity:
    """The machine and the code that measure, with the digests that resume and comparison join on."""

    machine: Facts
    code: Facts
    machine_id: str
    code_id: str

    def driver(self, device_kind: str) -> str | None:
        """Return the version of the driver under a kind of device; None where it has none of its own."""
        return self.code.get("accelerator_driver") if device_kind == "cuda" else None

    def using(self, libraries: Mapping[str, str | None]) -> Identity:
        """Return the identity of a trial that uses these libraries, by name and version."""
        if self.code.get("libraries", {}) == dict(libraries):
            return self
        code = {**self.code, "libraries": dict(libraries)}
        return replace(self, code=code, code_id=fingerprint.code_id(code))


def identify() -> Identity:
    """Read the facts of this machine and this code; imports no torch and opens no device."""
    gpus = gpu_facts()
    machine = fingerprint.machine_facts(accelerator_facts(gpus))
    code = fingerprint.code_facts(
        {"accelerator_driver": gpus["driver"], "accelerator_runtime": gpus["cuda_driver"]}
    )
    return Identity(machine, code, fingerprint.machine_id(machine), fingerprint.code_id(code))


def accelerator_facts(gpus: Facts) -> dict[str, Any]:
    """Return the GPUs' facts under MLPerf's names where it has one; nothing where there is no GPU."""
    devices = gpus["gpus"]
    if not devices:
        return {"accelerators_absent": gpus["reason"]}
    return {
        "accelerators_per_node": len(devices),
        "accelerator_model_name": ", ".join(dict.fromkeys(str(d.get("name")) for d in devices)),
        "accelerator_memory_capacity": [d.get("memory_bytes") for d in devices],
        "accelerator_uuid_sha256": sorted(str(d.get("uuid_hash")) for d in devices),
        "accelerators": devices,
    }
