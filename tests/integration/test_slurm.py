"""A real Slurm on this host: what it does to jobs loses nothing and doubles nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "standins" / "slurm.sh"
NEEDED = ("slurmctld", "slurmd", "munged", "sbatch")
TRIALS = 24
pytestmark = pytest.mark.slow


def missing() -> str | None:
    """Return why there can be no Slurm here."""
    absent = [name for name in NEEDED if shutil.which(name) is None]
    if absent:
        return f"Slurm is not installed: no {', '.join(absent)}"
    return None if os.geteuid() == 0 else "Slurm's daemons start jobs of others only as root"


class Cluster:
    """Two nodes of one host, with the command that runs sweeps on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        conf = subprocess.run(
            [SCRIPT, "up", folder, "2"], check=True, capture_output=True, text=True, timeout=90
        ).stdout.strip()
        self.environment = {**os.environ, "SLURM_CONF": conf}

    def __call__(self, *words: str) -> str:
        """Run one of Slurm's commands."""
        return subprocess.run(
            words, env=self.environment, check=True, capture_output=True, text=True, timeout=60
        ).stdout

    def node(self, verb: str, name: str) -> None:
        """Kill or start a node's daemon."""
        subprocess.run([SCRIPT, verb, self.folder, name], check=True, timeout=60)

    def down(self) -> None:
        """Stop all of it."""
        subprocess.run([SCRIPT, "down", self.folder], check=True, timeout=90)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Start Slurm once for all tests here."""
    if (why := missing()) is not None:
        pytest.skip(why)
    made = Cluster(tmp_path_factory.mktemp("slurm"))
    yield made
    made.down()


@pytest.fixture
def sweep(cluster, joulemark):
    """Run the sweep of 24 trials, on the cluster or here."""
    joulemark.environment["SLURM_CONF"] = cluster.environment["SLURM_CONF"]

    class Sweep:
        command = joulemark
        words = (
            "run", "workload=noop", f"seed=range({TRIALS})", "run.name=spread", *joulemark.TINY,
            "measure.replicas=2", "measure.max_replicas=2",
        )  # fmt: skip
        cluster = (
            "run.on=slurm",
            "run.slurm.blocks=2",
            "run.slurm.partition=low",
        )

        def start(self, *more: str) -> subprocess.Popen[str]:
            """Start it on the cluster."""
            return joulemark.start(*self.words, *self.cluster, *more)

        def records(self) -> list[dict]:
            """Return its records."""
            return joulemark.records("spread")

        def until(self, happened, seconds=120.0) -> None:
            """Wait until something is so."""
            deadline = time.monotonic() + seconds
            while not happened():
                assert time.monotonic() < deadline, cluster("squeue", "--states=all", "--array")
                time.sleep(0.1)

    made = Sweep()
    yield made
    cluster("scancel", "--user=root")
    made.until(lambda: not cluster("squeue", "--noheader"))


def expect_each_replica_once(records, trials=TRIALS) -> None:
    """Nothing is lost, and what counts of every trial is each replica once, of one node."""
    good = Counter((r["trial_id"], r["replica"], r["evidence"]["allocation"]["node"])
                   for r in records if r["status"] == "ok")  # fmt: skip
    assert max(good.values()) == 1
    whole = {
        trial
        for trial, node in {(t, n) for t, _, n in good}
        if {replica for t, replica, n in good if (t, n) == (trial, node)} == {0, 1}
    }
    assert len(whole) == trials


def ended(process, code) -> str:
    """Wait for a command's end and return what it said."""
    out, err = process.communicate(timeout=400)
    assert process.returncode == code, err
    return out + err


def test_a_sweep_over_two_nodes_measures_every_replica_once(sweep, joulemark, cluster):
    """One record a replica, half of the trials on each node; a second command and a local one run nothing."""
    said = ended(sweep.start(), 0)
    assert "24 done" in said
    records = sweep.records()
    expect_each_replica_once(records)
    assert len(records) == 2 * TRIALS
    assert Counter(r["evidence"]["allocation"]["node"] for r in records) == {"n1": TRIALS, "n2": TRIALS}
    status = joulemark("status", "spread")
    assert "2 blocks: 2 ended on n1, n2 (COMPLETED)" in status.stdout
    sweep.until(lambda: not cluster("squeue", "--noheader"))
    again = joulemark(*sweep.words, *sweep.cluster)
    assert (again.returncode, again.stderr) == (0, "")
    assert joulemark(*sweep.words).returncode == 0
    assert sweep.records() == records
    assert joulemark("bundle", "spread", "-o", "spread.tar").returncode == 0
    verified = joulemark("verify", "spread.tar")
    assert (verified.returncode, "consistent" in verified.stdout) == (0, True), verified.stdout


def test_a_cancelled_sweep_resumes_here(sweep, joulemark, cluster):
    """Ctrl-C leaves the jobs; scancel leaves records; the rest is measured by a local run, and only that."""
    process = sweep.start()
    sweep.until(lambda: len(sweep.records()) > 6)
    process.send_signal(signal.SIGINT)
    said = ended(process, 130)
    assert "goes on without this command" in said
    assert cluster("squeue", "--noheader", "--states=running")
    job = said.split("`scancel ")[1].split("`")[0]
    assert joulemark(*sweep.words).returncode == 2  # a block holds its lease
    cluster("scancel", job)
    sweep.until(lambda: not cluster("squeue", "--noheader"))
    before = sweep.records()
    assert {r["status"] for r in before} <= {"ok", "interrupted"}
    done = joulemark(*sweep.words)
    assert (done.returncode, "24 done" in done.stdout) == (0, True), done.stderr
    after = sweep.records()
    assert [r for r in after if r in before] == before
    good = Counter((r["trial_id"], r["replica"]) for r in after if r["status"] == "ok")
    assert set(good.values()) == {1}
    assert len(good) == 2 * TRIALS


