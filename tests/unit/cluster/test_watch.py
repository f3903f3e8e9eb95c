"""Submitting, joining and watching, by a scripted queue and records whose content is known."""

from __future__ import annotations

import json

import pytest

from harness.cluster import slurm
from harness.cluster.blocks import Spread
from harness.cluster.jobs import Jobs
from harness.cluster.standing import standings, told
from harness.cluster.watch import SlurmSweep
from harness.identity.machine import Identity
from harness.planning.plan import make_plan
from harness.system.errors import InputError, UsageError

CODE = {"harness_sha256": "h", "workloads_sha256": "w", "torch": "2.13.0", "python": "CPython 3.11"}
HERE = Identity({}, CODE, "c" * 64, "d" * 64)
RUNNING, DONE = slurm.Task("RUNNING", "None", "n1"), slurm.Task("COMPLETED", "None", "n1")
STUCK = slurm.Task("PENDING", "PartitionNodeLimit", "")


@pytest.fixture(scope="module")
def plan():
    """Plan two comparisons of one replica each."""
    return make_plan(
        ["device=cpu", "workload=noop", "seed=0,1", "run.name=night", "run.on=slurm", "measure=quick"]
    )


class Queue:
    """A scheduler whose answers are a list; an exception in it is raised."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.submitted: list[list[str]] = []
        self.cancelled: list[str] = []

    def submit(self, sbatch, of, command, _environment):
        """Take a submission."""
        self.submitted.append([*sbatch, str(of), *command])
        return "12"

    def tasks(self, _job):
        """Answer once; the last answer stays."""
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def cancel(self, job):
        """Take a cancellation."""
        self.cancelled.append(job)


@pytest.fixture
def sweep(plan, store, monkeypatch):
    """Make a sweep on a scripted queue."""

    def make(*answers):
        queue = Queue(*answers)
        for name in ("submit", "tasks", "cancel"):
            monkeypatch.setattr(slurm, name, getattr(queue, name))
        notes: list[str] = []
        made = SlurmSweep(
            Spread.over(plan, store, HERE, None), note=notes.append, sleep=lambda _s: None, now_s=lambda: 0.0
        )
        return made, queue, notes

    return make


def measured(plan, store, make_record, number, **fields):
    """Write a record of one of the plan's trials."""
    trial = plan.trials[number]
    allocation = {"scheduler": "slurm", "job": "12_1", "node": "n1", "restarts": 0, "block": "1/2"}
    given = {"code": CODE, "machine_id": "e" * 64, "sweep": "night", "evidence": {"allocation": allocation}}
    store.write(make_record(trial_id=trial.trial_id, **(given | fields)))


def test_a_sweep_is_submitted_once_and_judged_from_the_records_of_all_nodes(sweep, plan, store, make_record):
    """The nodes' hardware and drivers are others than this host's; the code is the same."""
    made, queue, notes = sweep({1: RUNNING, 2: RUNNING}, {1: DONE, 2: DONE})
    made.sleep = lambda _s: [measured(plan, store, make_record, n, code_id="f" * 64) for n in (0, 1)]
    ledger = made.run()
    assert [len(ledger.ok(t.trial_id)) for t in plan.trials] == [1, 1]
    (words,) = queue.submitted
    assert "--array=1-2" in words
    assert words[words.index("run") + 1 :][:4] == [
        "device=cpu",
        "workload=noop",
        "seed=0,1",
        "run.name=night",
    ]
    assert words[-2:] == ["run.on=local", f"run.results='{store.root}'"]
    assert Jobs.read(store, "night").job == "12"
    assert notes[-1] == "job 12, 2 blocks: 2 ended on n1 (COMPLETED)"


def test_only_blocks_with_trials_left_are_submitted_again(sweep, plan, store, make_record):
    """And none where all is done."""
    measured(plan, store, make_record, 0)
    made, queue, _ = sweep({2: DONE})
    made.run()
    assert "--array=2" in queue.submitted[0]
    measured(plan, store, make_record, 1)
    made, queue, _ = sweep({2: DONE})
    made.run()
    assert queue.submitted == []


def test_a_failure_is_not_submitted_again_unless_it_is_asked_for(sweep, plan, store, make_record):
    """As a sweep on one host does."""
    for number, status in enumerate(("crashed", "interrupted")):
        measured(plan, store, make_record, number, status=status)
    made, queue, _ = sweep({2: DONE})
    made.run()
    assert "--array=2" in queue.submitted[0]


def test_a_second_command_joins_what_runs(sweep, plan, store):
    """It submits nothing."""
    first, _, _ = sweep({1: DONE, 2: DONE})
    first.run()
    second, queue, notes = sweep({1: RUNNING, 2: DONE}, {1: DONE, 2: DONE})
    second.run()
    assert queue.submitted == []
    assert notes[0] == "joining job 12; blocks left: 1"


