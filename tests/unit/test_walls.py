"""The walls of the house: which package may import which, held for lazy imports too."""

import ast
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODEL_LIBRARIES = {"torch", "numpy", "PIL", "transformers", "torchao", "peft", "safetensors"}

MAY_IMPORT = {
    "harness.stats": set(),
    "harness.records": {"harness.stats"},
    "harness.report": {"harness.records", "harness.stats"},
    "harness.exporters": {"harness.records", "harness.stats"},
    "harness.energy": {"harness.system.native"},
    "harness.shim": {"harness.system.native", "harness.system.host"},
    "harness.devices": {"harness.shim", "harness.system.host"},
    "harness.timing": {"harness.devices"},
    "workloads": set(),
}
"""Packages of this project that a package may import, beside itself."""

ALLOWED_LIBRARIES = {
    "harness.stats": {"numpy", "scipy"},
    "workloads": MODEL_LIBRARIES,
}
"""Where only these libraries, beside the standard one, may be imported."""

NO_TORCH = (
    "harness.stats",
    "harness.records",
    "harness.report",
    "harness.exporters",
    "harness.planning.plan",
)


@cache
def imports() -> dict[str, set[str]]:
    """Return every module's imports, wherever in the file they stand; type-checking blocks aside."""
    found: dict[str, set[str]] = {}
    for top in ("harness", "workloads"):
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name] = set(_imports(ast.parse(path.read_text())))
    # `from package import module` needs the module, not what the package's front door shows.
    return {
        name: {t for t in targets if not any(u in found and u.rpartition(".")[0] == t for u in targets)}
        for name, targets in found.items()
    }


def _imports(tree: ast.AST):
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            yield from _imports(node)


def within(module: str, package: str) -> bool:
    """Tell whether a module is a package or lies in it."""
    return module == package or module.startswith(f"{package}.")


def modules_of(package: str):
    """Return the modules of a package with their imports."""
    return {name: found for name, found in imports().items() if within(name, package)}


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_package_imports_only_what_lies_below_it(package):
    """Data flows one way: no package reaches up or sideways."""
    allowed = {package, *MAY_IMPORT[package]}
    wrong = {
        f"{name} imports {target}"
        for name, targets in modules_of(package).items()
        for target in targets
        if target.split(".")[0] in {"harness", "workloads"}
        and target not in {"harness", "harness.__version__"}
        and not any(within(target, each) for each in allowed)
    }
    assert not wrong


@pytest.mark.parametrize("package", ALLOWED_LIBRARIES)
def test_a_package_needs_only_its_libraries(package):
    """Statistics need numpy and scipy; workloads need torch and the model libraries; nothing else."""
    wrong = {
        f"{name} imports {target}"
        for name, targets in modules_of(package).items()
        for target in targets
        if (top := target.split(".")[0]) not in {"harness", "workloads", *sys.stdlib_module_names}
        and top not in ALLOWED_LIBRARIES[package]
    }
    assert not wrong


@pytest.mark.parametrize("package", NO_TORCH)
def test_records_and_reports_need_no_torch(package):
    """What reads records works where no torch is installed."""
    assert not [
        name for name, targets in modules_of(package).items() if any(within(t, "torch") for t in targets)
    ]


def test_only_the_models_of_transformers_import_transformers():
    """Everything else works without the extra."""
    assert {
        name for name, found in imports().items() if any(within(t, "transformers") for t in found)
    } <= set(modules_of("workloads.hf"))


def test_nothing_imports_the_command_line():
    """The command line is a face; everything behind it is usable without."""
    assert not [
        name
        for name, targets in imports().items()
        if not within(name, "harness.cli") and any(within(t, "harness.cli") for t in targets)
    ]


def test_no_module_imports_itself_in_a_circle():
    """The graph of modules has no cycle, lazy imports included."""
    graph = {name: {t for t in targets if t in imports()} - {name} for name, targets in imports().items()}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path[path.index(name) :], name))
        if name not in done:
            for target in sorted(graph[name]):
                visit(target, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())
