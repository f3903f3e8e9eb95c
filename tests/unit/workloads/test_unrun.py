"""Work that was only promised is told from work that was done, and a user's model cannot pass one off."""

from __future__ import annotations

import itertools
import sys
from concurrent.futures import Future

import pytest

from workloads.unrun import UnrunError, advice, unrun


async def fetch():
    """Nothing."""


async def stream():
    """One element."""
    yield 1


def done() -> Future[int]:
    """Return a future whose result is there."""
    future: Future[int] = Future()
    future.set_result(1)
    return future


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (fetch, "a coroutine"),
        (stream, "an asynchronous generator"),
        (lambda: (i for i in ()), "a generator"),
        (lambda: map(str, ()), "a lazy map"),
        (lambda: itertools.chain((), ()), "a lazy chain"),
        (Future, "a future that is not done"),
        (lambda: (1, fetch()), "a coroutine within its result"),
        (done, None),
        (lambda: [1, 2], None),
        (lambda: iter([1, 2]), None),
        (lambda: None, None),
        (lambda: {"a": 1}, None),
    ],
)
def test_what_was_not_run_is_told(make, what):
    """By kind, and what has a value of its own is not suspected."""
    assert unrun(make()) == what
    if what is not None:
        assert "measure" in advice(what, "f")


@pytest.mark.parametrize("part", ["factory", "forward", "loss"])
def test_a_users_model_refuses_what_it_would_not_run(part, tmp_path, monkeypatch):
    """A factory, a forward or a loss that is a coroutine or a generator is an error in one line."""
    import torch

    from workloads.user.factory import Factory
    from workloads.user.source import Source

    output = "(y for _ in range(2))" if part == "forward" else "y"
    (tmp_path / "own.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Linear):\n"
        f"    def forward(self, x):\n        y = super().forward(x)\n        return {output}\n"
        "async def late(model, batch):\n    return torch.zeros(())\n"
        f"{'async ' if part == 'factory' else ''}def make():\n"
        "    return Net(2, 2), {'x': torch.ones(4, 2)}, late\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "own", raising=False)
    factory = Factory(Source("factory", "own:make"), {"batch": 4})
    batch = {"x": torch.ones(4, 2)}

    def run() -> None:
        model = factory.build()
        factory.inputs(0)
        factory.loss(model, batch) if part == "loss" else factory.run(model, batch)

    with pytest.raises(UnrunError, match="that nobody runs"):
        run()
