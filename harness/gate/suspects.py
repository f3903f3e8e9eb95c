"""The commits of a regression, and the command that searches between them."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from harness.records.repeatable import is_commit, is_safe_override
from harness.records.results import TrialResult

_WHERE_TO = ("run.name", "run.results")
"""What a search gives names of its own to."""


@dataclass(frozen=True, slots=True)
class Suspects:
    """Where a metric was still good, where it is not, and how that trial is run."""

    base: str
    head: str
    metric: str
    overrides: tuple[str, ...]

    @property
    def command(self) -> str:
        """The command that finds the commit."""
        return shlex.join(
            ["joulemark", "bisect", self.base, self.head, *self.overrides, "--metric", self.metric]
        )


def suspects(result: TrialResult, metric: str, base: str | None) -> Suspects | None:
    """Return what to search between; None where a commit is unknown, or both are the same.

    Records come from anywhere: of their overrides only those stand in a command that name no file, program or
    host (`harness.records.repeatable`).
    """
    head = result.records[-1].code.get("git_commit")
    if not isinstance(head, str) or base in {None, head} or not (is_commit(str(base)) and is_commit(head)):
        return None
    recorded = result.config.get("overrides")
    words = [str(word) for word in recorded] if isinstance(recorded, list | tuple) else []
    kept = [w for w in words if is_safe_override(w) and w.lstrip("+").partition("=")[0] not in _WHERE_TO]
    if any(w.lstrip("+").startswith("experiment=") for w in kept):
        kept.append("sweep=[]")  # the trial's own overrides stand for the experiment's grids
    return Suspects(str(base), head, metric, tuple(kept))
