"""Where ranks run: devices and threads, from the configuration alone."""

from __future__ import annotations

import pytest

from harness.config import placement
from harness.config.models import Config
from harness.system import host


def config(kind="cuda", index=0, name="none", ranks=1, threads=None) -> Config:
    """Return a configuration of what decides the place."""
    return Config.model_validate(
        {
            "workload": {"name": "noop"},
            "device": {"kind": kind, "index": index, "threads": threads},
            "parallel": {"name": name, "ranks": ranks},
        }
    )


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({}, ["cuda-0"]),
        ({"index": 3}, ["cuda-3"]),
        ({"index": 2, "name": "ddp", "ranks": 4}, ["cuda-2", "cuda-3", "cuda-4", "cuda-5"]),
        ({"index": 1, "name": "task", "ranks": 3}, ["cuda-1"]),
        ({"kind": "cpu", "name": "ddp", "ranks": 4}, ["cpu-0"]),
    ],
)
def test_each_rank_has_a_device_unless_they_share_one(settings, names):
    """On the CPU all share it; elsewhere their strategy says."""
    assert placement.device_names(config(**settings)) == names


@pytest.mark.parametrize(
    ("cores", "ranks", "asked", "threads"),
    [(8, 1, None, None), (8, 1, 3, 3), (8, 4, None, 2), (9, 2, None, 4), (2, 4, None, 1), (8, 4, 5, 5)],
)
def test_ranks_share_the_cores_where_no_threads_are_asked_for(monkeypatch, cores, ranks, asked, threads):
    """At least one each; what is asked for holds for every rank."""
    monkeypatch.setattr(host, "usable_cores", lambda: cores)
    name = "ddp" if ranks > 1 else "none"
    assert placement.threads(config("cpu", name=name, ranks=ranks, threads=asked)) == threads
