"""What the user names as their own model: where it is, and what identifies it. Imports none of it."""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Literal

IMPORT_FROM = "JOULEMARK_IMPORT_FROM"
"""Environment variable by which a worker learns the folder of the user's own models."""
_MOST_FILES = 20_000


@dataclass(frozen=True, slots=True)
class Source:
    """A model that comes from outside of this package, as its user names it."""

    kind: Literal["factory", "program", "folder"]
    name: str
    """`module:function`, the path of a program, or that of a folder."""

    def files(self) -> list[Path]:
        """Return the files that it consists of, sorted.

        Of a function they are its module, or every module of the package that it lies in; of a folder the
        configuration and the safetensors.

        Raises:
            ValueError: nothing of this kind is there.
        """
        if self.kind == "factory":
            return _modules(self.module_and_function[0])
        path = Path(self.name).expanduser()
        if self.kind == "program":
            if path.suffix != ".pt2" or not path.is_file():
                raise ValueError(f"workload.program={path}: no such file, or it does not end in .pt2")
            return [path]
        weights = sorted(path.glob("*.safetensors"))
        if not (path / "config.json").is_file() or not weights:
            raise ValueError(f"workload.folder={path}: no folder with config.json and *.safetensors")
        return [path / "config.json", *weights]

    @property
    def module_and_function(self) -> tuple[str, str]:
        """The two parts of a factory's name."""
        module, colon, function = self.name.partition(":")
        if not colon or not function.isidentifier() or not all(p.isidentifier() for p in module.split(".")):
            raise ValueError(
                f"workload.factory={self.name}: not of the form module:function, as in nets:classifier or "
                "package.nets:classifier"
            )
        return module, function

    def digest(self) -> str:
        """Return the sha256 over the names and contents of the files.

        Raises:
            ValueError: nothing of this kind is there.
            OSError: a file cannot be read.
        """
        files = self.files()
        return _digest(tuple((file, file.stat().st_size, file.stat().st_mtime_ns) for file in files))

    def check(self, sha256: str | None) -> Source:
        """Return itself where it is still what was planned.

        Raises:
            ValueError: its files have changed, or are gone.
        """
        if self.digest() != sha256:
            raise ValueError(f"workload.{self.kind}={self.name} has changed since the sweep was planned")
        return self


def source(factory: str | None, program: str | None, folder: str | None) -> Source | None:
    """Return the one source that is named, or None.

    Raises:
        ValueError: more than one is named.
    """
    named: list[Source] = []
    if factory is not None:
        named.append(Source("factory", factory))
    if program is not None:
        named.append(Source("program", program))
    if folder is not None:
        named.append(Source("folder", folder))
    if len(named) > 1:
        raise ValueError(f"workload.{named[0].kind} and workload.{named[1].kind} name two models")
    return named[0] if named else None


def import_path() -> list[str]:
    """Return where modules are looked for: first in the user's folder, which a worker learns of.

    Elsewhere it is the working folder, unless Python was started so that it does not look there.
    """
    if IMPORT_FROM in os.environ:
        return [os.environ[IMPORT_FROM], *sys.path]
    return list(sys.path) if sys.flags.safe_path else [str(Path.cwd()), *sys.path]


@cache
def _digest(stamps: tuple[tuple[Path, int, int], ...]) -> str:
    total = hashlib.sha256()
    common = Path(os.path.commonpath([path.parent for path, _, _ in stamps]))
    for path, size, _ in stamps:
        with path.open("rb") as file:
            contents = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{path.relative_to(common).as_posix()} {size} {contents}\n".encode())
    return total.hexdigest()


def _modules(module: str) -> list[Path]:
    """Return a module's file, or the files of the package that it lies in, without importing any."""
    first = module.partition(".")[0]
    found = _found(module)
    if found is None or found.origin is None or not found.origin.endswith(".py"):
        hint = "; a module's name has no .py" if module.endswith(".py") else ""
        raise ValueError(
            f"workload.factory: no module {module} in Python source was found in this folder, in PYTHONPATH "
            f"or among what is installed{hint}"
        )
    if first == module and found.submodule_search_locations is None:
        return [Path(found.origin)]
    package = PathFinder.find_spec(first, import_path())
    assert package is not None
    places = list(package.submodule_search_locations or [])
    files = sorted(path for place in places for path in Path(place).rglob("*.py"))
    if len(files) > _MOST_FILES:
        raise ValueError(f"workload.factory: package {first} has more than {_MOST_FILES} modules")
    return files


def _found(module: str) -> ModuleSpec | None:
    """Find a module as an import would, part by part."""
    places: list[str] | None = import_path()
    spec: ModuleSpec | None = None
    name = ""
    for part in module.split("."):
        name = f"{name}.{part}" if name else part
        spec = None if places is None else PathFinder.find_spec(name, places)
        if spec is None:
            return None
        places = spec.submodule_search_locations
    return spec
