"""Ranks on real devices: forked before the driver is opened, over NCCL, or side by side on one device."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from harness.devices.cuda import LIBRARY, driver_device_count

pytestmark = pytest.mark.gpu
QUICK = [
    "device=cuda", "measure=quick", "measure.seconds=0.3", "measure.warmup_s=0", "measure.warmup_cap_s=1",
    "power=none", "run.timeout_s=60",
]  # fmt: skip


@pytest.mark.parametrize(
    ("parallel", "ranks"),
    [("task", 2), ("fsdp", None), ("tensor", 1)],
    ids=["side by side on one device", "one for each device", "over NCCL alone"],
)
def test_ranks_train_on_devices(shim, tmp_path, parallel, ranks):
    """Each rank opens its device after the fork; the loss falls and the record has every rank."""
    world = ranks or min(4, driver_device_count(LIBRARY))
    command = [sys.executable, "-m", "harness.cli", "run", "workload=gpt", f"parallel={parallel}"]
    done = subprocess.run(
        [*command, f"parallel.ranks={world}", *QUICK],
        cwd=tmp_path, capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    (path,) = tmp_path.glob("results/gpt/*/*/*/record.json")
    record = json.loads(path.read_text())
    assert record["status"] == "ok", (record["reason"], record["log_tail"], done.stderr)
    ranks_told = record["evidence"].get("ranks", [])
    assert len(ranks_told) == (world if world > 1 else 0)
    devices = {rank["device"] for rank in ranks_told}
    assert len(devices) == (0 if world == 1 else 1 if parallel == "task" else world)
    losses = {m["id"]: m["value"] for m in record["metrics"]}
    assert losses["loss.last"] < losses["loss.first"]
