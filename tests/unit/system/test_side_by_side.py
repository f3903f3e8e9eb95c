"""Tasks in two processes: in their order, few at a time, and a killed process is an error of one line."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from harness.system.errors import ResourceError
from harness.system.side_by_side import side_by_side


@pytest.fixture(autouse=True)
def two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let there be two, whatever runs the tests."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1})


def _pid_and_square(number: int) -> tuple[int, int]:
    return os.getpid(), number**2


def _killed(number: int) -> int:
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_results_come_in_order_from_other_processes_and_few_tasks_wait() -> None:
    """No more than three are asked for before the first result is there."""
    asked: list[int] = []

    def tasks() -> Iterator[int]:
        for number in range(12):
            asked.append(number)
            yield number

    ahead, found = 0, []
    for result in side_by_side(_pid_and_square, tasks()):
        ahead = max(ahead, len(asked) - len(found))
        found.append(result)
    assert [square for _, square in found] == [number**2 for number in range(12)]
    assert os.getpid() not in {pid for pid, _ in found}
    assert len({pid for pid, _ in found}) <= 2
    assert ahead <= 3


def test_one_task_or_one_processor_needs_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Starting one would take longer than the task."""
    assert list(side_by_side(_pid_and_square, iter([3]))) == [(os.getpid(), 9)]
    assert list(side_by_side(_pid_and_square, iter([]))) == []
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0})
    assert list(side_by_side(_pid_and_square, iter([1, 2]))) == [(os.getpid(), 1), (os.getpid(), 4)]


def test_a_killed_process_and_a_failing_task_are_raised_here() -> None:
    """Neither is waited for without end."""
    with pytest.raises(ResourceError, match="was killed"):
        list(side_by_side(_killed, iter(range(5))))
    with pytest.raises(ZeroDivisionError):
        list(side_by_side((1).__truediv__, iter([1, 0, 2])))
