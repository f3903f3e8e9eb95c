"""MLPerf's description of a system, filled from the recorded facts; what was not learned stays empty."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.exporters.common import beside, write_json
from harness.records.results import TrialResult
from harness.records.schema import Facts

_GIB = 2**30
_FACTS = (
    "number_of_nodes",
    "host_processors_per_node",
    "host_processor_model_name",
    "host_processor_core_count",
    "host_processor_vcpu_count",
    "host_processor_frequency",
    "host_processor_caches",
    "host_processor_interconnect",
    "host_memory_configuration",
    "host_storage_type",
    "host_storage_capacity",
    "host_networking",
    "host_networking_topology",
    "accelerators_per_node",
    "accelerator_model_name",
    "accelerator_host_interconnect",
    "accelerator_frequency",
    "accelerator_on-chip_memories",
    "accelerator_memory_configuration",
    "accelerator_interconnect",
    "accelerator_interconnect_topology",
    "cooling",
    "hw_notes",
    "operating_system",
    "sw_notes",
)


def export(results: Sequence[TrialResult], path: Path) -> list[Path]:
    """Write one file a machine: PATH for a single one, else `PATH-<machine>`."""
    machines = {r.machine_id: r.records[-1] for r in results}
    if len(machines) == 1:
        (record,) = machines.values()
        return [write_json(path, _system(record.machine, record.code))]
    return [
        write_json(beside(path, machine_id[:12]), _system(record.machine, record.code))
        for machine_id, record in machines.items()
    ]


def _system(machine: Facts, code: Facts) -> dict[str, Any]:
    """Return the description; `division`, `submitter` and `status` are for a submitter to fill."""
    processor = machine.get("host_processor_model_name") or "unknown processor"
    accelerator = machine.get("accelerator_model_name")
    count = machine.get("accelerators_per_node") or 0
    known = {key: _text(machine.get(key)) for key in _FACTS}
    stack = {key: code.get(key) for key in ("torch", "python", "triton", "accelerator_driver", "compiler")}
    return {
        "division": "",
        "submitter": "",
        "status": "",
        "system_name": f"{count}x {accelerator}" if accelerator else str(processor),
        **known,
        "host_memory_capacity": _capacity(machine.get("host_memory_capacity")),
        "accelerator_memory_capacity": _capacity(machine.get("accelerator_memory_capacity")),
        "framework": _text(code.get("framework")),
        "other_software_stack": ", ".join(f"{key} {value}" for key, value in stack.items() if value),
    }


def _text(value: Any) -> str | int | float:
    if value is None:
        return ""
    return value if isinstance(value, int | float) else str(value)


def _capacity(value: Any) -> str:
    """Return bytes as MLPerf writes them; the recorded text where it is text already."""
    if isinstance(value, list):
        return _capacity(value[0]) if len(set(map(str, value))) == 1 else ", ".join(map(_capacity, value))
    if isinstance(value, int | float):
        return f"{value / _GIB:.4g} GiB"
    return str(value or "")
