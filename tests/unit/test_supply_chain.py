"""What is installed is pinned by hash, and its licences go with ours."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_lock_pins_what_the_constraints_pin() -> None:
    """Each by version and by the hash of every file; `make lock` writes it."""
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    pinned = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pinned.items()}
    locked = re.findall(
        r"^([\w.-]+)(?:\[[\w,-]+\])?==(\S+)([^\n]*\\\n(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)",
        (ROOT / "requirements.lock").read_text(),
        re.MULTILINE,
    )
    assert len(locked) == len(
        re.findall(r"^[\w.-]+(?:\[[\w,-]+\])?==", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    )
    assert len(locked) > 100
    differing = {name: version for name, version, _ in locked if pinned.get(name, version) != version}
    assert differing == {}


def test_every_licence_goes_with_ours() -> None:
    """Of everything that is installed because Joulemark needs it to run."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools/ci/licences.py")], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, [line for line in done.stdout.splitlines() if "REFUSED" in line]
    assert "torch " in done.stdout