def test_other_trials_under_the_same_name_wait_for_nothing(sweep, store):
    """One line says what to do; the jobs go on."""
    first, _, _ = sweep({1: DONE, 2: DONE})
    first.run()
    _, queue, _ = sweep({1: RUNNING, 2: RUNNING})
    other = make_plan(["device=cpu", "workload=noop", "seed=7", "run.name=night", "run.on=slurm"])
    with pytest.raises(UsageError, match="scancel 12"):
        SlurmSweep(Spread.over(other, store, HERE, None)).run()
    assert (queue.submitted, queue.cancelled) == ([], [])


def test_what_slurm_will_never_start_is_cancelled_with_its_reason(sweep):
    """At three looks in a row: a reason may pass while nodes come up."""
    made, queue, _ = sweep({1: STUCK, 2: STUCK}, {1: RUNNING, 2: STUCK}, {1: STUCK, 2: STUCK})
    with pytest.raises(UsageError, match=r"never start job 12 \(PartitionNodeLimit\)"):
        made.run()
    assert queue.cancelled == ["12"]


def test_ctrl_c_leaves_the_jobs_and_says_how_to_cancel_them(sweep):
    """Nothing is cancelled."""
    made, queue, notes = sweep({1: RUNNING, 2: RUNNING}, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        made.run()
    assert "`scancel 12` cancels it" in notes[-1]
    assert queue.cancelled == []


def test_a_controller_that_does_not_answer_for_a_while_ends_nothing(sweep):
    """It may be restarted; after a quarter of an hour the command gives up and the jobs go on."""
    silent = slurm.SlurmError("Slurm: Unable to contact slurm controller")
    made, _, _ = sweep(silent, silent, {1: DONE, 2: DONE})
    made.run()
    made, queue, _ = sweep({1: RUNNING, 2: RUNNING}, silent)
    clock = iter(range(0, 10_000, 300))
    made.now_s = lambda: float(next(clock))
    with pytest.raises(slurm.SlurmError):
        made.run()
    assert queue.cancelled == []


def test_a_block_that_ended_otherwise_is_told(sweep):
    """A time limit, a cancellation, a node that failed: in Slurm's word, with the node."""
    late, gone = slurm.Task("TIMEOUT", "TimeLimit", "n2"), slurm.Task("CANCELLED", "None", "")
    made, _, notes = sweep({1: late, 2: gone})
    made.run()
    assert notes[-2:] == ["block 1/2 ended TIMEOUT on n2", "block 2/2 ended CANCELLED on no node"]


def test_a_device_that_this_host_would_choose_is_refused(store):
    """The login node's best device is not the nodes'."""
    plan = make_plan(["workload=noop", "run.on=slurm"])
    with pytest.raises(UsageError, match="device=cuda"):
        Spread.over(plan, store, HERE, None)


def test_too_few_nodes_for_a_trial_are_refused(store, sweep):
    """Before anything is submitted."""
    plan = make_plan(
        ["device=cpu", "workload=gpt", "parallel=ddp", "parallel.ranks=4", "parallel.nodes=4", "power=none",
         "run.on=slurm",
         "run.slurm.nodes=2"]
    )  # fmt: skip
    _, queue, _ = sweep({})
    with pytest.raises(UsageError, match=r"parallel\.nodes"):
        SlurmSweep(Spread.over(plan, store, HERE, None)).run()
    assert queue.submitted == []


@pytest.mark.parametrize(
    "wrong",
    ["", "[]", '{"job": "12"}', json.dumps({"scheduler": "slurm", "job": "1; id", "of": 2, "blocks": [1],
     "plan": "a" * 64, "code": {}})],
)  # fmt: skip
def test_a_submission_that_is_none_is_refused_in_one_line(store, wrong):
    """It may come from a stranger: no part of it reaches a command line."""
    path = store.sweep_dir("night") / "jobs.json"
    path.parent.mkdir(parents=True)
    path.write_text(wrong)
    with pytest.raises(InputError, match="not a submission"):
        Jobs.read(store, "night")


def test_how_blocks_stand_is_told_in_one_line(plan, store, monkeypatch):
    """With reasons and nodes; where Slurm is not reached, that is what is known."""
    jobs = Spread.over(plan, store, HERE, None).jobs("slurm", "12", [1, 2])
    queue = Queue({1: RUNNING, 2: slurm.Task("PENDING", "Resources", "")})
    monkeypatch.setattr(slurm, "tasks", queue.tasks)
    line = told(standings(jobs, store.sweep_dir("night")))
    assert line == "job 12, 2 blocks: 1 running on n1; 1 queued (Resources)"
    queue.answers = [slurm.SlurmError("run.on=slurm: there is no squeue on this host's path")]
    assert "2 unknown (run.on=slurm: there is no squeue" in told(standings(jobs, store.sweep_dir("night")))
