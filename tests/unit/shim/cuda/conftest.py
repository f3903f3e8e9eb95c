"""The stand-in driver, the compiled kernels, and a place for the cache, each made once for all tests."""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from pathlib import Path

import pytest

from harness.shim.cuda import CudaShim
from harness.shim.cuda import driver as cuda_driver

ROOT = Path(__file__).parents[4]


def _load(path: Path):
    name = f"shim_tests_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


builder = _load(ROOT / "tests" / "standins" / "cuda" / "builder.py")


@pytest.fixture(scope="session", autouse=True)
def _cache(made_once):
    """Keep compiled images apart from the user's own cache, and for the whole session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(made_once("shim-cache", lambda _folder: None)))
        yield


@pytest.fixture(scope="session")
def library(made_once):
    """Build the stand-in driver and return its file."""
    try:
        return str(made_once("cuda", builder.build) / "libcuda.so.1")
    except builder.NoCompilerError as error:
        pytest.skip(str(error))


@pytest.fixture
def standin(library):
    """Return the stand-in's own controls, set back afterwards."""
    controls = ctypes.CDLL(library)
    controls.standin_set.argtypes = [ctypes.c_char_p, ctypes.c_long]
    controls.standin_fail.argtypes = [ctypes.c_char_p, ctypes.c_int]
    controls.standin_used.restype = controls.standin_launches.restype = ctypes.c_long
    cuda_driver.load.cache_clear()
    yield controls
    controls.standin_reset()
    cuda_driver.load.cache_clear()


@pytest.fixture
def shim(library, standin):
    """Open the shim on the stand-in, with short repeats."""
    with CudaShim(0, library=library, target_ns=100_000) as opened:
        yield opened
    assert standin.standin_used() == 0, "device memory was not freed"


@pytest.fixture(scope="session")
def tool():
    """Load a script of tools/ by name."""
    return lambda name: _load(ROOT / "tools" / f"{name}.py")
