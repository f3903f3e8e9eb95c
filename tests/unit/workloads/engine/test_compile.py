"""What the compiler made of a model is counted, and so is what it makes while somebody watches."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters

from workloads import registry
from workloads.engine.compile import Compiled
from workloads.engine.job import prepare
from workloads.engine.setup import Setup
from workloads.optimize import Optimize


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


class Replayed(torch.autograd.Function):
    """A result in the memory of the one before it, as a CUDA graph's."""

    memory = torch.empty(())

    @staticmethod
    def forward(ctx, result):
        """Write over what was there."""
        return Replayed.memory.copy_(result).view(())

    @staticmethod
    def backward(ctx, gradient):
        """Pass the gradient on."""
        return gradient


class LossItself(nn.Module):
    """A model that returns its loss, as those of transformers do."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, **batch):
        """Return the mean square of the logits."""
        return Replayed.apply(self.model(batch["tokens"]).square().mean())


@pytest.mark.parametrize("mode", ["reduce-overhead", "max-autotune"])
def test_losses_outlive_the_graphs_that_they_came_of(make, monkeypatch, mode):
    """Every step's loss is kept, and graphs may write over their outputs from one step to the next alone."""
    kind = registry.get("mlp")
    build = kind.build_model
    monkeypatch.setattr(kind, "build_model", lambda self: LossItself(build(self)))
    monkeypatch.setattr(kind, "loss", lambda _self, model, batch: model(**batch))
    done = []
    monkeypatch.setattr(nn.Module, "compile", lambda self, mode: None)
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: done.append("mark"))
    job = prepare(make("mlp", "train"), Setup(optimizer="sgd", lr=1.0, optimize=Optimize(compile=mode)))
    handle = job.model.register_forward_pre_hook(lambda *_: done.append("call"))
    for index in range(3):
        job.step(index, lambda _mark: None)
    handle.remove()
    assert done == ["mark", "call"] * 3
    assert len(set(job.losses())) == 3


def test_a_graph_that_is_not_replayed_is_told(run):
    """Torch leaves CUDA graphs away where inputs are written to, and says so in its log alone."""
    call, compiler = run
    call("a")
    counters["inductor"]["cudagraph_skips"] += 1
    assert str(compiler) == "compiled, 1 graph, 1 without CUDA graphs"
