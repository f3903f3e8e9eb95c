"""The walls of the house: which room may import which, held for lazy imports and imports for types too."""

import ast
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LONGEST_FILE, LONGEST_FUNCTION = 350, 60
MODEL_LIBRARIES = {
    "torch",
    "numpy",
    "PIL",
    "transformers",
    "torchao",
    "peft",
    "safetensors",
    "jax",
    "torchax",
}

DOORS = {"harness.cli", "harness.pytest_plugin", "harness.worker"}
"""Where a process begins. No other room imports them."""

MAY_IMPORT = {
    "harness.stats": set(),
    "harness.system": set(),
    "workloads": set(),
    "harness.records": {"stats"},
    "harness.isolation": set(),
    "harness.shim": {"workloads.plugins"},
    "harness.energy": {"workloads.plugins"},
    "harness.devices": {"shim", "workloads.plugins"},
    "harness.timing": {"devices"},
    "harness.profile": {"devices", "stats"},
    "harness.serving": {"config", "devices", "records", "stats", "timing", "workloads"},
    "harness.config": {"records", "workloads"},
    "harness.identity": {"config", "energy", "records", "workloads"},
    "harness.bundles": {"config", "identity", "records", "stats", "timing", "trial"},
    "harness.report": {"records", "stats"},
    "harness.exporters": {"records", "stats", "workloads.plugins"},
    "harness.cost": {"config", "records"},
    "harness.planning": {
        *("config", "identity", "devices", "energy", "records", "serving", "stats", "workloads"),
    },
    "harness.trial": {
        *("config", "timing", "profile", "energy", "devices", "records", "serving", "stats", "workloads"),
        "isolation.protocol",
    },
    "harness.execution": {
        *("planning", "identity", "isolation", "config", "energy", "exporters", "records", "stats"),
    },
    "harness.cluster": {"execution", "planning", "identity", "isolation", "config", "records"},
    "harness.qualify": {
        *("planning", "identity", "isolation", "devices", "energy", "shim", "timing", "records"),
    },
    "harness.comparison": {
        *("execution", "planning", "identity", "isolation", "config", "records", "stats"),
    },
    "harness.advice": {"config", "cost", "execution", "planning", "records", "stats"},
    "harness.gate": {"comparison", "records", "stats"},
    "harness.worker": {"isolation", "trial"},
    "harness.cli": None,
    "harness.pytest_plugin": None,
}
"""Rooms that a room may import, beside itself; None for all of them. A new room needs a row here."""

WITHOUT_SYSTEM = {"harness.stats", "workloads"}
"""Every other room may ask the operating system too."""

WITHIN = {
    "harness.cli.commands": {"harness.cli"},
    "harness.energy.sensors": set(),
    "harness.energy.sampling": {"harness.energy.sensors"},
    "harness.energy.estimation": {"harness.energy.sensors", "harness.energy.sampling"},
    "harness.energy.probing": {
        *("harness.energy.sensors", "harness.energy.sampling", "harness.energy.estimation"),
    },
    "harness.exporters.importers": set(),
    "harness.records.index": {
        *("harness.records.estimates", "harness.records.listing", "harness.records.results"),
        *("harness.records.schema", "harness.records.store", "harness.records.validity"),
        *("harness.records.metrics", "harness.records.codec"),
    },
    "harness.report.figures": {"harness.report.document", "harness.report.text"},
    "harness.report.formats": {
        *("harness.report.figures", "harness.report.document"),
        "harness.report.text",
    },
    "harness.report.sections": {
        *("harness.report.document", "harness.report.text"),
        "harness.report.trials",
    },
    "harness.serving.endpoint": {"harness.serving.requests"},
    "harness.shim.cpu": {"harness.shim.ceiling", "harness.shim.errors"},
    "harness.shim.cuda": {"harness.shim.ceiling", "harness.shim.errors"},
    "harness.trial.passes": {
        *("harness.trial.metrics", "harness.trial.prepare", "harness.trial.span_energy"),
    },
    "workloads.kernels": set(),
    "workloads.models": {"workloads.kernels"},
    "workloads.counting": set(),
    "workloads.inputs": {"workloads.base"},
    "workloads.catalogue": {
        *("workloads.base", "workloads.counting", "workloads.inputs", "workloads.models"),
    },
    "workloads.compress": {
        *("workloads.base", "workloads.plugins", "workloads.registry", "workloads.transform"),
        *("workloads.counting", "workloads.inputs", "workloads.kernels", "workloads.models"),
    },
    "workloads.parallel": {
        *("workloads.base", "workloads.plugins", "workloads.training", "workloads.transform"),
        *("workloads.compress", "workloads.models"),
    },
    "workloads.engine": {
        *("workloads.base", "workloads.optimize", "workloads.training", "workloads.transform"),
        *("workloads.catalogue", "workloads.compress", "workloads.counting", "workloads.inputs"),
        *("workloads.kernels", "workloads.parallel"),
        "workloads.unrun",
    },
    "workloads.jax": {
        *("workloads.base", "workloads.optimize", "workloads.training", "workloads.transform"),
        *("workloads.engine", "workloads.counting", "workloads.inputs", "workloads.catalogue"),
    },
    "workloads.hf": {
        *("workloads.base", "workloads.catalogue", "workloads.counting", "workloads.inputs"),
    },
    "workloads.user": {
        *("workloads.base", "workloads.counting", "workloads.hf", "workloads.inputs", "workloads.unrun"),
    },
}
"""What of its own room, or of the workloads, a room within a room may import, beside itself."""

