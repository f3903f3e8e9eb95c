"""Many tasks of one kind in two processes, with few of them in memory at a time."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import chain
from typing import TypeVar

from harness.system.errors import ResourceError
from harness.system.process import die_with_parent

Task = TypeVar("Task")
Result = TypeVar("Result")
_PROCESSES = 2
_WAITING = 1
"""Tasks that lie ready for the process that is free first."""


def side_by_side(work: Callable[[Task], Result], tasks: Iterator[Task]) -> Iterator[Result]:
    """Yield what `work` makes of each task, in their order.

    A single task, or where there is one processor, is done in this process.

    Args:
        work: a module's function; it runs in a copy of this process.
        tasks: asked for one only when there is room for it.

    Raises:
        ResourceError: a process was killed.
    """
    first = list(zip(range(2), tasks, strict=False))
    tasks = chain((task for _, task in first), tasks)
    if len(first) < 2 or len(os.sched_getaffinity(0)) < 2:
        yield from map(work, tasks)
        return
    waiting: deque[Future[Result]] = deque()
    with ProcessPoolExecutor(_PROCESSES, multiprocessing.get_context("fork"), die_with_parent) as pool:
        try:
            for task in tasks:
                waiting.append(pool.submit(work, task))
                if len(waiting) >= _PROCESSES + _WAITING:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise ResourceError("a process of this command was killed, perhaps for want of memory") from error
