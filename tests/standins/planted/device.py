"""Faults of an accelerator: a scripted NVML and a scripted driver, up to what a record says of its state."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from standins.cuda import builder as cuda_builder
from standins.nvml import builder as nvml_builder
from standins.planted.world import Planted, World, planted

from harness.devices.cuda_watch import SmWatch
from harness.shim.cuda import driver
from harness.timing import Conditions
from harness.trial.device_state import DeviceState

MadeOnce = Callable[[str, Callable[[Path], object]], Path]
UUID = "GPU-11111111-aaaa-bbbb-cccc-{:012d}"
GPUS = {
    "well": "application 1755 1980",
    "low": "application 1980 1410",
    "hot": "events 0 1e9 64",
    "fell": "",
    "shared": "",
}
"""By name, what is scripted of a GPU that runs at 1755 MHz."""
SPANS = """
import ctypes, json, os
from types import SimpleNamespace
from harness.trial.device_state import DeviceState
nvml = ctypes.CDLL("libnvidia-ml.so.1")
def span(place, uuid, others, soak_mhz):
    state = DeviceState(SimpleNamespace(hardware_id=lambda: uuid))
    for pid in [os.getpid(), *others]:
        nvml.standin_direct(place, f"process {pid} 1024".encode())
    state.note_processes()
    session = {"soak": {"done": True, "steady": True, "clock_mhz": soak_mhz}}
    return state.evidence(state.conditions(), {}, session, {os.getpid()})
"""


def spans(made_once: MadeOnce, folder: Path) -> dict[str, dict[str, Any]]:
    """Run one span on each GPU, all in one process, and return their evidence by name.

    Raises:
        NoCompilerError: there is no C compiler.
    """
    library, script = made_once("nvml", nvml_builder.build), folder / "script.txt"
    script.write_text(
        "".join(
            f"device {UUID.format(place)} Stand-in H200\nhold 1 100\n{line}\n"
            for place, line in enumerate(GPUS.values())
        )
    )
    calls = [
        f"{name!r}: span({place}, {UUID.format(place)!r}, {[4321] if name == 'shared' else []},"
        f" {1980.0 if name == 'fell' else 1755.0})"
        for place, name in enumerate(GPUS)
    ]
    code = f"{SPANS}print(json.dumps({{{', '.join(calls)}}}))"
    found: dict[str, dict[str, Any]] = nvml_builder.run(
        code, nvml_builder.environment(library, script, folder)
    )
    return found


def _of(rule: str, gpu: str) -> Planted:
    def plant(world: World, fault: bool) -> dict[str, Any]:
        evidence: dict[str, Any] = world.built("gpus")[gpu if fault else "well"]
        return evidence

    plant.__name__ = gpu
    return Planted(rule, plant)


_shared = _of("cotenant", "shared")
_low = _of("clock_low", "low")
_hot = _of("throttled", "hot")
_fell = _of("clock_fell", "fell")


@planted("sm_clock_fell")
def _stamps_below_the_soaks_clock(world: World, fault: bool) -> dict[str, Any]:
    driver.load.cache_clear()
    world.monkeypatch.setenv("XDG_CACHE_HOME", str(world.folder))
    watch = SmWatch(0, str(world.built("cuda")))
    time.sleep(0.005)  # the stand-in's SMs count 1.5 GHz of real time
    with watch:
        time.sleep(0.005)
    watched = watch.evidence(soak_hz=1.6e9 if fault else 1.5e9)
    driver.load.cache_clear()
    assert "reason" not in watched["sm_clock"], watched
    state = DeviceState(SimpleNamespace(hardware_id=lambda: None))
    return state.evidence(Conditions(), watched, {}, {os.getpid()})


def _driver(made_once: MadeOnce, _folder: Path) -> Path:
    return made_once("cuda", cuda_builder.build) / "libcuda.so.1"


BUILT: dict[str, Callable[[MadeOnce, Path], Any]] = {"gpus": spans, "cuda": _driver}
"""What takes a compiler, by name: made by the fixture `made_once`, with a folder of the test's own."""
NO_COMPILER = (nvml_builder.NoCompilerError, cuda_builder.NoCompilerError)
