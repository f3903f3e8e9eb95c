"""What is said to work together does: a few steps of cells that cover the pairs of the matrix."""

from __future__ import annotations

import pytest
import torch

from harness.planning.compatibility import Matrix
from workloads import registry
from workloads.engine.job import prepare
from workloads.engine.setup import ALONE, Chosen, Setup
from workloads.parallel.base import Ranks
from workloads.transform import Cell

MATRIX = Matrix("cpu")
CELLS = [cell for cell in MATRIX.covering() if not cell["work"].endswith(" serve")]
"""An engine serves, by its own steps: tests/unit/trial/test_serving.py."""


def few() -> set[int]:
    """Return the places of the cells that `make test` runs: the first with each choice, whatever the work.

    The nightly suite runs them all; every work runs alone in tests/unit/workloads/engine/test_job.py.
    """
    seen: set[tuple[str, str]] = set()
    places = set()
    for place, cell in enumerate(CELLS):
        choices = {choice for choice in cell.items() if choice[0] != "work"}
        if not choices <= seen:
            places.add(place)
        seen |= choices
    return places


FEW = few()


def name_of(cell: dict[str, str]) -> str:
    """Return a cell's name: its choices that are not plain."""
    return "-".join(value for value in cell.values() if value not in {"none", "eager"}).replace(" ", "-")


@pytest.fixture(autouse=True)
def traced(monkeypatch):
    """Compile to the traced graphs themselves, which takes no C compiler and a second."""
    compile_module = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, mode: compile_module(self, backend="eager"))


@pytest.fixture(autouse=True)
def as_before():
    """Leave the process's choice of attention as it was."""
    yield
    from workloads import optimize

    optimize.choose_attention("auto")


def run(cell: Cell, ranks: Ranks = ALONE) -> str | None:
    """Run two steps of a cell; return what was wrong with their results."""
    kind = registry.get(cell.workload.name)
    job = prepare(
        kind(cell.mode, cell.size),
        Setup(
            precision=cell.precision,
            optimize=cell.optimize,
            compress=Chosen(cell.compress, cell.compress_settings),
            parallel=Chosen(cell.parallel, cell.parallel_settings),
            ranks=ranks,
        ),
    )
    for index in range(2):
        job.step(index, lambda _name: None)
    job.losses()
    return job.check()["output_reason"]


@pytest.mark.parametrize(
    "chosen",
    [
        pytest.param(cell, id=name_of(cell), marks=() if place in FEW else pytest.mark.slow)
        for place, cell in enumerate(CELLS)
    ],
)
def test_a_cell_that_is_not_refused_runs(chosen, on_ranks, one_thread):
    """Two steps end in a finite result of the right shape, on every rank."""
    cell = MATRIX.cell(chosen)
    if cell.ranks == 1:
        assert run(cell) is None
    else:
        assert on_ranks(cell.ranks, lambda ranks: run(cell, ranks)) == [None] * cell.ranks
