"""List the licence of every package that Joulemark needs, and fail at one that does not go with ours.

usage: licences.py [EXTRA...]    of the environment that runs it; an extra's packages are listed too
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement

ALLOWED = re.compile(
    r"apache|mit\b|bsd|isc\b|psf|python software foundation|mpl|mozilla public|unlicense|0bsd|zlib|hpnd|cc0"
    r"|public domain|historical permission",
    re.IGNORECASE,
)
"""Words of licences that a program under Apache-2.0 may depend on."""
REFUSED = re.compile(r"agpl|\bgpl|general public|non-?commercial|proprietary", re.IGNORECASE)
PROPRIETARY = re.compile(r"(nvidia-|cuda-)[a-z0-9-]+|libtpu")
"""Drivers' and compilers' own libraries that torch brings on some platforms: used, never handed on by us."""


def needed(extras: frozenset[str]) -> dict[str, Distribution]:
    """Return what is installed of everything that Joulemark needs, by name."""
    found: dict[str, Distribution] = {}
    waiting = [("joulemark", extras)]
    while waiting:
        name, wanted = waiting.pop()
        key = re.sub(r"[-_.]+", "-", name).lower()
        if key in found:
            continue
        try:
            found[key] = held = distribution(name)
        except PackageNotFoundError:
            continue  # for another platform, or an extra that is not installed
        for line in held.requires or ():
            need = Requirement(line)
            environments = [{"extra": extra} for extra in wanted or {""}]
            if need.marker is None or any(need.marker.evaluate(e) for e in environments):
                waiting.append((need.name, frozenset(need.extras)))
    return found


def licence(held: Distribution) -> str:
    """Return what a package says of its licence: the SPDX expression, its classifiers, or the first line."""
    told = held.metadata
    classifiers = [
        c.rpartition(" :: ")[2] for c in told.get_all("Classifier") or () if c.startswith("License")
    ]
    text = (told.get("License") or "").strip()
    return (
        told.get("License-Expression") or ", ".join(classifiers) or text.partition("\n")[0] or "none stated"
    )


def main() -> int:
    """Print a line for each package; 1 where a licence is refused or not known."""
    wrong = 0
    for name, held in sorted(needed(frozenset(sys.argv[1:])).items()):
        said = licence(held)
        good = PROPRIETARY.fullmatch(name) or (ALLOWED.search(said) and not _only_refused(said))
        wrong += not good
        print(f"{name} {held.version}: {said}{'' if good else '   REFUSED'}")
    return int(bool(wrong))


def _only_refused(said: str) -> bool:
    """Tell whether each of the licences that one may choose from is refused."""
    return all(REFUSED.search(choice) for choice in re.split(r"\bor\b", said, flags=re.IGNORECASE))


if __name__ == "__main__":
    raise SystemExit(main())
