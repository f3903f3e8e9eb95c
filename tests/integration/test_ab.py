"""`joulemark ab` and `compare` on real processes: a slowdown, an interrupt, two checkouts, bad input."""

import json
import signal
import subprocess
import time

import pytest

TINY = ["workload=spin", "device=cpu", "device.threads=1", "measure=quick", "power=none"]
TINY += ["measure.warmup_s=0", "measure.warmup_cap_s=0.05", "measure.steady_window_s=0.01"]
SLOW = ["workload.shape.work=20", "workload.shape.work=400", *TINY, "--pair-seconds", "0.05"]
"""Twenty times the work: found at the first look on any machine, however busy."""


def good(joulemark, sweep):
    """Return the replicas of a sweep that have a good record."""
    return sorted(r["replica"] for r in joulemark.records(sweep) if r["status"] == "ok")


def test_a_planted_slowdown_is_worse(joulemark):
    """Twenty times the work is exit code 3 after the first look, from ordinary records in two sweeps."""
    done = joulemark("ab", *SLOW, "--name", "slow", "--json")
    assert done.returncode == 3, done.stderr
    told = json.loads(done.stdout)
    assert (told["verdict"], told["exit_code"]) == ("worse", 3)
    lines = {line["metric"]: line for line in told["metrics"]}
    assert told["metrics"][0]["metric"].startswith("iteration.mean")
    assert told["metrics"][0]["effect"] > 0.5
    assert lines["throughput.samples"]["label"] == "worse"
    assert lines["energy.sample"]["label"] == "unavailable"
    assert lines["energy.sample"]["reason"]
    assert good(joulemark, "slow-base") == good(joulemark, "slow-head") == list(range(told["pairs"]))
    assert "pair  6" in done.stderr
    assert joulemark.processes() == []

    assert joulemark("status", "slow-head").returncode == 0
    other = joulemark("compare", "slow-base", "slow-head")
    assert other.returncode == 2
    assert "no work in common" in other.stderr
    same = joulemark("compare", "slow-head", "slow-head", "--delta", "0.9")
    assert same.returncode == 0, same.stderr
    assert "equivalent" in same.stdout


def test_an_interrupt_says_how_to_go_on(joulemark):
    """Ctrl-C: exit code 130 and the name; the name then goes on, and measures no complete pair again."""
    process = joulemark.start("ab", *SLOW)
    results, deadline = joulemark.folder / "results", time.monotonic() + 60
    while len(list(results.glob("ab-*-*/*/*/*/record.json"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    name = said.rsplit("--name ", 1)[1].strip()
    kept = set(good(joulemark, f"{name}-base")) & set(good(joulemark, f"{name}-head"))
    assert f"after {len(kept)} pairs" in said

    again = joulemark("ab", *SLOW, "--name", name)
    assert again.returncode == 3, again.stderr
    # Another process may have made the machine loud: pairs are replaced, but none is measured twice.
    for side in ("base", "head"):
        found = good(joulemark, f"{name}-{side}")
        assert set(range(6)) <= set(found)
        assert all(found.count(replica) == 1 for replica in kept)


@pytest.mark.slow
def test_two_checkouts_of_one_repository(joulemark):
    """The same configuration from a revision and from a folder: both run, and the worktree is removed."""
    git = ["git", "-c", "user.name=Somebody", "-c", "user.email=somebody@example.org"]
    for command in (["init", "--quiet"], ["commit", "--quiet", "--allow-empty", "-m", "one"]):
        subprocess.run([*git, *command], cwd=joulemark.folder, check=True)
    done = joulemark(
        *("ab", "--base-checkout", "HEAD", "--head-checkout", ".", *TINY, "workload.shape.work=20"),
        *("--pair-seconds", "0.05", "--delta", "0.9", "--name", "two", "--json"),
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["verdict"] == "equivalent"
    assert told["base"]["commit"] == told["head"]["commit"]
    assert told["base"]["trial_id"] == told["head"]["trial_id"]
    assert {r["worker"]["kind"] for r in joulemark.records("two-base")} == {"exec"}
    trees = subprocess.run([*git, "worktree", "list"], cwd=joulemark.folder, capture_output=True, text=True)
    assert len(trees.stdout.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ab", "workload=noop"], "BASE and HEAD"),
        (["ab", "", "", "workload=noop", "--delta", "2"], "--delta"),
        (["ab", "seed=1,2", "", "workload=noop"], "base makes 2 trials"),
        (["ab", "--base-checkout", "no-such-revision", "workload=noop"], "no-such-revision"),
        (["ab", "", "", "workload=noop", "--pair-seconds", "-1"], "measure.seconds"),
        (["compare", "a", "b"], "no records of a sweep a"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(joulemark, words, said):
    """Nothing starts, nothing is written, and the line names what is wrong."""
    done = joulemark(*words)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (joulemark.folder / "results").exists()
