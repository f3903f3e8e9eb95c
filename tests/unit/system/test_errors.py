"""What is the user's to put right has one base, and keeps the built-in kind that callers know."""

import errno
import importlib
import pkgutil

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
    """Every error class of the harness has the base, but those that another room of ours always catches."""
    caught = {"ProtocolError", "StatsError", "NoNativeSampler"}
    found = set()
    for module in pkgutil.walk_packages(harness.__path__, "harness."):
        if module.name.endswith("__main__"):
            continue
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and issubclass(value, Exception) and value.__module__ == module.name:
                found.add(value)
    assert {kind.__name__ for kind in found if not issubclass(kind, JoulemarkError)} == caught


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
