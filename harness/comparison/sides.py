"""The two sides of a comparison: what each runs, in which Python and from which checkout."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.config.models import Config
from harness.identity import fingerprint
from harness.identity.machine import Identity, identify
from harness.isolation.workers import Workers
from harness.planning.plan import PlannedTrial, make_plan
from harness.system.errors import UsageError

_PLAN_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class Environment:
    """Where a side's workers come from; without a Python and a checkout it is this process's own."""

    python: str | None = None
    """An interpreter with Joulemark installed."""
    checkout: Path | None = None
    """A folder put first on the import path: of Joulemark, or of whatever its workloads import."""
    commit: str | None = None

    @property
    def is_external(self) -> bool:
        """Whether another Python or other sources run than in this process."""
        return self.python is not None or self.checkout is not None

    def variables(self) -> dict[str, str] | None:
        """Return the environment variables of its processes; None is this process's own."""
        if not self.is_external:
            return None
        # The current folder must not come before the environment's own packages.
        variables = {**os.environ, "PYTHONSAFEPATH": "1"}
        if self.checkout is not None:
            first = [str(p) for p in (self.checkout / "src", self.checkout) if p.is_dir()]
            variables["PYTHONPATH"] = os.pathsep.join([*first, *filter(None, [os.environ.get("PYTHONPATH")])])
        return variables

    def workers(self) -> Workers:
        """Return the workers of this environment; nothing starts yet."""
        return Workers(self.python or sys.executable, self.variables())


@dataclass(frozen=True, slots=True)
class Side:
    """One configuration in one environment."""

    name: str
    """`base` or `head`."""
    trial: PlannedTrial
    identity: Identity
    environment: Environment = field(default_factory=Environment)


def make_side(name: str, overrides: Sequence[str], environment: Environment, folders: Sequence[Path]) -> Side:
    """Plan one side, in its own environment where that is not this one.

    Raises:
        ValueError: the overrides make no trial or several, the trial is refused, or the environment cannot
            plan it.
    """
    identity = identify()
    if environment.is_external:
        trials, identity = _external_plan(name, overrides, environment, folders, identity)
    else:
        trials = list(make_plan(overrides, user_folders=folders).trials)
    if len(trials) != 1:
        raise UsageError(f"{name} makes {len(trials)} trials; one configuration is compared with one")
    if trials[0].refusal is not None:
        raise UsageError(f"{name} cannot run: {trials[0].refusal}")
    return Side(name, trials[0], identity.using(trials[0].libraries), environment)


def _external_plan(
    name: str, overrides: Sequence[str], environment: Environment, folders: Sequence[Path], identity: Identity
) -> tuple[list[PlannedTrial], Identity]:
    """Let the environment's own code compose and identify, since its keys and workloads may differ."""
    options = [word for folder in folders for word in ("--config-dir", str(folder))]
    python = environment.python or sys.executable
    try:
        asked = subprocess.run(
            [python, "-m", "harness.cli", "plan", "--json", *options, "--", *overrides],
            env=environment.variables(),
            capture_output=True,
            text=True,
            timeout=_PLAN_TIMEOUT_S,
            check=False,
        )
        answer = json.loads(asked.stdout or "null")
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"{name}: {python} plans nothing: {error}") from error
    if answer is None:
        lines = asked.stderr.strip().splitlines() or [f"exit code {asked.returncode}"]
        raise UsageError(f"{name}: {lines[-1]}")
    if "code" not in answer:
        raise UsageError(f"{name}: its Joulemark is too old to be compared: its plan names no code")
    code = answer["code"] | ({"checkout_commit": environment.commit} if environment.checkout else {})
    identity = Identity(identity.machine, code, identity.machine_id, fingerprint.code_id(code))
    return [_trial(t) for t in answer["trials"]], identity


def _trial(planned: Mapping[str, Any]) -> PlannedTrial:
    raw = planned["config"]
    return PlannedTrial(
        label=planned["label"],
        config=Config.model_validate(_known(raw)),
        size=planned["size"],
        work_id=planned["work_id"],
        trial_id=planned["trial_id"],
        overrides=tuple(planned["overrides"]),
        refusal=planned["refusal"],
        libraries=planned.get("libraries", {}),
        external_config=raw,
    )


def _known(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a configuration that this version knows, enough to control the run by."""
    known: dict[str, Any] = {}
    for name, section in Config.model_fields.items():
        if name in raw:
            keys = getattr(section.annotation, "model_fields", None)
            known[name] = raw[name] if keys is None else {k: v for k, v in raw[name].items() if k in keys}
    return known


@contextlib.contextmanager
def environment(python: str | None, where: str | None) -> Iterator[Environment]:
    """Make an environment of an interpreter and a checkout; a worktree made for it is removed at the end.

    Args:
        python: path of an interpreter, or None for this one.
        where: a folder, or a revision of the git repository of the current folder, or None.

    Raises:
        ValueError: no such interpreter, and neither such a folder nor such a revision.
    """
    if python is not None and not (Path(python).is_file() and os.access(python, os.X_OK)):
        raise UsageError(f"{python}: no such Python interpreter")
    if where is None:
        yield Environment(python)
    elif Path(where).is_dir():
        folder = Path(where).resolve()
        yield Environment(python, folder, _git("-C", str(folder), "rev-parse", "--verify", "--quiet", "HEAD"))
    else:
        with checked_out(python, where) as made:
            yield made


@contextlib.contextmanager
def checked_out(python: str | None, revision: str) -> Iterator[Environment]:
    """Make an environment of a revision, never of a folder of that name; its worktree is removed at the end.

    Raises:
        ValueError: git knows no such revision, or cannot check it out.
    """
    commit = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if commit is None:
        raise UsageError(f"{revision}: neither a folder nor a revision of a git repository here")
    with tempfile.TemporaryDirectory(prefix="joulemark-") as temporary:
        folder = Path(temporary) / commit[:12]
        if _git("worktree", "add", "--detach", "--quiet", str(folder), commit) is None:
            raise UsageError(f"{revision}: git could not check {commit[:12]} out")
        try:
            yield Environment(python, folder, commit)
        finally:
            _git("worktree", "remove", "--force", str(folder))


def _git(*arguments: str) -> str | None:
    """Return what git prints, or None where it fails."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
