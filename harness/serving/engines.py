"""Engines in this process as servers: random prompts of the lengths that are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.serving.lengths import Length

if TYPE_CHECKING:
    import torch

    from workloads.engine.continuous_batching import Engine, Token


class EngineServer:
    """One engine.

    Args:
        engine: Idle.
        vocab: Prompts are drawn evenly from so many tokens.
        seed: Of the prompts; a prompt depends on it, its number and its length alone.
        device: Where prompts are needed.
    """

    def __init__(self, engine: Engine, *, vocab: int, seed: int, device: str) -> None:
        self._engine, self._vocab, self._seed, self._device = engine, vocab, seed, device

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return self._engine.idle

    @property
    def begun(self) -> list[int]:
        """Numbers of the requests whose reading began in the last step."""
        return self._engine.begun

    def ask(self, number: int, length: Length) -> str | None:
        """Submit a request; return why the engine rejects it, or None."""
        from workloads.engine.continuous_batching import RejectedError, Request

        try:
            self._engine.submit(Request(number, self.prompt(number, length), length.output_tokens))
        except RejectedError as error:
            return str(error)
        return None

    def plan(self) -> None:
        """Let the engine choose the prompts that its next step reads."""
        self._engine.plan()

    def step(self) -> list[Token]:
        """Let the engine work once."""
        return self._engine.step()

    def rest(self) -> None:
        """Do nothing: an engine without work waits."""

    def prompt(self, number: int, length: Length) -> torch.Tensor:
        """Return the prompt of a request, (S,) int64."""
        import torch

        random = torch.Generator().manual_seed(self._seed * 1_000_003 + number)
        return torch.randint(self._vocab, (length.prompt_tokens,), generator=random).to(self._device)
