"""What machines are called: the user's name for them, else their hardware's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from harness.records.schema import Record

MOST = 40
"""Characters of a name."""


def machine_names(records: Iterable[Record]) -> dict[str, str]:
    """Return a name for each machine id, in the order of the names; no two machines share one.

    The newest record's `run.machine_name` counts, of one that was written here before any that was merged;
    without one it is the accelerators, else the CPU.
    """
    newest: dict[str, tuple[tuple[bool, str, str], Record]] = {}
    for record in records:
        held, own = newest.get(record.machine_id), _precedence(record)
        if held is None or own > held[0]:
            newest[record.machine_id] = own, record
    names = {i: _given(r) or _hardware_name(r.machine) for i, (_, r) in newest.items()}
    counts = Counter(names.values())
    unique = {i: f"{n} · {i[:6]}" if counts[n] > 1 else n for i, n in names.items()}
    return dict(sorted(unique.items(), key=lambda item: (item[1], item[0])))


def _precedence(record: Record) -> tuple[bool, str, str]:
    return not record.merged, _given(record) or "", record.started_at


def _hardware_name(machine: Mapping[str, Any]) -> str:
    """Name a machine by its accelerators, e.g. `4 x NVIDIA H200`, else by its CPU and its cores."""
    accelerator, n = machine.get("accelerator_model_name"), machine.get("accelerators_per_node")
    if accelerator:
        return _fitted(f"{n} x {accelerator}" if isinstance(n, int) and n > 1 else str(accelerator))
    model, cores = machine.get("host_processor_model_name"), machine.get("host_processor_vcpu_count")
    if model:
        return _fitted(f"{model}, {cores} cores" if isinstance(cores, int) else str(model))
    return "unnamed machine"


def _given(record: Record) -> str | None:
    run = record.config.get("run")
    name = run.get("machine_name") if isinstance(run, Mapping) else None
    return _fitted(name) if isinstance(name, str) and name.strip() else None


def _fitted(name: str) -> str:
    words = " ".join("".join(c if c.isprintable() else " " for c in name[: 4 * MOST]).split())
    for noise in ("(R)", "(TM)", "(r)", "(tm)"):
        words = words.replace(noise, "")
    words = " ".join(words.split())
    return words if len(words) <= MOST else words[: MOST - 1].rstrip() + "…"
