"""Two hosts, by network namespaces: trials of ranks on both, and failures that are named by host and rank."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

RUNNER = Path(__file__).parents[1] / "standins" / "two_hosts.py"
ADDRESSES = ("10.213.7.1", "10.213.7.2")
SPREAD = ("parallel.ranks=2", "parallel.nodes=2", "run.on=slurm", "run.timeout_s=120")


def ip(*words: str) -> None:
    """Run one command of iproute2."""
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True, timeout=20)


@pytest.fixture(scope="module")
def hosts():
    """Make two namespaces with a wire between them; return the first one's name."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2")
    base = f"jm-{uuid.uuid4().hex[:6]}-"
    names = [f"{base}1", f"{base}2"]
    try:
        for name in names:
            ip("netns", "add", name)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"network namespaces are not allowed here: {error.stderr.strip()}")
    ip("link", "add", "wire", "netns", names[0], "type", "veth", "peer", "name", "wire", "netns", names[1])
    for name, address in zip(names, ADDRESSES, strict=True):
        for words in (("addr", "add", f"{address}/24", "dev", "wire"), ("link", "set", "wire", "up"),
                      ("link", "set", "lo", "up")):  # fmt: skip
            ip("-n", name, *words)
    yield names[0]
    for name in names:
        ip("netns", "del", name)


@pytest.fixture
def replica(hosts, tmp_path, joulemark):
    """Run one replica on both hosts and return its result and what was printed."""

    def run(*overrides):
        words = [*joulemark.TINY, *SPREAD, "measure.profile=false", *overrides]
        done = subprocess.run(
            ["ip", "netns", "exec", hosts, sys.executable, RUNNER, hosts, ADDRESSES[0], tmp_path, *words],
            env={**joulemark.environment, "OMP_NUM_THREADS": "1"},
            capture_output=True, text=True, timeout=200,
        )  # fmt: skip
        assert done.stdout, done.stderr
        return json.loads(done.stdout.splitlines()[-1]), done.stdout + done.stderr

    return run


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_hosts_train_together(replica, strategy):
    """Both hosts' work over the slowest one's span, a device on each, and every rank's node."""
    result, said = replica("workload=gpt", f"parallel={strategy}")
    assert result["status"] == "ok", said
    first, second = result["evidence"]["ranks"]
    assert [one["device"] for one in (first, second)] == ["host-a/cpu", "host-b/cpu"]
    assert first["iterations"] == second["iterations"] >= 3
    metrics = {m["id"]: m["value"] for m in result["metrics"]}
    tokens = first["units"]["tokens"] + second["units"]["tokens"]
    assert tokens == 4 * 64 * first["iterations"]
    span_s = max(first["span_ns"], second["span_ns"]) / 1e9
    assert metrics["throughput.tokens"] * span_s == pytest.approx(tokens)
    assert metrics["loss.last"] < metrics["loss.first"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "status", "reason"),
    [
        ("kill", "crashed", "rank 1 on host-b: killed by SIGKILL"),
        ("raise", "crashed", "rank 1 on host-b: RuntimeError in phase check: the fault that was asked for"),
        ("hang", "hung", "rank 1 on host-b is at catalogue/selftest.py"),
    ],
)
def test_a_failure_is_named_by_host_and_rank(replica, fault, status, reason):
    """On the other host, while rank 0 waits for it or fails because of it."""
    limit = "run.timeout_s=40" if fault == "hang" else "run.timeout_s=120"
    result, said = replica(
        "workload=faults", "workload.batch=2", "workload.shape.rank=1", "parallel=replicated",
        f"workload.shape.fault={fault}", limit,
    )  # fmt: skip
    assert (result["status"], reason in result["reason"]) == (status, True), (result["reason"], said)
