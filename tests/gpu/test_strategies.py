"""Strategies over NCCL, one GPU a rank: the losses of one GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.devices.cuda import LIBRARY, driver_device_count

pytestmark = pytest.mark.gpu
SCRIPT = Path(__file__).parent / "strategies.py"


@pytest.mark.parametrize("world", [2, 4, 8])
def test_strategies_give_the_losses_of_one_device(shim, world):
    """In fp32; an asynchronous server with one worker never has a stale gradient."""
    devices = driver_device_count(LIBRARY)
    if devices < world:
        pytest.skip(f"needs {world} GPUs, the driver shows {devices}")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={world}"]
    done = subprocess.run(
        [*command, str(SCRIPT), "cuda"],
        capture_output=True, text=True, timeout=90, check=False,
        env=os.environ | {"PYTHONPATH": str(SCRIPT.parents[2])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for name, (plain, told) in found.items():
        assert told == pytest.approx(plain, rel=1e-4), name
