"""What is the user's to put right has one base, and keeps the built-in kind that callers know."""

import ast
import builtins
import errno
import importlib
from pathlib import Path

import pytest

import harness
from harness.system.errors import InputError, JoulemarkError, ResourceError, UsageError, access_to

KEPT = {
    "harness.config.errors:ConfigError": ValueError,
    "harness.bundles.archive:BundleError": ValueError,
    "harness.gate.bisect:BisectError": ValueError,
    "harness.comparison.recorded:NotRepeatableError": ValueError,
    "harness.comparison.pairs:SideFailedError": RuntimeError,
    "harness.config.prices:UnknownPrice": ValueError,
    "harness.devices.base:DeviceError": RuntimeError,
    "harness.energy.sensors.base:SensorError": Exception,
    "harness.energy.sensors.registry:UnknownSensor": ValueError,
    "harness.records.store:AttemptTakenError": FileExistsError,
    "harness.records.store:StoreError": OSError,
    "harness.shim.errors:ShimError": RuntimeError,
    "harness.system.inside:OutsideError": OSError,
    "harness.system.locks:SweepBusyError": RuntimeError,
}


@pytest.mark.parametrize("name", KEPT)
def test_a_rooms_error_is_ours_and_still_of_its_kind(name):
    """Who caught a ValueError, an OSError or a RuntimeError catches it as before."""
    module, _, error = name.partition(":")
    kind = getattr(importlib.import_module(module), error)
    assert issubclass(kind, JoulemarkError)
    assert issubclass(kind, KEPT[name])


def test_a_new_error_says_whose_it_is():
    """Every error class of the harness has the base, but those that a room of ours always catches."""
    builtin = {name for name, kind in vars(builtins).items() if isinstance(kind, type)}
    bare = set()
    for path in Path(harness.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
                kinds = [vars(builtins)[name] for name in bases & builtin]
                if any(issubclass(kind, Exception) for kind in kinds) and "JoulemarkError" not in bases:
                    bare.add(node.name)
    assert bare == {
        "JoulemarkError", "ProtocolError", "StatsError", "NoNativeSampler", "RequestError",
        "UnreadableProfileError",
    }  # fmt: skip


def test_access_names_the_file_and_passes_what_is_ours(tmp_path):
    """A missing file, by its path in one line; an error that says more already is left alone."""
    with pytest.raises(ResourceError, match="gone: No such file") as raised, access_to(tmp_path / "gone"):
        (tmp_path / "gone").read_text()
    assert isinstance(raised.value, OSError)
    for ours in (UsageError("a"), InputError("b"), ResourceError("c")):
        with pytest.raises(type(ours)) as raised, access_to(tmp_path):
            raise ours
        assert raised.value is ours
    with pytest.raises(ZeroDivisionError), access_to(tmp_path):
        raise ZeroDivisionError
    with pytest.raises(ResourceError, match="No space"), access_to(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")
