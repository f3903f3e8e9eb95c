"""What the environment of a scheduler tells, and what is passed over in it."""

from __future__ import annotations

import pytest

from harness.system.allocation import Allocation, allocation


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({}, Allocation()),
        ({"SLURM_JOB_ID": "7", "SLURMD_NODENAME": "n1"}, Allocation("slurm", "7", "n1")),
        (
            {
                "SLURM_JOB_ID": "9",
                "SLURM_ARRAY_JOB_ID": "7",
                "SLURM_ARRAY_TASK_ID": "2",
                "SLURM_RESTART_COUNT": "1",
                "SLURMD_NODENAME": "n2",
            },
            Allocation("slurm", "7_2", "n2", 1),
        ),
        (
            {"JOULEMARK_SCHEDULER": "kubernetes", "JOULEMARK_JOB": "sweep-0-x7", "JOULEMARK_NODE": "pool-1"},
            Allocation("kubernetes", "sweep-0-x7", "pool-1"),
        ),
        ({"SLURM_JOB_ID": "7", "SLURMD_NODENAME": "../n\x1b[2J"}, Allocation("slurm", "7", None)),
        ({"SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": "-1"}, Allocation("slurm", "7", None, 0)),
    ],
)
def test_the_scheduler_names_job_node_and_restarts(environment, told):
    """An array's task has both its ids; a first run has no count of restarts; no word, no fact."""
    assert allocation(environment) == told
