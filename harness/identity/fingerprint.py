"""The fingerprint: what hardware this is and what code measures on it, under MLPerf's names where it has one.

Facts are recorded whole; an identity is a digest over named facts only, so that a new fact changes none of
them. The host's name is never recorded. A fact that cannot be learned is None.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import harness
from harness.system.torch_build import torch_build

MACHINE_IDENTITY = (
    "host_processor_architecture",
    "host_processor_model_name",
    "host_processors_per_node",
    "host_processor_core_count",
    "host_processor_vcpu_count",
    "host_processor_caches",
    "host_memory_capacity",
    "host_numa_nodes",
    "hypervisor",
    "accelerators_per_node",
    "accelerator_model_name",
    "accelerator_memory_capacity",
    "accelerator_uuid_sha256",
    "accelerator_topology",
)
"""Hardware only: a new driver or kernel is the same machine."""
CODE_IDENTITY = (
    "harness_sha256",
    "workloads_sha256",
    "torch",
    "python",
    "compiler",
    "triton",
    "accelerator_driver",
    "accelerator_runtime",
)
CODE_IDENTITY_LATER = ("torch_cuda", "libraries")
"""Named since: of a record of before, which lacks them, they are no part. `libraries` holds those alone that
the trial uses, see `identity.libraries`."""
_ROOT = Path(harness.__file__).parents[1]
NEVER_IN_A_WORKER = (
    "advice",
    "bundles",
    "cli",
    "cluster",
    "comparison",
    "cost",
    "exporters",
    "gate",
    "report",
)
"""Rooms of `harness` that no worker loads: a change to them changes no measurement."""
_CPU = Path("/sys/devices/system/cpu")
_GIB = 2**30


def machine_facts(accelerator: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what is known of this machine.

    Args:
        accelerator: facts of the accelerators, which this package cannot ask for itself. The names that take
            part in the identity are `accelerators_per_node`, `accelerator_model_name`,
            `accelerator_memory_capacity`, `accelerator_uuid_sha256` (digests, sorted) and
            `accelerator_topology`; any other fact (clocks, limits, ECC, MIG) is recorded beside them.
    """
    facts: dict[str, Any] = {"number_of_nodes": 1, "accelerators_per_node": 0}
    return facts | _processor() | _memory() | _system() | dict(accelerator or {})


def machine_id(facts: Mapping[str, Any]) -> str:
    """Return the identity of the hardware: sha256 over the facts named in `MACHINE_IDENTITY`."""
    return _identity(facts, MACHINE_IDENTITY)


