"""One contract for every scheduler: each planned replica once, none lost, failures recorded, resume exact."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "standins" / "slurm.sh"
GOOD, BAD, REPLICAS = 4, 2, 2


@pytest.fixture
def here():
    """Run where the command is."""
    return (), {}


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """Run on a Slurm of two nodes."""
    absent = [name for name in ("slurmctld", "slurmd", "munged", "sbatch") if shutil.which(name) is None]
    if absent or os.geteuid() != 0:
        pytest.skip(f"no Slurm: {', '.join(absent)} not installed" if absent else "Slurm needs root")
    folder = tmp_path_factory.mktemp("slurm")
    up = subprocess.run([SCRIPT, "up", folder, "2"], check=True, capture_output=True, text=True, timeout=90)
    yield ("run.on=slurm", "run.slurm.blocks=2"), {"SLURM_CONF": up.stdout.strip()}
    subprocess.run([SCRIPT, "down", folder], check=True, timeout=90)


@pytest.fixture(scope="module")
def ray():
    """Run on a Ray of two nodes."""
    pytest.importorskip("ray", reason="the extra ray is not installed")
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    head = cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20)
    cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20)
    cluster.wait_for_nodes()
    yield ("run.on=ray", "run.ray.blocks=2", f"run.ray.address='{head.address}'"), {}
    cluster.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", ["here", "slurm", "ray"])
def test_the_contract(scheduler, request, joulemark):
    """Every replica is measured once, a failure recorded once; a second run adds only what is missing."""
    words, environment = request.getfixturevalue(scheduler)
    joulemark.environment.update(environment)
    seeds = ",".join(map(str, range(GOOD)))
    sweeps = {
        "fine": ("workload=noop", f"seed={seeds}", 0),
        "broken": ("workload=faults", "workload.shape.fault=raise,exit", 1),
    }
    for name, (*overrides, code) in sweeps.items():
        run = ["run", *overrides, f"run.name={name}", *joulemark.TINY, f"measure.replicas={REPLICAS}",
               f"measure.max_replicas={REPLICAS}", *words]  # fmt: skip
        done = joulemark(*run)
        assert done.returncode == code, done.stderr
        records = joulemark.records(name)
        counts = Counter((r["trial_id"], r["replica"], r["status"]) for r in records)
        assert set(counts.values()) == {1}
        if code == 0:
            assert len(records) == GOOD * REPLICAS
            assert {r["status"] for r in records} == {"ok"}
        else:
            assert len(records) == BAD
            assert {r["status"] for r in records} == {"crashed"}
        nodes = {(r["evidence"].get("allocation") or {}).get("node") for r in records}
        assert len(nodes) == (1 if scheduler == "here" else 2)
        assert joulemark(*run).returncode == code
        assert joulemark.records(name) == records
        if code == 0:
            lost = next((joulemark.folder / "results" / name).glob("*/*/r01-a00"))
            shutil.rmtree(lost)
            assert joulemark(*run).returncode == 0
            again = joulemark.records(name)
            counted = Counter((r["trial_id"], r["replica"]) for r in again)
            assert len(counted) == GOOD * REPLICAS
            fresh = [r for r in again if r not in records]
            assert {r["trial_id"] for r in fresh} == {lost.parent.name}
