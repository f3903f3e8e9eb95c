"""Compile once, ahead of time; count what XLA compiles, and keep what it says of its program."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import jax
from jax import monitoring

_COMPILED = "/jax/core/compile/backend_compile_duration"
_CACHE_HIT = "/jax/compilation_cache/cache_hits"
_COST = {"flops": "flops", "bytes accessed": "bytes_accessed", "transcendentals": "transcendentals"}


@dataclass
class _Counts:
    compiled: int = 0
    hits: int = 0


@cache
def _counts() -> _Counts:
    """Return the process's counts, from now on: a listener cannot be taken back, so there is one."""
    counts = _Counts()

    def timed(event: str, _seconds: float, **_more: Any) -> None:
        counts.compiled += event == _COMPILED

    def happened(event: str, **_more: Any) -> None:
        counts.hits += event == _CACHE_HIT

    monitoring.register_event_duration_secs_listener(timed)
    monitoring.register_event_listener(happened)
    return counts


def compile_count() -> int:
    """Return how many programs XLA has compiled in this process since this was first asked.

    A program from the persistent cache fires the same event as one that is compiled, and is taken off.
    """
    counts = _counts()
    return counts.compiled - counts.hits


@dataclass(frozen=True, slots=True)
class Program:
    """One program of XLA. Calling it with other shapes or types raises TypeError: it compiles nothing."""

    name: str
    call: Callable[..., Any]
    compile_s: float
    cost: dict[str, float]
    """What XLA counts of one run: `flops`, `bytes_accessed`, `transcendentals`. Its FLOPs hold the optimizer,
    norms and softmax, which the model FLOPs of a workload leave out, and the body of a loop once."""
    memory: dict[str, int]
    """Bytes of its arguments, outputs, temporaries, aliases and code."""


def compile_ahead(
    name: str, function: Callable[..., Any], *example: Any, donate: Sequence[int] = (), **jit: Any
) -> Program:
    """Trace and compile a function for the shapes of example arguments, and nothing else.

    Args:
        name: What a record calls it.
        function: Pure, of trees of arrays.
        example: Arguments, or `jax.ShapeDtypeStruct`s with their shardings.
        donate: Positions of arguments whose memory the outputs may take.
        jit: More of `jax.jit`'s arguments.
    """
    _counts()
    began_ns = time.perf_counter_ns()
    compiled = jax.jit(function, donate_argnums=tuple(donate), **jit).lower(*example).compile()
    seconds = (time.perf_counter_ns() - began_ns) / 1e9
    return Program(name, compiled, seconds, _cost(compiled), _memory(compiled))


def _cost(compiled: Any) -> dict[str, float]:
    found = compiled.cost_analysis() or {}
    return {name: float(found[key]) for key, name in _COST.items() if key in found}


def _memory(compiled: Any) -> dict[str, int]:
    found = compiled.memory_analysis()
    kinds = ("argument", "output", "temp", "alias", "generated_code")
    sizes = {kind: getattr(found, f"{kind}_size_in_bytes", None) for kind in kinds}
    return {f"{kind}_bytes": int(size) for kind, size in sizes.items() if size is not None}


@dataclass
class CompileWatch:
    """The programs of one job, and what XLA compiled beside them while a span was watched."""

    programs: list[Program] = field(default_factory=list)
    within: int = 0
    """Programs that were compiled within `watch`."""

    def add(self, program: Program) -> Program:
        """Keep a program, and return it."""
        self.programs.append(program)
        return program

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Count what is compiled meanwhile."""
        before = compile_count()
        yield
        self.within = compile_count() - before

    @property
    def seconds(self) -> float:
        """What compiling the programs took."""
        return sum(program.compile_s for program in self.programs)

    @property
    def graphs(self) -> int:
        """Programs so far."""
        return len(self.programs)

    def __str__(self) -> str:
        """Say what there is, in the words of a record."""
        return f"compiled by XLA, {self.graphs} program{'s' * (self.graphs != 1)}"

    def evidence(self) -> list[dict[str, Any]]:
        """Return what a record keeps of each program."""
        return [
            {"name": p.name, "compile_s": p.compile_s, "cost": p.cost, "memory": p.memory}
            for p in self.programs
        ]
