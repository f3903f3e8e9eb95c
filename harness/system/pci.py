"""TPUs as the PCI bus shows them: probed without importing or opening anything."""

from __future__ import annotations

import os
from pathlib import Path

PCI = Path("/sys/bus/pci/devices")
VFIO = Path("/dev/vfio")
GOOGLE = "0x1ae0"
GENERATIONS = {
    "0x005e": "TPU v4",
    "0x0062": "TPU v5p",
    "0x0063": "TPU v5e",
    "0x006f": "TPU v6e",
    "0x0076": "TPU v7",
}
"""By PCI device number; each chip is reached through a group of vfio."""


def tpu_chips(devices: Path = PCI) -> list[str]:
    """Return the generation of each TPU chip on the bus, in the order of addresses."""
    google = [folder for folder in sorted(devices.glob("*")) if _text(folder / "vendor") == GOOGLE]
    names = (GENERATIONS.get(_text(folder / "device")) for folder in google)
    return [name for name in names if name is not None]


def tpu_reason(index: int = 0, devices: Path = PCI, vfio: Path = VFIO) -> str | None:
    """Return why TPU chip `index` cannot be used, None when it is there and its vfio groups may be opened."""
    chips = tpu_chips(devices)
    if not chips:
        return "no TPU on the PCI bus"
    if index >= len(chips):
        return f"no TPU {index}: the PCI bus shows {len(chips)}"
    groups = sorted(path for path in vfio.glob("*") if path.name.isdecimal())
    if len(groups) < len(chips):
        return f"{len(chips)} TPUs on the PCI bus, but {len(groups)} groups in {vfio}: bind them to vfio-pci"
    closed = [path for path in groups if not os.access(path, os.R_OK | os.W_OK)]
    return f"{closed[0]} may not be opened by this user" if closed else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