def code_facts(toolchain: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what is known of the code that measures; torch is not imported.

    Args:
        toolchain: versions that only a device can report: `accelerator_driver` and `accelerator_runtime` take
            part in the identity, anything else is recorded beside them.
    """
    build = torch_build()
    torch = None if build is None else build.version
    facts: dict[str, Any] = {
        "joulemark": harness.__version__,
        "harness_sha256": source_digest(_ROOT / "harness", without=NEVER_IN_A_WORKER),
        "workloads_sha256": workloads_digest(),
        "framework": f"PyTorch {torch}",
        "torch": torch,
        "torch_cuda": None if build is None else build.cuda,
        "triton": package_version("triton"),
        "numpy": package_version("numpy"),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "compiler": _compiler(),
        "libraries": {},
    }
    return facts | _git(_ROOT) | dict(toolchain or {})


def code_id(facts: Mapping[str, Any]) -> str:
    """Return the identity of the code: sha256 over the facts named in `CODE_IDENTITY`.

    Those of `CODE_IDENTITY_LATER` that there are count too. It holds the sources' digests, not the commit: a
    commit that touches only documents measures the same.
    """
    return _identity(facts, (*CODE_IDENTITY, *(name for name in CODE_IDENTITY_LATER if name in facts)))


def workloads_digest() -> str:
    """Return the digest of the workloads' sources, by which two records have the same."""
    return source_digest(_ROOT / "workloads")


def source_digest(folder: Path, *, without: tuple[str, ...] = ()) -> str:
    """Return the sha256 over the names and contents of a package's sources.

    Args:
        folder: the package.
        without: its sub-packages that cannot change a measurement.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.suffix in {".py", ".c", ".cu", ".cuh", ".h"} and name.parts[0] not in without:
            content = path.read_bytes()
            digest.update(f"{name.as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def package_version(name: str) -> str | None:
    """Return the version of an installed package from its metadata, None where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _identity(facts: Mapping[str, Any], names: tuple[str, ...]) -> str:
    named = {name: facts.get(name) for name in names}
    return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()


def _processor() -> dict[str, Any]:
    cores = _cores()
    sockets = len({package for package, _ in cores}) or 1
    return {
        "host_processor_architecture": platform.machine(),
        "host_processor_model_name": _processor_model(),
        "host_processors_per_node": sockets,
        "host_processor_core_count": len(cores) // sockets or None,
        "host_processor_vcpu_count": os.cpu_count(),
        "host_processor_caches": _caches(),
        "host_processor_usable": len(os.sched_getaffinity(0)),
        "host_processor_quota": _read("/sys/fs/cgroup/cpu.max"),
        "host_processor_governor": _read(_CPU / "cpu0/cpufreq/scaling_governor"),
        "host_processor_frequency_max_khz": _number(_CPU / "cpu0/cpufreq/cpuinfo_max_freq"),
        "host_processor_boost": _boost(),
        "host_processor_smt": _read(_CPU / "smt/control"),
    }


def _processor_model() -> str | None:
    reported = _cpuinfo("model name")
    if reported is None and (part := _cpuinfo("CPU part")):
        return f"implementer {_cpuinfo('CPU implementer')} part {part}"  # Arm kernels give numbers only
    return reported


def _cpuinfo(field: str) -> str | None:
    found = re.search(rf"^{field}\s*:\s*(.+)$", _read("/proc/cpuinfo") or "", re.MULTILINE)
    return found[1].strip() if found else None


def _cores() -> set[tuple[str | None, str | None]]:
    topologies = _CPU.glob("cpu[0-9]*/topology")
    return {(_read(t / "physical_package_id"), _read(t / "core_id")) for t in topologies}


def _caches() -> str | None:
    """Return the first processor's caches, e.g. `L1d 48K, L1i 32K, L2 2048K, L3 61440K`."""
    caches = []
    for index in sorted(_CPU.glob("cpu0/cache/index[0-9]*")):
        kind = {"Data": "d", "Instruction": "i"}.get(_read(index / "type") or "", "")
        caches.append(f"L{_read(index / 'level')}{kind} {_read(index / 'size')}")
    return ", ".join(caches) or None


def _boost() -> bool | None:
    boost = _number(_CPU / "cpufreq/boost")
    no_turbo = _number(_CPU / "intel_pstate/no_turbo")
    if boost is not None:
        return boost == 1
    return no_turbo == 0 if no_turbo is not None else None


def _memory() -> dict[str, Any]:
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    nodes = list(Path("/sys/devices/system/node").glob("node[0-9]*"))
    return {
        # Kernels keep different amounts back: whole GiB make the same machine the same.
        "host_memory_capacity": f"{round(total / _GIB)} GiB",
        "host_memory_bytes": total,
        "host_numa_nodes": len(nodes) or None,
        "host_memory_limit": _read("/sys/fs/cgroup/memory.max"),
    }


def _system() -> dict[str, Any]:
    release = _read("/etc/os-release") or ""
    name = re.search(r'^PRETTY_NAME="?([^"\n]+)"?$', release, re.MULTILINE)
    return {
        "operating_system": name[1] if name else platform.system(),
        "kernel": platform.release(),
        "hypervisor": _hypervisor(),
        "container": _container(),
    }


def _hypervisor() -> str | None:
    """Return the hypervisor's name, `unnamed` where only the processor's flag betrays one, or None."""
    vendor = _read("/sys/hypervisor/type") or _read("/sys/class/dmi/id/sys_vendor") or ""
    known = ("KVM", "QEMU", "VMware", "Xen", "Microsoft", "Amazon EC2", "Google", "innotek", "Parallels")
    if "hypervisor" not in (_cpuinfo("flags") or "").split():
        return None
    return next((name for name in known if name.lower() in vendor.lower()), "unnamed")


def _container() -> str | None:
    if Path("/.dockerenv").exists():
        return "docker"
    if Path("/run/.containerenv").exists():
        return "podman"
    named = re.search(r"(kubepods|docker|lxc|containerd)", _read("/proc/1/cgroup") or "")
    return named[1] if named else None


def _compiler() -> str | None:
    compiler = shutil.which("c++") or shutil.which("cc")
    reported = _run(compiler, "--version") if compiler else None
    return reported.splitlines()[0] if reported else None


def _git(root: Path) -> dict[str, Any]:
    """Return the commit and whether measuring code was changed since; None outside a checkout."""
    facts: dict[str, Any] = {"git_commit": None, "git_dirty": None}
    if (root / ".git").exists():
        git = ("git", "--no-optional-locks", "-C", str(root))
        reported = _run(*git, "status", "--porcelain=v2", "--branch", "--", "harness", "workloads", "conf")
        commit = re.search(r"^# branch\.oid ([0-9a-f]{40,64})$", reported or "", re.MULTILINE)
        if reported is not None and commit:
            facts["git_commit"] = commit[1]
            facts["git_dirty"] = any(not line.startswith("#") for line in reported.splitlines())
    return facts


def _run(*command: str) -> str | None:
    # A slow disk must not make another code of the same: what takes this long is broken.
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None


def _read(path: str | Path) -> str | None:
    try:
        return Path(path).read_text(errors="replace").strip()
    except OSError:
        return None


def _number(path: Path) -> int | None:
    text = _read(path)
    return int(text) if text and text.isdigit() else None
