"""Build the release images of the shim's kernels, with a manifest of their hashes.

    python tools/build_images.py [FOLDER]        default: harness/shim/images, which git ignores

NVRTC comes from the wheel that constraints.txt pins; the same sources and the same NVRTC give the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.shim.cuda import images
from harness.shim.cuda.nvrtc import OPTIONS, Nvrtc, compiler_for
from harness.shim.errors import ShimError


def targets() -> list[tuple[str, str, str]]:
    """Return (unit, architecture, kind) of every release image."""
    cubins = [(unit, a, "cubin") for unit in images.UNITS for a in images.built_for(unit)]
    general = [unit for unit in images.UNITS if unit not in images.SPECIFIC]
    return cubins + [(unit, a, "ptx") for unit in general for a in images.PTX_ARCHITECTURES]


def build(folder: Path, compiler: Nvrtc) -> dict[str, str]:
    """Write every image and the manifest; return the hash of each image by its file's name.

    Raises:
        CompileError: a source was refused.
    """
    folder.mkdir(parents=True, exist_ok=True)

    def one(target: tuple[str, str, str]) -> tuple[str, str]:
        unit, architecture, kind = target
        code = compiler.compile(
            images.source(unit), architecture, headers=images.headers(), ptx=kind == "ptx"
        )
        name = images.file_name(unit, architecture, kind)
        (folder / name).write_bytes(code)
        return name, hashlib.sha256(code).hexdigest()

    with ThreadPoolExecutor() as pool:
        hashes = dict(sorted(pool.map(one, targets())))
    manifest = {
        "nvrtc": compiler.version,
        "options": list(OPTIONS),
        "sources": {unit: images.source_hash(unit) for unit in images.UNITS},
        "images": hashes,
    }
    (folder / images.MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return hashes


def main() -> int:
    """Build into the folder named on the command line."""
    parser = argparse.ArgumentParser(description="Build the release images of the shim's kernels.")
    parser.add_argument("folder", nargs="?", type=Path, default=images.RELEASED)
    folder = parser.parse_args().folder
    try:
        compiler = compiler_for("75")
        hashes = build(folder, compiler)
    except ShimError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{len(hashes)} images by NVRTC {compiler.version} in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
