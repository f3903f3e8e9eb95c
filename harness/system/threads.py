"""How a team of threads waits at its barriers: a setting of the thread library, fixed when that loads."""

from __future__ import annotations

from collections.abc import Mapping

from harness.system.errors import InputError

ACTIVE, PASSIVE, AUTO = "active", "passive", "auto"
SPIN = "spin:"
LARGEST_SPIN = 10**9


def parse_wait(wait: str) -> str:
    """Return a wait policy as it is stored.

    Raises:
        ValueError: not `auto`, `active`, `passive` or `spin:N`.
    """
    if wait in (AUTO, ACTIVE, PASSIVE):
        return wait
    turns = wait.removeprefix(SPIN)
    if wait.startswith(SPIN) and turns.isascii() and turns.isdigit() and int(turns) <= LARGEST_SPIN:
        return f"{SPIN}{int(turns)}"
    raise InputError(f"{wait!r} is not auto, active, passive or spin:N with N up to {LARGEST_SPIN}")


def resolve_wait(wait: str, *, busy: bool = False) -> str:
    """Return the policy that `auto` stands for on a host that others use or not; any other as it is."""
    if wait != AUTO:
        return wait
    return PASSIVE if busy else ACTIVE


def wait_environment(wait: str) -> dict[str, str]:
    """Return the variables that make a thread library wait so, for a process that has not loaded it yet.

    `active` is the library's own default: GNU's OpenMP spins for milliseconds before it sleeps, far less
    where there are more threads than processors. Intel's (`KMP_*`) counts in ms, where 0 sleeps at once.

    Args:
        wait: `active`, `passive` or `spin:N`; `auto` must have been resolved.
    """
    if wait == ACTIVE:
        return {}
    if wait == PASSIVE:
        return {"OMP_WAIT_POLICY": "passive", "KMP_BLOCKTIME": "0"}
    return {"GOMP_SPINCOUNT": wait.removeprefix(SPIN), "KMP_BLOCKTIME": "0"}


def wait_of(environment: Mapping[str, str]) -> str:
    """Return how the threads of a process with these variables wait, once their library has loaded."""
    if "GOMP_SPINCOUNT" in environment:
        return f"{SPIN}{environment['GOMP_SPINCOUNT']}"
    return PASSIVE if environment.get("OMP_WAIT_POLICY", "").lower() == PASSIVE else ACTIVE
