"""One contract for every scheduler: each planned replica once, none lost, failures recorded, resume exact."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
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
def ray_cluster():
    """A Ray of two nodes: the cluster, its head and the other one."""
    pytest.importorskip("ray", reason="the extra ray is not installed")
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    nodes = [cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20) for _ in range(2)]
    cluster.wait_for_nodes()
    yield cluster, *nodes
    cluster.shutdown()


@pytest.fixture
def ray(ray_cluster):
    """Run on a Ray of two nodes."""
    return ("run.on=ray", "run.ray.blocks=2", f"run.ray.address='{ray_cluster[1].address}'"), {}


@pytest.fixture
def ray_sweep(ray, joulemark):
    """Start a sweep of twelve trials on Ray; wait for its first records."""
    words = ["run", "workload=noop", "seed=range(12)", "run.name=spread", *joulemark.TINY,
             "measure.replicas=2", "measure.max_replicas=2"]  # fmt: skip

    def start(*more):
        process = joulemark.start(*words, *ray[0], *more)
        deadline = time.monotonic() + 120
        while len({r["evidence"]["allocation"]["node"] for r in joulemark.records("spread")}) < 2:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        return process

    return words, start


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


def _expect_each_replica_once(records):
    """Nothing is lost, and what counts of every trial is each replica once, of one node."""
    good = [r for r in records if r["status"] == "ok"]
    by_node = Counter((r["trial_id"], r["replica"], r["evidence"]["allocation"]["node"]) for r in good)
    assert set(by_node.values()) == {1}
    whole = {
        t
        for t, node in {(t, n) for t, _, n in by_node}
        if {r for u, r, n in by_node if (u, n) == (t, node)} == {0, 1}
    }
    assert len(whole) == 12


def _good(records):
    return Counter((r["trial_id"], r["replica"]) for r in records if r["status"] == "ok")


@pytest.mark.slow
def test_a_cancelled_sweep_on_ray_resumes_here(ray_sweep, joulemark):
    """Ctrl-C ends the blocks, which leave records; a local run measures the rest, and only that."""
    words, start = ray_sweep
    process = start()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert process.returncode == 130
    before = joulemark.records("spread")
    assert {r["status"] for r in before} <= {"ok", "interrupted"}
    done = joulemark(*words)
    assert done.returncode == 0, done.stderr
    after = joulemark.records("spread")
    assert [r for r in after if r in before] == before
    assert (len(_good(after)), set(_good(after).values())) == (24, {1})


@pytest.mark.slow
def test_a_time_limit_on_ray_leaves_the_rest_for_the_next_command(ray_sweep, joulemark):
    """Ray has none of its own: whoever limits the command ends it by SIGTERM. The same command goes on."""
    _, start = ray_sweep
    process = start("measure.seconds=2")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode == 130
    before = joulemark.records("spread")
    assert {r["status"] for r in before} <= {"ok", "interrupted"}
    assert len(_good(before)) < 24
    again = start("measure.seconds=2")
    out, err = again.communicate(timeout=300)
    assert again.returncode == 0, out + err
    after = joulemark.records("spread")
    assert [r for r in after if r in before] == before
    _expect_each_replica_once(after)


@pytest.mark.slow
def test_a_requeued_block_of_ray_goes_on(ray_sweep, joulemark):
    """A task's process dies, as where memory ran out: Ray starts its block again, which adds the rest."""
    _, start = ray_sweep
    process = start()
    (block, *_) = _blocks(joulemark.folder)
    task = int(Path(f"/proc/{block}/stat").read_text().rpartition(")")[2].split()[1])
    assert "run_block" in Path(f"/proc/{task}/cmdline").read_text()
    before = joulemark.records("spread")
    os.kill(task, signal.SIGKILL)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, out + err
    assert block not in _blocks(joulemark.folder)
    after = joulemark.records("spread")
    assert [r for r in after if r in before] == before
    assert {r["status"] for r in after} <= {"ok", "interrupted"}
    _expect_each_replica_once(after)


def _blocks(folder):
    """Return the process ids of the blocks that write below a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().split(b"\0")
            if b"--block" in words and any(str(folder).encode() in word for word in words):
                found.append(int(path.parent.name))
    return found


@pytest.mark.slow
def test_a_killed_node_of_ray_loses_and_doubles_nothing(ray_sweep, ray_cluster, joulemark):
    """Its block starts again on the other node; of each trial one node's records make it whole, each once."""
    _, start = ray_sweep
    process = start()
    cluster, _, second = ray_cluster
    cluster.remove_node(second, allow_graceful=False)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, out + err
    _expect_each_replica_once(joulemark.records("spread"))