def test_a_requeued_block_goes_on(sweep, cluster):
    """What was finished is not measured again."""
    process = sweep.start()
    sweep.until(lambda: len(sweep.records()) > 6)
    job = cluster("squeue", "--noheader", "--format=%F", "--states=running").split()[0]
    cluster("scontrol", "requeue", job)
    sweep.until(lambda: "BeginTime" in cluster("squeue", "--noheader", "--format=%r"))
    for task in cluster("squeue", "--noheader", "--array", "--format=%F_%K", "--states=pending").split():
        cluster("scontrol", "update", f"JobId={task}", "StartTime=now")
    assert "24 done" in ended(process, 0)
    expect_each_replica_once(sweep.records())
    assert {r["evidence"]["allocation"]["restarts"] for r in sweep.records()} == {0, 1}


def test_a_preempted_block_loses_and_doubles_nothing(sweep, cluster):
    """A job of a higher partition takes its node. Slurm may put the block back, or end it as out of time."""
    process = sweep.start()
    sweep.until(lambda: len(sweep.records()) > 6)
    taker = cluster("sbatch", "--parsable", "--partition=high", "--nodelist=n1", "--exclusive",
                    "--output=/dev/null", "--wrap=sleep 3").strip()  # fmt: skip
    sweep.until(lambda: "COMPLETED" in cluster("scontrol", "show", "job", taker))

    def over() -> bool:
        for task in cluster("squeue", "-h", "--array", "--format=%F_%K", "--states=pending").split():
            cluster("scontrol", "update", f"JobId={task}", "StartTime=now")
        return process.poll() is not None

    sweep.until(over)
    before = sweep.records()
    if process.returncode == 1:
        assert "ended TIMEOUT" in ended(process, 1)
        assert "24 done" in ended(sweep.start(), 0)
    else:
        assert "24 done" in ended(process, 0)
        assert {r["evidence"]["allocation"]["restarts"] for r in before} == {0, 1}
    records = sweep.records()
    assert [r for r in records if r in before] == before
    assert {r["status"] for r in records} <= {"ok", "interrupted"}
    expect_each_replica_once(records)


def test_a_killed_daemon_costs_no_record(sweep, cluster):
    """Its block starts again elsewhere while the first copy goes on; both leave records, and one counts."""
    process = sweep.start("measure.seconds=2")
    sweep.until(lambda: len(sweep.records()) > 2)
    cluster.node("kill", "n1")
    try:
        sweep.until(lambda: "BeginTime" in cluster("squeue", "--noheader", "--format=%r"), 200)
        for task in cluster("squeue", "--noheader", "--array", "--format=%F_%K", "--states=pending").split():
            cluster("scontrol", "update", f"JobId={task}", "StartTime=now")
        assert "24 done" in ended(process, 0)
    finally:
        cluster.node("start", "n1")
        sweep.until(lambda: len(cluster("sinfo", "-h", "-N", "-p", "low", "-t", "idle").split("\n")) > 2)
    records = sweep.records()
    good = [r for r in records if r["status"] == "ok"]
    by_node = Counter((r["trial_id"], r["replica"], r["evidence"]["allocation"]["node"]) for r in good)
    assert set(by_node.values()) == {1}
    assert any(count > 1 for count in Counter((r["trial_id"], r["replica"]) for r in good).values())


def test_a_time_limit_leaves_the_rest_for_the_next_command(sweep, cluster):
    """The replica in flight is recorded as interrupted; the same command submits what is left."""
    process = sweep.start("run.slurm.time=1", "measure.seconds=4")
    said = ended(process, 1)
    assert "ended TIMEOUT" in said
    before = sweep.records()
    assert {r["status"] for r in before} == {"ok", "interrupted"}
    assert "24 done" in ended(sweep.start("run.slurm.time=30", "measure.seconds=4"), 0)
    records = sweep.records()
    assert [r for r in records if r in before] == before
    expect_each_replica_once(records)


def test_a_trial_on_two_nodes_leaves_one_record_of_all_ranks(joulemark, cluster):
    """The second node's ranks are started by a job step; each rank has its node, and the record the job."""
    joulemark.environment["SLURM_CONF"] = cluster.environment["SLURM_CONF"]
    done = joulemark(
        "run", "workload=gpt", "parallel=ddp", "parallel.ranks=2", "parallel.nodes=2", "run.name=pair",
        *joulemark.TINY, "run.on=slurm", "run.slurm.partition=low", "run.timeout_s=150",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (record,) = joulemark.records("pair")
    assert [rank["device"] for rank in record["evidence"]["ranks"]] == ["n1/cpu", "n2/cpu"]
    assert record["evidence"]["allocation"]["nodes"] == 2
    assert record["evidence"]["allocation"]["job"].endswith("_1")
    metrics = {m["id"]: m["value"] for m in record["metrics"]}
    first, second = record["evidence"]["ranks"]
    span_s = max(first["span_ns"], second["span_ns"]) / 1e9
    assert metrics["throughput.tokens"] * span_s == pytest.approx(4 * 64 * first["iterations"])


def test_what_can_never_start_is_one_line(sweep, cluster):
    """Five nodes of two: Slurm accepts the request and leaves it pending."""
    said = ended(sweep.start("run.slurm.nodes=5"), 2)
    assert "Slurm will never start job" in said
    assert cluster("squeue", "--noheader") == ""
    assert "Invalid partition" in ended(sweep.start("run.slurm.partition=none"), 2)
    assert sweep.records() == []
