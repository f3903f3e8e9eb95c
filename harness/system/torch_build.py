"""Which torch is installed, read from its own version file: importing torch would take seconds."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class TorchBuild:
    """One installed build of torch."""

    version: str
    """With what it was built for, e.g. `2.15.0+cu132`: the package's own metadata leave that out."""
    cuda: str | None
    """The CUDA that it was built for, e.g. `13.2`; None for a build without CUDA."""


def torch_build() -> TorchBuild | None:
    """Return the torch that `import torch` would load, or None where there is none. Imports nothing."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    try:
        text = (Path(spec.origin).parent / "version.py").read_text(encoding="utf-8")
    except OSError:
        return None
    version = re.search(r"^__version__\s*=\s*['\"]([^'\"]+)", text, re.MULTILINE)
    cuda = re.search(r"^cuda\b[^=\n]*=\s*['\"]([^'\"]+)", text, re.MULTILINE)
    return TorchBuild(version[1] if version else "", cuda[1] if cuda else None)
