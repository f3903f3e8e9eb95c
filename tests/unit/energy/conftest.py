"""A stand-in NVML that replays scripted power behind the real bindings; facts of virtual meters."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from harness.energy.probing import cache
from harness.energy.probing.probe import Probe
from harness.energy.sensors.base import SensorInfo

BUILDER = Path(__file__).parents[2] / "standins" / "nvml" / "builder.py"
PRELUDE = """
import ctypes, json, time
import harness.energy as energy
def truth(span, device=0):
    lib = ctypes.CDLL("libnvidia-ml.so.1")
    lib.standin_energy_j.restype = ctypes.c_double
    return lib.standin_energy_j(device, ctypes.c_int64(span[0]), ctypes.c_int64(span[1]))
def now():
    lib = ctypes.CDLL("libnvidia-ml.so.1")
    lib.standin_now_s.restype = ctypes.c_double
    return lib.standin_now_s()
def direct(line, device=0):
    ctypes.CDLL("libnvidia-ml.so.1").standin_direct(device, line.encode())
def disturbed(line):
    window = energy.window("nvml")
    with window:
        time.sleep(0.2)
        direct(line.format(now(), now() + 0.2))
        time.sleep(0.5)
    return window.result
def set_power(watts, device=0):
    ctypes.CDLL("libnvidia-ml.so.1").standin_set_power(device, ctypes.c_double(watts))
def meter(seconds, **options):
    window = energy.window("nvml", **options)
    with window:
        start = time.perf_counter_ns()
        time.sleep(seconds)
        end = time.perf_counter_ns()
    return window.result, (start, end)
def show(result, **more):
    fields = {n: getattr(result, n) for n in result.__slots__ if n not in ("devices", "trace", "inputs")}
    print(json.dumps({**fields, **more}))
"""
GPU = """\
device GPU-11111111-aaaa-bbbb-cccc-000000000000 Stand-in H200
counter 0.02 0.0 1
instant 0.02 0.02
average 0.1 1.0
"""
Play = Callable[..., Any]
MadeOnce = Callable[[str, Callable[[Path], object]], Path]


def _builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("nvml_standin_builder", BUILDER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def standin_cache(made_once: MadeOnce) -> Path:
    """Where the native sampler is compiled to, once for all these tests."""
    return made_once("nvml-cache", lambda _folder: None)


@pytest.fixture(scope="session")
def standin_builds(made_once: MadeOnce) -> Callable[..., Path]:
    """Compile the stand-in with some defines, each combination once."""
    builder = _builder()

    def build(*defines: str) -> Path:
        try:
            return made_once("-".join(("nvml", *defines)), lambda folder: builder.build(folder, *defines))
        except builder.NoCompilerError as missing:
            pytest.skip(str(missing))

    return build


@pytest.fixture
def play(standin_builds: Callable[..., Path], standin_cache: Path, tmp_path: Path) -> Play:
    """Run code in a new interpreter whose NVML plays a script; returns the JSON it printed.

    A script that names no device describes one GPU with a counter and both gauges.
    """
    builder = _builder()

    def run(script: str, code: str, *defines: str, env: dict[str, str] | None = None) -> Any:
        path = tmp_path / "script.txt"
        path.write_text(script if "device" in script else GPU + script)
        settings = builder.environment(standin_builds(*defines), path, standin_cache)
        return builder.run(PRELUDE + code, {**settings, **(env or {})})

    return run


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is probed in this test stays there."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.fixture
def cached_per_meter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every window its own virtual meter's true facts as if probed, which saves the probe's time."""

    def fitted(meter: Any, sensor: SensorInfo, **_: Any) -> SensorInfo:
        known = Probe(meter._period, 0.001, 20e-6, poll_disturbs=False)
        if meter.lag_known:
            known = replace(known, lag_s=meter._lag, lag_u_s=0.0)
        return known.applied(sensor)

    monkeypatch.setattr(cache, "fitted", fitted)