PROTOCOL = {
    *("base", "transform", "training", "optimize", "sizes", "compatibility", "registry", "plugins", "unrun"),
}
"""Loose in `workloads/`: what workloads, compressors, strategies and the harness agree on."""

ALLOWED_LIBRARIES = {
    "harness.stats": {"numpy", "scipy"},
    "harness.system": set(),
    "harness.isolation": set(),
    "workloads.plugins": set(),
    "workloads.jax": {"jax", "torchax", "torch", "numpy"},
    "workloads": MODEL_LIBRARIES,
}
"""Where only these libraries, beside the standard one, may be imported."""

NO_TORCH = (
    *("harness.stats", "harness.records", "harness.bundles", "harness.report", "harness.exporters"),
    *("harness.cost", "harness.planning", "harness.execution", "harness.comparison", "harness.gate"),
    "harness.cluster",
)


def sources() -> list[Path]:
    """Return the files of the product."""
    return [path for top in ("harness", "workloads") for path in sorted((ROOT / top).rglob("*.py"))]


@cache
def imports() -> dict[str, set[str]]:
    """Return every module's imports, wherever in the file they stand."""
    found: dict[str, set[str]] = {}
    for path in sources():
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = set(_imports(ast.parse(path.read_text())))
    # `from package import module` needs the module, not what the package's front door shows.
    return {
        name: {t for t in targets if not any(u in found and u.rpartition(".")[0] == t for u in targets)}
        for name, targets in found.items()
    }


def _imports(tree: ast.AST):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(module: str, package: str) -> bool:
    """Tell whether a module is a package or lies in it."""
    return module == package or module.startswith(f"{package}.")


def modules_of(package: str):
    """Return the modules of a package with their imports."""
    return {name: found for name, found in imports().items() if within(name, package)}


def allowed_to(room: str) -> set[str]:
    """Return the packages that a room of `MAY_IMPORT` may import, by their whole names."""
    others = MAY_IMPORT[room] | (set() if room in WITHOUT_SYSTEM else {"system"})
    return {room, *(other if within(other, "workloads") else f"harness.{other}" for other in others)}


def strays(package: str, allowed: set[str], of=("harness", "workloads")) -> set[str]:
    """Return the imports of a package's modules, from the tops `of`, that are not allowed."""
    return {
        f"{name} imports {target}"
        for name, targets in modules_of(package).items()
        for target in targets
        if any(within(target, top) for top in of)
        and target not in {"harness", "harness.__version__"}
        and not any(within(target, each) for each in allowed)
    }


def test_every_room_has_a_row():
    """A new room is given its place among the others, or fails here."""
    rooms = {f"harness.{path.parent.name}" for path in (ROOT / "harness").glob("*/__init__.py")}
    assert {*rooms, "harness.worker", "workloads"} == set(MAY_IMPORT)
    inner = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in sources()
        if path.name == "__init__.py" and path.parent.parent not in {ROOT, ROOT / "harness"}
    }
    assert inner == set(WITHIN)


