"""Shell completion, from the names of files alone: no Hydra, no torch."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.config.folder import config_folder


def overrides(prefix: str, **_: object) -> list[str]:
    """Return the overrides that begin with `prefix`: groups and, after the `=`, their options."""
    plus = "+" if prefix.startswith("+") else ""
    group, equals, typed = prefix.lstrip("+").partition("=")
    *before, last = typed.split(",")
    done = "".join(f"{choice}," for choice in before)
    folder = config_folder()
    if not equals:
        return [
            f"{plus}{d.name}=" for d in sorted(folder.iterdir()) if d.is_dir() and d.name.startswith(group)
        ]
    options = sorted(f.stem for f in (folder / group).glob("*.yaml")) if group.isidentifier() else []
    return [f"{plus}{group}={done}{option}" for option in options if option.startswith(last)]


def sweeps(prefix: str, **_: object) -> list[str]:
    """Return the sweeps beneath ./results that begin with `prefix`."""
    folder = Path("results")
    if not folder.is_dir():
        return []
    return sorted(
        d.name for d in folder.iterdir() if d.is_dir() and d.name.startswith(prefix) and d.name != "index"
    )


def main(options: argparse.Namespace) -> int:
    """Print the code that a shell evaluates to complete `joulemark`."""
    import argcomplete.shell_integration

    print(argcomplete.shell_integration.shellcode(["joulemark"], shell=options.shell))
    return 0
