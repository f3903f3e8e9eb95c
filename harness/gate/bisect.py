"""Find the commit that made a metric worse: `git bisect`, its every answer by pairs of processes."""

from __future__ import annotations

import contextlib
import math
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from harness.gate.confirm import paired_values
from harness.pairs import Pairs, SideFailedError
from harness.records.store import Store
from harness.sides import Environment, make_side
from harness.stats import Comparison, compare
from harness.verdicts import Line

Answer = Literal["good", "bad", "skip"]
_CLEAN = "iteration.mean.clean"
_LEAST_PAIRS = 6
"""Pairs before the first look."""
_FIRST_BAD = re.compile(r"^([0-9a-f]{40}) is the first .*bad.* commit", re.MULTILINE)


class BisectError(ValueError):
    """The commits cannot be searched; one line says why."""


@dataclass(frozen=True, slots=True)
class Step:
    """One commit that was measured."""

    commit: str
    answer: Answer
    comparison: Comparison | None
    reason: str | None = None


@dataclass
class Bisect:
    """A search between a good and a bad commit.

    Args:
        good: revision without the regression; every commit is measured against it.
        bad: revision with it.
        repository: any folder of the git repository.
        overrides: of the one configuration that is measured.
        store: where records go.
        metric: to decide by; None is the comparison's headline.
        delta: the least effect worth searching for.
        python: interpreter of both sides.
        config_dirs: folders of the user's own groups.
        on_step: told each commit that was measured.
    """

    good: str
    bad: str
    repository: Path
    overrides: Sequence[str]
    store: Store
    metric: str | None = None
    delta: float = 0.01
    python: str | None = None
    config_dirs: tuple[Path, ...] = ()
    on_step: Callable[[Step], None] = lambda _step: None
    steps: list[Step] = field(default_factory=list)

    def run(self) -> str | None:
        """Return the first bad commit, or None when the bad revision is not measurably worse.

        Raises:
            BisectError: a revision is unknown, good is no ancestor of bad, or too many commits cannot run.
        """
        good, bad = (self._commit(revision) for revision in (self.good, self.bad))
        if not self._git(self.repository, "merge-base", "--is-ancestor", good, bad).ok:
            raise BisectError(f"{self.good} is no ancestor of {self.bad}")
        with self._worktree(good) as base, self._worktree(bad) as head:
            whole = self._measure(base, good, head, bad, self.delta)
            if whole is None or whole.label != "worse":
                open_question = whole is None or whole.label == "inconclusive"
                reason = "too noisy to tell it from good" if open_question else "it is not worse"
                self._note(bad, "skip" if open_question else "good", whole, reason)
                return None
            self._note(bad, "bad", whole)
            return self._search(base, good, head, bad, whole)

    def _search(self, base: Path, good: str, head: Path, bad: str, whole: Comparison) -> str:
        half = math.log1p(whole.effect) / 2
        said = self._git(head, "bisect", "start", bad, good)
        try:
            while True:
                if not said.ok and "bisect" not in said.text:
                    raise BisectError(f"git bisect failed: {said.text}")
                if first := _FIRST_BAD.search(said.text):
                    return first[1]
                if "only 'skip'ped commits left" in said.text:
                    raise BisectError("only commits that cannot be measured are left")
                commit = self._git(head, "rev-parse", "HEAD").text
                # A commit between has all of the effect or none: it is near one end or the other.
                found = self._measure(base, good, head, commit, abs(math.expm1(half)))
                said = self._git(head, "bisect", self._answer(commit, found, half))
        finally:
            self._git(head, "bisect", "reset")

    def _answer(self, commit: str, found: Comparison | None, half: float) -> Answer:
        if found is None:
            return self._note(commit, "skip", None, "its process failed")
        share = math.log1p(found.effect) / half
        return self._note(commit, "bad" if share > 1 else "good", found)

    def _note(
        self, commit: str, answer: Answer, found: Comparison | None, reason: str | None = None
    ) -> Answer:
        step = Step(commit, answer, found, reason)
        self.steps.append(step)
        self.on_step(step)
        return answer

    def _measure(self, base: Path, good: str, head: Path, commit: str, delta: float) -> Comparison | None:
        words = [*self.overrides, "run.worker=exec"]
        try:
            before = make_side("base", words, Environment(self.python, base, good), self.config_dirs)
            after = make_side("head", words, Environment(self.python, head, commit), self.config_dirs)
            pairs = Pairs(f"bisect-{good[:10]}-{commit[:10]}", before, after, self.store, delta=delta)
            lines = pairs.run()
        except (SideFailedError, ValueError):
            if commit == self._commit(self.bad):
                raise
            return None
        if self.metric is None:
            # Where interference took the undisturbed mean from some processes, the others still have it.
            both = paired_values(pairs.records(before), pairs.records(after), _CLEAN)
            if len(both) >= _LEAST_PAIRS:
                return compare([b for b, _ in both], [h for _, h in both], delta)
        return self._line(lines).comparison

    def _line(self, lines: Sequence[Line]) -> Line:
        if self.metric is None:
            return lines[0]
        for line in lines:
            if line.metric_id == self.metric:
                return line
        raise BisectError(f"--metric {self.metric}: compared are {', '.join(x.metric_id for x in lines)}")

    @contextlib.contextmanager
    def _worktree(self, commit: str) -> Iterator[Path]:
        """Check a commit out into a folder of its own; the user's own checkout is not touched."""
        with tempfile.TemporaryDirectory(prefix="joulemark-bisect-") as temporary:
            folder = Path(temporary) / "tree"
            made = self._git(self.repository, "worktree", "add", "--detach", "--quiet", str(folder), commit)
            if not made.ok:
                raise BisectError(f"git could not check {commit[:12]} out: {made.text}")
            try:
                yield folder
            finally:
                self._git(self.repository, "worktree", "remove", "--force", str(folder))

    def _commit(self, revision: str) -> str:
        found = self._git(
            self.repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"
        )
        if not found.ok:
            raise BisectError(f"{revision}: no such revision in {self.repository}")
        return found.text

    @staticmethod
    def _git(folder: Path, *arguments: str) -> _Said:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False
        )
        return _Said(done.returncode == 0, (done.stdout + done.stderr).strip())


@dataclass(frozen=True, slots=True)
class _Said:
    ok: bool
    text: str