def test_nothing_is_loose_but_doors_and_the_protocol():
    """A file that lies loose in `harness/` is a process's door, one in `workloads/` part of the protocol."""
    loose = {
        top: {p.stem for p in (ROOT / top).glob("*.py")} - {"__init__"} for top in ("harness", "workloads")
    }
    assert loose == {"harness": {"worker"}, "workloads": PROTOCOL}


def test_tests_mirror_the_rooms():
    """Every folder of unit tests is a room's; those of the whole house alone lie loose."""
    unit = ROOT / "tests" / "unit"
    whole = {"walls", "documents", "readers", "supply_chain"}
    assert {path.stem for path in unit.glob("test_*.py")} == {f"test_{one}" for one in whole}
    elsewhere = {
        str(folder.relative_to(unit))
        for folder in unit.rglob("*")
        if any(folder.glob("test_*.py"))
        and not (ROOT / "harness" / folder.relative_to(unit)).is_dir()
        and not (ROOT / folder.relative_to(unit)).is_dir()
    }
    assert elsewhere == {"workloads/fake_cuda"}


@pytest.mark.parametrize("room", [room for room, others in MAY_IMPORT.items() if others is not None])
def test_a_room_imports_only_what_lies_below_it(room):
    """Data flows one way: no room reaches up or sideways."""
    assert not strays(room, allowed_to(room))


@pytest.mark.parametrize("room", WITHIN)
def test_a_room_within_a_room_imports_only_what_lies_below_it(room):
    """The same within a room; the wall around it is the outer room's."""
    top = "workloads" if within(room, "workloads") else ".".join(room.split(".")[:2])
    assert not strays(room, {room, *WITHIN[room]}, of=(top,))


def test_the_table_has_no_circle():
    """What the rows allow is itself one way: a floor plan."""
    rows = {room: allowed_to(room) - {room} for room in MAY_IMPORT if MAY_IMPORT[room] is not None}
    _assert_acyclic({room: {up for up in rows for o in rows[room] if within(o, up)} for room in rows})
    _assert_acyclic({room: {o for o in WITHIN[room] if o in WITHIN} for room in WITHIN})


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
def test_what_plans_and_reads_records_needs_no_torch(package):
    """What reads records works where no torch is installed, and a plan is there before torch would be."""
    assert not [
        name for name, targets in modules_of(package).items() if any(within(t, "torch") for t in targets)
    ]


def test_only_the_models_of_transformers_import_transformers():
    """Everything else works without the extra."""
    assert {
        name for name, found in imports().items() if any(within(t, "transformers") for t in found)
    } <= set(modules_of("workloads.hf"))


def test_jax_is_imported_in_one_room_and_by_its_device():
    """Everything else works without the extra."""
    libraries = ("jax", "jaxlib", "torchax")
    users = {n for n, found in imports().items() if any(within(t, lib) for t in found for lib in libraries)}
    assert users - {"harness.devices.jax"} <= set(modules_of("workloads.jax"))


@pytest.mark.parametrize("door", sorted(DOORS))
def test_nothing_imports_a_door(door):
    """Doors are faces; everything behind them is usable without."""
    assert not [
        name
        for name, targets in imports().items()
        if not within(name, door) and any(within(t, door) for t in targets)
    ]


def test_no_module_imports_itself_in_a_circle():
    """The graph of modules has no cycle, lazy imports and those for types included."""
    _assert_acyclic({n: {t for t in targets if t in imports()} - {n} for n, targets in imports().items()})


def _assert_acyclic(graph: dict[str, set[str]]) -> None:
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path[path.index(name) :], name))
        if name not in done:
            for target in sorted(graph[name]):
                visit(target, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_files_are_short():
    """A file has one idea, and fits a few screens."""
    lengths = {str(path.relative_to(ROOT)): path.read_text().count("\n") for path in sources()}
    assert not {path: lines for path, lines in lengths.items() if lines > LONGEST_FILE}


def test_functions_are_short():
    """A function fits a screen."""
    long = {
        f"{path.relative_to(ROOT)} {node.name}": lines
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := node.end_lineno - node.lineno + 1) > LONGEST_FUNCTION
    }
    assert not long
