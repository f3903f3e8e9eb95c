"""The kernels' images: which there are, and which one fits a device.

For a device the exact architecture comes first, then a lower one of the same major, then PTX, which the
driver compiles, then NVRTC. Release images stand in `harness/shim/images/` with a manifest of their hashes; a
checkout has none, and NVRTC compiles what is needed on first use.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from harness.shim.cuda.nvrtc import compiler_for
from harness.shim.errors import ArchitectureError, CompilerMissingError

SOURCES = Path(__file__).parent / "kernels"
RELEASED = Path(__file__).parents[1] / "images"
MANIFEST = "manifest.json"
ARCHITECTURES = ("75", "80", "86", "89", "90", "90a", "100", "100a", "120")
PTX_ARCHITECTURES = ("75", "80")
"""The oldest that the shim knows, and the oldest that has every type of `mma.sync`."""
OLDEST = (7, 5)
SPECIFIC = {"wgmma": "90a", "tcgen05": "100a"}
"""Sources for one architecture's own instructions, which neither run nor compile elsewhere."""
UNITS = ("timing", "memory", "arithmetic", "mma", *SPECIFIC)
Capability = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Image:
    """Code for the driver to load."""

    unit: str
    """The source it was made from."""
    architecture: str
    kind: str
    """`cubin` or `ptx`."""
    origin: str
    """`released` or `NVRTC <version>`."""
    code: bytes


def source(unit: str) -> str:
    """Return the text of a unit's source."""
    return (SOURCES / f"{unit}.cu").read_text(encoding="utf-8")


@cache
def headers() -> dict[str, str]:
    """Return the texts of all headers by name."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(SOURCES.glob("*.cuh"))}


def source_hash(unit: str) -> str:
    """Return the sha256 over a unit's source and all headers."""
    digest = hashlib.sha256(source(unit).encode())
    for name, text in headers().items():
        digest.update(f"\0{name}\0{text}".encode())
    return digest.hexdigest()


def built_for(unit: str) -> tuple[str, ...]:
    """Return the architectures that a unit is released for."""
    return (SPECIFIC[unit],) if unit in SPECIFIC else ARCHITECTURES


def fitting(unit: str, capability: Capability) -> Iterator[tuple[str, str]]:
    """Yield (architecture, kind) of the images that run on a device, best first."""
    major, minor = capability
    exact = f"{major}{minor}"
    if unit in SPECIFIC:
        if SPECIFIC[unit] == f"{exact}a":
            yield SPECIFIC[unit], "cubin"
        return
    if f"{exact}a" in ARCHITECTURES:
        yield f"{exact}a", "cubin"
    lower = (
        a for a in ARCHITECTURES if not a.endswith("a") and a[:-1] == str(major) and int(a) <= int(exact)
    )
    for architecture in sorted(lower, key=int, reverse=True):
        yield architecture, "cubin"
    for architecture in reversed(PTX_ARCHITECTURES):
        if int(architecture) <= int(exact):
            yield architecture, "ptx"


def image_for(unit: str, capability: Capability, *, released: Path = RELEASED) -> Image:
    """Return the best image of a unit for a device.

    Raises:
        ArchitectureError: the device is older than the shim, or the unit is another architecture's, or
            nothing released fits and no NVRTC knows the device.
        CompileError: NVRTC refused the source.
    """
    name = f"sm_{capability[0]}{capability[1]}"
    if capability < OLDEST:
        raise ArchitectureError(
            f"{name} is older than sm_{OLDEST[0]}{OLDEST[1]}, the oldest that the shim knows"
        )
    own = SPECIFIC.get(unit)
    if own is not None and own != f"{name[3:]}a":
        raise ArchitectureError(f"{unit} is for sm_{own} alone; this device is {name}")
    manifest = _manifest(released)
    for architecture, kind in fitting(unit, capability):
        code = _released(released, manifest, unit, architecture, kind)
        if code is not None:
            return Image(unit, architecture, kind, "released", code)
    architecture = own or name[3:]
    try:
        compiler = compiler_for(architecture)
    except CompilerMissingError as error:
        raise ArchitectureError(f"no image of {unit} fits {name}, and {error}") from error
    code = compiler.compile(source(unit), architecture, headers=headers())
    return Image(unit, architecture, "cubin", f"NVRTC {compiler.version}", code)


def file_name(unit: str, architecture: str, kind: str) -> str:
    """Return the name of a released image's file."""
    return f"{unit}.{'sm' if kind == 'cubin' else 'compute'}_{architecture}.{kind}"


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        text = (folder / MANIFEST).read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}  # a checkout has none
    import json

    try:
        loaded = json.loads(text)
    except ValueError as error:
        raise ArchitectureError(f"the manifest of the released images is damaged: {error}") from error
    return loaded if isinstance(loaded, dict) else {}


def _released(
    folder: Path, manifest: dict[str, Any], unit: str, architecture: str, kind: str
) -> bytes | None:
    """Return a released image if it was made from today's source and is whole."""
    name = file_name(unit, architecture, kind)
    expected = manifest.get("images", {}).get(name)
    if expected is None or manifest.get("sources", {}).get(unit) != source_hash(unit):
        return None
    code = (folder / name).read_bytes()
    if hashlib.sha256(code).hexdigest() != expected:
        raise ArchitectureError(f"the released image {name} is damaged: its hash differs from the manifest's")
    return code
