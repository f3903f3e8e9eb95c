"""What the compiler made of a model is counted, and so is what it makes while somebody watches."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from workloads.compiling import Compiled


class Worded(nn.Module):
    """A model that is compiled again for every word."""

    def forward(self, x: torch.Tensor, word: str) -> torch.Tensor:
        """Return x times the word's length."""
        return x * len(word) if word != "none" else x


@pytest.fixture
def run(monkeypatch):
    """Return a compiled model's call and its compiler; traced graphs need no C compiler."""
    compile_module = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda self, mode: compile_module(self, backend="eager"))
    model = Worded()
    compiler = Compiled(model, "default")
    return (lambda word: model(torch.ones(2), word)), compiler


def test_what_was_not_run_was_not_compiled(run):
    """Asking makes no graph."""
    _, compiler = run
    assert (compiler.graphs, str(compiler)) == (0, "not compiled")


def test_graphs_that_are_made_while_watched_are_told_apart(run):
    """What came before is no work of the span, and a word that is known makes none."""
    call, compiler = run
    call("a")
    with compiler.watch():
        call("a")
    assert (compiler.graphs, compiler.within) == (1, 0)
    with compiler.watch():
        call("b")
    assert (compiler.graphs, compiler.within) == (2, 1)
    assert str(compiler) == "compiled, 2 graphs"


def test_a_part_that_was_compiled_too_often_is_said_to_run_eagerly(run):
    """Torch gives up after eight; what follows is not the compiler's speed."""
    call, compiler = run
    for word in range(10):
        call(str(word))
    assert compiler.gave_up
    assert str(compiler) == "compiled, 8 graphs, then eager: compiled too often"


def test_a_new_model_is_counted_anew(run):
    """The counts of the one before are gone."""
    call, _ = run
    call("a")
    assert Compiled(Worded(), "default").graphs == 0
