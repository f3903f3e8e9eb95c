"""The public faces: what documents import is declared public, and what is declared exists."""

import ast
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("harness", "workloads")
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def imported_in(document):
    """Yield (module, name) of each `from … import …` in a document's Python blocks, of our packages."""
    for block in re.findall(r"```python\n(.*?)```", document.read_text(), re.DOTALL):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in PACKAGES:
                yield from ((node.module, alias.name) for alias in node.names)


def called_in(document):
    """Yield (module, name) of each `harness.….name(` in a document's Python blocks."""
    for block in re.findall(r"```python\n(.*?)```", document.read_text(), re.DOTALL):
        for dotted in re.findall(r"\b(harness(?:\.\w+)+)\(", block):
            yield tuple(dotted.rsplit(".", 1))


SHOWN = sorted({pair for document in DOCUMENTS for pair in (*imported_in(document), *called_in(document))})
DECLARING = sorted(
    path.relative_to(ROOT).with_suffix("")
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if "\n__all__ = " in path.read_text()
)


@pytest.mark.parametrize(("module", "name"), SHOWN)
def test_what_a_document_imports_is_declared_public(module, name):
    """A name in a document is a promise, so that its module lists it."""
    assert name in importlib.import_module(module).__all__


def test_documents_import_something():
    """The examples of the README, the energy page, the shim and the guide are among them."""
    assert {("harness.energy", "window"), ("harness.shim.cuda", "CudaShim")} <= set(SHOWN)
    assert ("workloads.base", "Workload") in SHOWN


@pytest.mark.parametrize("path", DECLARING, ids=str)
def test_what_is_declared_public_exists(path):
    """`__all__` names nothing that is gone, nothing private and nothing twice."""
    dotted = ".".join(part for part in path.parts if part != "__init__")
    declared = importlib.import_module(dotted).__all__
    assert [name for name in declared if not hasattr(importlib.import_module(dotted), name)] == []
    assert [name for name in declared if name.startswith("_")] == []
    assert len(declared) == len({*declared})
