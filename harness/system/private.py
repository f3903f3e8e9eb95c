"""What of a text may leave this machine: paths by their last part, commands by their program.

A salted digest stands for the rest, so that two records of one user say whether they name the same. The salt
stays in the user's own folder: without it, guessing paths finds nothing.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
import shlex
from functools import cache
from pathlib import Path

_SALT_BYTES = 32


def shown_path(path: str) -> str:
    """Return a path that leads away from here as its last part and a digest; one below here as it is."""
    if not path.startswith(("/", "~")) and ".." not in Path(path).parts:
        return path
    return f"{Path(path).name or 'root'}#{salted(path)}"


def shown_device(device: str) -> str:
    """Return a meter's name: of `command:LINE` the program, of `file:PATH` the last part, with a digest."""
    what, colon, rest = device.partition(":")
    if what == "file" and colon:
        path, mark, query = rest.partition("?")
        return f"file:{shown_path(path)}{mark}{query}"
    if what != "command" or not colon:
        return device
    try:
        program = shlex.split(rest)[0]
    except (ValueError, IndexError):
        program = ""
    return f"command:{Path(program).name or 'unreadable'}#{salted(rest)}"


def salted(text: str) -> str:
    """Return 12 hexadecimal digits that stand for a text, the same for this user every time."""
    return hmac.new(_salt(), text.encode(), "sha256").hexdigest()[:12]


def without_home(text: str) -> str:
    """Return a text with this user's own folder as `~`: its name is the user's."""
    if "/" not in text:
        return text
    home = str(Path.home())
    return text if home in {"/", "."} else text.replace(home, "~")


@cache
def _salt() -> bytes:
    """Return the user's salt, made when it is first asked for.

    Where it can be kept nowhere, it holds for this process: what names private paths is then new each time.
    """
    base = os.environ.get("XDG_CONFIG_HOME")
    folder = (Path(base) if base else Path.home() / ".config") / "joulemark"
    path, made = folder / "salt", secrets.token_bytes(_SALT_BYTES)
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(made)
        kept = path.read_bytes()
        return kept if len(kept) == _SALT_BYTES else made
    return made
