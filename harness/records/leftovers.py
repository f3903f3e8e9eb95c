"""What runs that were killed left in a results folder, removed by the next run of the sweep."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from harness.records.store import Store
from harness.system.errors import access_to

_TEMPORARY = re.compile(r"\..+\.tmp")
_AGENT = re.compile(r"\.agent-.+")


def sweep_up(store: Store, sweep: str) -> None:
    """Remove a sweep's temporary files and folders; only whoever holds the sweep's lock may.

    Raises:
        ResourceError: one of them cannot be removed.
    """
    with access_to(store.root):
        for probe in store.root.glob(".probe-*"):
            if not Path("/proc", probe.name.partition("-")[2]).exists():
                probe.unlink(missing_ok=True)
        for folder, folders, names in os.walk(store.sweep_dir(sweep)):
            for name in filter(_TEMPORARY.fullmatch, names):
                Path(folder, name).unlink(missing_ok=True)
            for name in filter(_AGENT.fullmatch, folders):
                shutil.rmtree(Path(folder, name), ignore_errors=True)
