"""Find the commit that made a metric worse: `git bisect`, its every answer by pairs of processes."""

from __future__ import annotations

import contextlib
import math
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from harness.comparison.pairs import Pairs
from harness.comparison.sides import Environment, make_side
from harness.gate.paired import Records, cannot_conclude, paired_comparison, paired_values
from harness.records.headline import CLEAN, RAW
from harness.records.metrics import METRICS
from harness.records.store import Store
from harness.stats import Comparison, finished
from harness.stats.compare import LOOKS
from harness.system.errors import JoulemarkError, UsageError

Answer = Literal["good", "bad", "skip"]
_FIRST_BAD = re.compile(r"^([0-9a-f]{40}) is the first .*bad.* commit", re.MULTILINE)


class BisectError(UsageError):
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
        metric: to decide by; None is the iteration time, undisturbed where enough processes have it so.
        delta: the least effect worth searching for.
        python: interpreter of both sides.
        config_dirs: folders of the user's own groups.
        on_step: called with each commit that was measured.
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
            BisectError: a revision or the metric is unknown, good is no ancestor of bad, or too many
                commits cannot run.
        """
        if self.metric is not None and self.metric not in METRICS:
            raise BisectError(f"--metric {self.metric}: no such metric; see `joulemark list metrics`")
        good, bad = (self._commit(revision) for revision in (self.good, self.bad))
        if not self._git(self.repository, "merge-base", "--is-ancestor", good, bad).ok:
            raise BisectError(f"{self.good} is no ancestor of {self.bad}")
        with self._worktree(good) as base, self._worktree(bad) as head:
            whole = self._measure(base, good, head, bad)
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
                found = self._measure(base, good, head, commit, math.expm1(half))
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

    def _measure(
        self, base: Path, good: str, head: Path, commit: str, between: float | None = None
    ) -> Comparison | None:
        """Compare a commit with the good one; None where it cannot be measured.

        Args:
            base: checkout of the good commit.
            good: that commit.
            head: checkout of the other one.
            commit: the other one.
            between: measure until the effect is on one side of this; None until there is a verdict.

        Raises:
            BisectError: the metric was not measured.
            SideFailedError: the bad end itself cannot run.
        """
        words = [*self.overrides, "run.worker=exec"]
        settled = partial(self._is_settled, between=between)
        try:
            before = make_side("base", words, Environment(self.python, base, good), self.config_dirs)
            after = make_side("head", words, Environment(self.python, head, commit), self.config_dirs)
            name = f"bisect-{good[:10]}-{commit[:10]}"
            pairs = Pairs(name, before, after, self.store, delta=self.delta, settled=settled)
            pairs.run()
        except JoulemarkError:
            if commit == self._commit(self.bad):
                raise
            return None
        records = pairs.records(before), pairs.records(after)
        # What the ends are compared by decides every commit between them.
        self.metric = self._metric(*records)
        found = self._compare(*records)
        if found is None:
            raise BisectError(f"--metric {self.metric}: too few processes have a value of it")
        return found

    def _metric(self, base: Records, head: Records) -> str:
        if self.metric is not None:
            return self.metric
        disturbed = not paired_values(base, head, CLEAN) or cannot_conclude(base, head, CLEAN)
        return RAW if disturbed else CLEAN

    def _compare(self, base: Records, head: Records) -> Comparison | None:
        metric_id = self._metric(base, head)
        known = METRICS[metric_id].direction
        return paired_comparison(
            base, head, metric_id, self.delta, "higher" if known == "higher" else "lower"
        )

    def _is_settled(self, base: Records, head: Records, *, between: float | None) -> bool:
        found = self._compare(base, head)
        if found is None or found.low is None or found.high is None:
            return len(base) >= LOOKS[0]
        if between is None or found.pairs >= LOOKS[-1]:
            return finished(found)
        return found.pairs in LOOKS and not found.low <= between <= found.high

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
