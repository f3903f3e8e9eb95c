"""Where our own groups of the configuration lie; light, for `--help` and completion."""

from __future__ import annotations

from pathlib import Path


def config_folder() -> Path:
    """Return the folder of our own groups: inside the package when installed, beside it in a checkout."""
    here = Path(__file__).resolve().parents[1]
    return next(folder for folder in (here / "conf", here.parent / "conf") if folder.is_dir())
