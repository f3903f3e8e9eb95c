"""Whatever a trial does, the sweep goes on, and every attempt leaves a record that says what happened."""

import random
import signal
import time

import pytest


def gone(command, within_s=10.0):
    """Wait until none of the command's processes is left; return those that are."""
    deadline = time.monotonic() + within_s
    while command.processes() and time.monotonic() < deadline:
        time.sleep(0.05)
    return command.processes()


def test_every_fault_is_a_record_and_the_sweep_goes_on(joulemark):
    """Each failure has its status, phase, reason and signal; the exit code is 1; no process is left."""
    done = joulemark("run", "+experiment=faults", "run.timeout_s=15")
    assert done.returncode == 1, done.stderr
    found = {r["config"]["workload"]["shape"].get("fault", "noop"): r for r in joulemark.records("faults")}
    ends = {name: (r["status"], r["phase"], r["worker"]["signal"]) for name, r in found.items()}
    assert ends == {
        "noop": ("ok", "done", None),
        "none": ("ok", "done", None),
        "flood": ("ok", "done", None),
        "raise": ("crashed", "check", None),
        "exit": ("crashed", "check", None),
        "orphan": ("crashed", "check", None),
        "kill": ("crashed", "check", "SIGKILL"),
        "segfault": ("crashed", "check", "SIGSEGV"),
        "allocate": ("oom", "check", None),
        "hang": ("hung", "check", "SIGKILL"),
    }
    assert "the fault that was asked for" in found["raise"]["reason"]
    assert "Traceback" in found["raise"]["log_tail"]
    assert "code 7" in found["exit"]["reason"]
    assert "Segmentation fault" in found["segfault"]["log_tail"]
    assert found["orphan"]["worker"]["killed"] >= 1
    assert "5 s" in found["hang"]["reason"]
    logs = [p.stat().st_size for p in (joulemark.folder / "results").rglob("log.txt")]
    assert max(logs) < 1_000_000, "the gigabyte that was printed must not be on disk"
    assert gone(joulemark) == []

    status = joulemark("status", "faults")
    assert status.returncode == 1
    assert "7 failed" in status.stdout
    again = joulemark("run", "+experiment=faults", "run.timeout_s=15")
    assert again.returncode == 1
    assert len(joulemark.records("faults")) == 12, "a failure that is recorded is not run again by itself"

    report = joulemark("report", "faults", "--format", "html,md")
    assert report.returncode == 0, report.stderr
    page = (joulemark.folder / "reports/faults/report.html").read_text()
    for said in ("SIGSEGV", "exited with code 7", "the fault that was asked for", "no end within 15 s"):
        assert said in page


def test_a_fault_while_building_has_that_phase(joulemark):
    """The phase of a record is where it happened."""
    done = joulemark(
        "run", "workload=faults", "workload.shape.fault=exit", "workload.shape.at=build", *joulemark.TINY
    )
    assert done.returncode == 1
    (record,) = joulemark.records("faults")
    assert (record["status"], record["phase"]) == ("crashed", "build")


def test_a_failed_replica_is_tried_again_when_asked(joulemark):
    """`run.retry_failed=true` adds an attempt; the earlier record stays."""
    args = ["run", "workload=faults", "workload.shape.fault=raise", *joulemark.TINY]
    assert joulemark(*args).returncode == 1
    assert joulemark(*args, "run.retry_failed=true").returncode == 1
    assert [(r["replica"], r["attempt"]) for r in joulemark.records("faults")] == [(0, 0), (0, 1)]


@pytest.mark.parametrize("worker", ["warm", "exec"])
def test_both_kinds_of_worker_measure(joulemark, worker):
    """A warm fork and a new interpreter give the same kind of record."""
    done = joulemark("run", "workload=noop", f"run.worker={worker}", *joulemark.TINY)
    assert done.returncode == 0, done.stderr
    (record,) = joulemark.records("noop")
    assert (record["status"], record["worker"]["kind"]) == ("ok", worker)


def test_killing_the_parent_loses_and_doubles_nothing(joulemark):
    """SIGKILL at random moments, then the same command: exactly the planned replicas."""
    args = [
        "run",
        "workload=noop",
        "seed=range(6)",
        "measure.replicas=2",
        "measure.max_replicas=2",
        *joulemark.TINY,
    ]
    rng = random.Random(20)
    for _ in range(4):
        process = joulemark.start(*args)
        time.sleep(rng.uniform(0.3, 3.5))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert gone(joulemark) == []
    assert joulemark(*args).returncode == 0
    good = [(r["trial_id"], r["replica"]) for r in joulemark.records("noop") if r["status"] == "ok"]
    assert len(good) == len(set(good)) == 12


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_no_process_and_can_be_resumed(joulemark, number):
    """Ctrl-C in a replica: exit code 130, no orphan, a record of the interruption, then resume."""
    args = ["run", "workload=noop", "measure.seconds=30", *[a for a in joulemark.TINY if "seconds=" not in a]]
    process = joulemark.start(*args)
    folder = joulemark.folder / "results" / "noop"
    deadline = time.monotonic() + 60
    while not list(folder.glob("*/*/*/log.txt")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted" in err
    assert "Traceback" not in err
    assert gone(joulemark) == []
    assert [r["status"] for r in joulemark.records("noop")] == ["interrupted"]
    # Another trial of the same sweep still runs: nothing is locked, nothing is broken.
    assert joulemark("run", "workload=noop", *joulemark.TINY).returncode == 0


def test_resume_runs_only_what_is_missing(joulemark):
    """A finished sweep runs nothing again; one record removed is measured again."""
    args = ["run", "workload=noop", "seed=1,2", *joulemark.TINY]
    assert joulemark(*args).returncode == 0
    first = {r["trial_id"]: r["started_at"] for r in joulemark.records("noop")}
    assert joulemark(*args).returncode == 0
    assert {r["trial_id"]: r["started_at"] for r in joulemark.records("noop")} == first
    lost = next((joulemark.folder / "results/noop").glob("*/*/*/record.json"))
    lost.write_text(lost.read_text()[:100])
    done = joulemark(*args)
    assert done.returncode == 0
    assert "left out" in done.stderr
    assert lost.read_text()[:1] == "{"
    assert len(list((joulemark.folder / "results/noop").glob("*/*/*/record.json"))) == 3


def test_a_second_run_of_the_same_sweep_is_refused(joulemark):
    """Two writers of one sweep would measure each other: the second says who is there."""
    args = ["run", "workload=noop", "measure.seconds=30", *[a for a in joulemark.TINY if "seconds=" not in a]]
    first = joulemark.start(*args)
    while not list((joulemark.folder / "results/noop").glob("*/*/*/log.txt")) and first.poll() is None:
        time.sleep(0.05)
    second = joulemark(*args)
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=30)
    assert second.returncode == 2
    assert f"process {first.pid}" in second.stderr
