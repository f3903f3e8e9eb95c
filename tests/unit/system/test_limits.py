"""A shell whose limits are too low for a sweep is told so in one line."""

from __future__ import annotations

import os
import resource

import pytest

from harness.system import limits
from harness.system.errors import ResourceError

MIB = 2**20


def soft(**limits_of):
    """Return what tells these limits, and none for the others."""
    named = {getattr(resource, f"RLIMIT_{name}"): value for name, value in limits_of.items()}
    return lambda which: named.get(which, resource.RLIM_INFINITY)


def test_a_shell_without_limits_is_enough(tmp_path):
    """Nothing is raised."""
    limits.require_limits(soft(), tmp_path)
    limits.require_limits(soft(NOFILE=1024, STACK=8 * MIB), tmp_path)


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ({"NOFILE": 32}, "this shell allows 32 open files, and a sweep needs 128: ulimit -n"),
        ({"FSIZE": MIB}, "1 MiB a file"),
        ({"STACK": 65536}, "0 MiB of stack"),
        ({"CPU": 5}, "5 s of CPU time"),
    ],
)
def test_a_limit_that_is_too_low_is_named(limit, said, tmp_path):
    """With what is needed, and the option that raises it."""
    with pytest.raises(ResourceError, match=said):
        limits.require_limits(soft(**limit), tmp_path)


def test_processes_are_counted_where_the_kernel_counts_them(monkeypatch, tmp_path):
    """Those of this user, by threads; root's are not counted."""
    for thread in range(90):
        (tmp_path / "7" / "task" / str(thread)).mkdir(parents=True)
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    limits.require_limits(soft(NPROC=100), tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ResourceError, match="may start 10 more processes"):
        limits.require_limits(soft(NPROC=100), tmp_path)
    limits.require_limits(soft(NPROC=100_000), tmp_path)
